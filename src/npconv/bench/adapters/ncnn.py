"""ncnn: a network of one layer in float32; it knows no batch, so images follow one another."""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from npconv.bench.adapters import Call
from npconv.bench.tasks import Task, operands
from npconv.problem import Array


def version() -> str:
    """Tell ncnn's version."""
    return installed("ncnn")


def prepare(task: Task, threads: int) -> Call:
    """Load the layer with its weights, which ncnn packs then."""
    import ncnn

    x, w = operands(task)
    net = ncnn.Net()
    net.opt.num_threads = threads
    for name in dir(net.opt):  # its defaults store and compute in 16 bits where they can
        if name.startswith(("use_fp16", "use_bf16")):
            setattr(net.opt, name, False)
    _load(net, w, task.options)
    images = [ncnn.Mat(image).clone() for image in x]  # a Mat alone would not keep the array

    def run() -> list[Any]:
        found = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input("x", image)
            found.append(extractor.extract("y")[1])
        return found

    return Call(run, _stacked)


def _stacked(mats: list[Any]) -> list[Array]:
    return [np.stack([np.array(mat) for mat in mats])]


def _load(net: Any, w: Array, options: Any) -> None:
    """Write the layer as ncnn's files, and read them."""
    groups = options.get("groups", 1)
    kind = "Convolution" if groups == 1 else "ConvolutionDepthWise"
    numbers = {0: len(w), 1: w.shape[3], 11: w.shape[2], 3: options.get("stride", 1)}
    numbers |= {4: options.get("padding", 0), 6: w.size}
    numbers |= {7: groups} if groups > 1 else {}
    parameters = " ".join(f"{key}={value}" for key, value in numbers.items())
    text = f"7767517\n2 2\nInput x 0 1 x\n{kind} conv 1 1 x y {parameters}\n"
    with TemporaryDirectory() as folder:
        param, model = Path(folder, "layer.param"), Path(folder, "layer.bin")
        param.write_text(text, encoding="ascii")
        model.write_bytes(bytes(4) + w.tobytes())  # four zeros: plain float32 follows
        net.load_param(str(param))
        net.load_model(str(model))
