"""Who is timed: npconv's two engines and the peers, each with its adapter."""

from __future__ import annotations

import os
from importlib import util
from typing import NamedTuple


class Library(NamedTuple):
    """A library: what people call it, what it needs installed, and its adapter's module."""

    title: str
    needs: tuple[str, ...]
    adapter: str
    backward: bool = False  # whether it has gradients


ENGINES = ("numpy", "compiled")
LIBRARIES: dict[str, Library] = {
    "numpy": Library("NumPy engine", ("numpy",), "ours", backward=True),
    "compiled": Library("compiled engine", ("numba", "threadpoolctl"), "ours", backward=True),
    "torch": Library("PyTorch", ("torch",), "pytorch", backward=True),
    "onnxruntime": Library("ONNX Runtime", ("onnxruntime", "onnx"), "onnx_runtime"),
    "ncnn": Library("ncnn", ("ncnn",), "ncnn"),
    "openvino": Library("OpenVINO", ("openvino",), "openvino"),
    "jax": Library("JAX", ("jax",), "jax", backward=True),
}
PEERS = tuple(name for name in LIBRARIES if name not in ENGINES)

# What would steer a library besides what is set here.
_UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NPCONV_WORKSPACE", "NPCONV_ACCURACY")
_THREADS = ("OMP", "OPENBLAS", "MKL", "VECLIB", "NUMBA", "NPCONV")


def missing(name: str) -> list[str]:
    """List what has to be installed before a library can be timed."""
    return [package for package in LIBRARIES[name].needs if util.find_spec(package) is None]


def environment(name: str, threads: int) -> dict[str, str]:
    """Give a worker's environment: so many threads, whoever asks for them.

    Examples
    --------
    >>> from npconv.bench.libraries import environment
    >>> environment("compiled", 2)["OMP_NUM_THREADS"], environment("compiled", 2)["NPCONV_ENGINE"]
    ('2', 'compiled')
    """
    variables = {key: value for key, value in os.environ.items() if key not in _UNSET}
    variables |= {f"{key}_NUM_THREADS": str(threads) for key in _THREADS}
    variables["JAX_PLATFORMS"] = "cpu"  # or XLA would look for another device
    if name in ENGINES:
        variables["NPCONV_ENGINE"] = name
    return variables
