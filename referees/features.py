"""The feature table of the docs: every cell about a peer that is installed is tried.

``FEATURES`` has the cells as the docs show them. A cell stands on calls that must work, and
on calls that the peer must refuse; npconv's column on the other referees and on its tests.
TensorFlow is not installed: its column is what its documentation says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax
from scipy import linalg, ndimage, signal

from referees.onnx_runtime import run_node
from referees.verdict import Case, Different

DOCS = Path(__file__).parent.parent / "docs"
PEERS = ("npconv", "PyTorch", "JAX", "ONNX", "SciPy", "TensorFlow")
Try = Callable[[], Any]
X, W = (1, 1, 5, 5), (1, 1, 3, 3)


@dataclass(frozen=True)
class Cell:
    """What the table says, and the calls that show it."""

    text: str
    works: Sequence[Try] = ()
    refused: Sequence[Try] = field(default=())


def _torch(x: Any = X, w: Any = W, dtype: Any = torch.float32, **options: Any) -> Try:
    name = f"conv{len(x) - 2}d" if len(x) < 6 else "conv3d"
    return lambda: getattr(F, name)(
        torch.ones(x, dtype=dtype), torch.ones(w, dtype=dtype), **options
    )


def _torch_module(mode: str) -> Any:
    return torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode)(torch.ones(X))


def _jax(x: Any = X, w: Any = W, dtype: str = "float32", padding: Any = "VALID", **o: Any) -> Try:
    strides = o.pop("strides", (1,) * (len(x) - 2))
    return lambda: lax.conv_general_dilated(
        jnp.ones(x, dtype), jnp.ones(w, dtype), strides, padding, **o
    )


def _onnx(x: Any = X, w: Any = W, dtype: str = "float32", op: str = "Conv", **given: Any) -> Try:
    operands = [np.ones(x, dtype), np.ones(w, dtype)] if w else [np.ones(x, dtype)]
    return lambda: run_node(op, operands, given)


def _scipy(x: Any, w: Any, **options: Any) -> Try:
    return lambda: signal.correlate(np.asarray(x), np.asarray(w), method="direct", **options)


def _wraps(call: Try) -> Try:
    """A sum of 300 ones in int8 must come out as 300 - 256."""

    def tried() -> None:
        if int(np.asarray(call()).ravel()[0]) != 300 - 256:
            raise ValueError("it did not wrap")

    return tried


YES, NO = "✓", "–"
LONG = ((1, 1, 300), (1, 1, 300))
FOUR = ((1, 1, 3, 3, 3, 3), (1, 1, 2, 2, 2, 2))
THIRDS = np.array([Fraction(1, 3), Fraction(2, 3), Fraction(1)], object)

FEATURES: dict[str, tuple[Cell, ...]] = {
    "rank": (
        Cell("any"),
        Cell("1–3", [_torch((1, 1, 3, 3, 3), (1, 1, 2, 2, 2))], [_torch(*FOUR)]),
        Cell("any", [_jax(*FOUR)]),
        Cell("any", [_onnx(*FOUR)]),
        Cell("any", [_scipy(np.ones((3,) * 4), np.ones((2,) * 4))]),
        Cell("1–3"),
    ),
    "batch": (
        Cell(YES),
        Cell(YES, [_torch((2, 3, 5, 5), (4, 3, 3, 3))]),
        Cell(YES, [_jax((2, 3, 5, 5), (4, 3, 3, 3))]),
        Cell(YES, [_onnx((2, 3, 5, 5), (4, 3, 3, 3))]),
        Cell(NO, [], [_scipy(np.ones((2, 3, 5, 5)), np.ones((4, 3, 3)))]),
        Cell(YES),
    ),
    "groups": (
        Cell(YES),
        Cell(YES, [_torch((1, 4, 5, 5), (4, 2, 3, 3), groups=2)]),
        Cell(YES, [_jax((1, 4, 5, 5), (4, 2, 3, 3), feature_group_count=2)]),
        Cell(YES, [_onnx((1, 4, 5, 5), (4, 2, 3, 3), group=2)]),
        Cell(NO),
        Cell(YES),
    ),
    "uneven pads": (
        Cell(YES),
        Cell(NO, [], [_torch(padding=((1, 2), (0, 1)))]),
        Cell(YES, [_jax(padding=[(1, 2), (0, 1)])]),
        Cell(YES, [_onnx(pads=[1, 0, 2, 1])]),
        Cell(NO),
        Cell(YES),
    ),
    "negative pads": (
        Cell(YES),
        Cell(NO, [], [_torch(padding=-1)]),
        Cell(YES, [_jax(padding=[(-1, 1), (0, 0)])]),
        Cell(NO, [], [_onnx(pads=[-1, 0, 0, 0])]),
        Cell(NO),
        Cell(NO),
    ),
    "same, stride": (
        Cell(YES),
        Cell(NO, [_torch(padding="same")], [_torch(padding="same", stride=2)]),
        Cell(YES, [_jax(padding="SAME", strides=(2, 2))]),
        Cell(YES, [_onnx(auto_pad="SAME_UPPER", strides=[2, 2])]),
        Cell(NO),
        Cell(YES),
    ),
    "modes": (
        Cell(YES),
        Cell(
            "modules",
            [partial(_torch_module, mode) for mode in ("reflect", "replicate", "circular")],
            [_torch(padding="reflect")],
        ),
        Cell(NO, [], [_jax(padding="reflect")]),
        Cell(NO),
        Cell(
            "ndimage",
            [
                partial(ndimage.correlate, np.ones((5, 5)), np.ones((3, 3)), mode=mode)
                for mode in ("mirror", "nearest", "wrap")
            ],
        ),
        Cell(NO),
    ),
    "modes transposed": (
        Cell(YES),
        Cell(NO, [], [lambda: torch.nn.ConvTranspose2d(1, 1, 3, padding_mode="circular")]),
        Cell(NO),
        Cell(NO),
        Cell(NO),
        Cell(NO),
    ),
    "dilation": (
        Cell(YES),
        Cell(YES, [_torch(dilation=2)]),
        Cell(YES, [_jax(rhs_dilation=(2, 2))]),
        Cell(YES, [_onnx(dilations=[2, 2])]),
        Cell(NO),
        Cell(YES),
    ),
    "input dilation": (
        Cell(YES),
        Cell(NO, [], [_torch(input_dilation=2)]),
        Cell(YES, [_jax(lhs_dilation=(2, 2), padding=[(0, 0)] * 2)]),
        Cell(NO),
        Cell(NO),
        Cell(NO),
    ),
    "batch groups": (
        Cell(YES),
        Cell(NO, [], [_torch((2, 1, 5, 5), (2, 1, 3, 3), batch_groups=2)]),
        Cell(YES, [_jax((2, 1, 5, 5), (2, 1, 3, 3), batch_group_count=2)]),
        Cell(NO),
        Cell(NO),
        Cell(NO),
    ),
    "layout": (
        Cell(YES),
        Cell("NCHW", [], [_torch((1, 5, 5, 2), (3, 2, 3, 3))]),
        Cell(
            YES,
            [_jax((1, 5, 5, 2), (3, 3, 2, 4), dimension_numbers=("NHWC", "HWIO", "NHWC"))],
        ),
        Cell("NCHW", [], [_onnx((1, 5, 5, 2), (3, 2, 3, 3))]),
        Cell(NO),
        Cell("NHWC"),
    ),
    "integers": (
        Cell("exact"),
        Cell("wrap", [_wraps(_torch(*LONG, dtype=torch.int8))]),
        Cell("wrap", [_wraps(_jax(*LONG, dtype="int8"))]),
        Cell(
            "8 bits",
            [_onnx(dtype="uint8", op="ConvInteger")],
            [_onnx(dtype="int32"), _onnx(dtype="int32", op="ConvInteger")],
        ),
        Cell("wrap", [_wraps(_scipy(np.ones(300, "i1"), np.ones(300, "i1"), mode="valid"))]),
        Cell("int32"),
    ),
    "objects": (
        Cell(YES),
        Cell(NO, [], [lambda: torch.as_tensor(THIRDS)]),
        Cell(NO, [], [lambda: jnp.asarray(THIRDS)]),
        Cell(NO, [], [lambda: run_node("Conv", [THIRDS[None, None], THIRDS[None, None]], {})]),
        Cell(YES, [_scipy(THIRDS, THIRDS[:2])]),
        Cell(NO),
    ),
    "complex": (
        Cell(YES),
        Cell(YES, [_torch(dtype=torch.complex64)]),
        Cell(YES, [_jax(dtype="complex64")]),
        Cell(NO, [], [_onnx(dtype="complex64")]),
        Cell(YES, [_scipy(np.ones(3, complex), np.ones(2, complex))]),
        Cell(NO),
    ),
    "gradients": (
        Cell("any order"),
        Cell("any order"),
        Cell("any order"),
        Cell(NO),
        Cell(NO),
        Cell("any order"),
    ),
    "columns": (
        Cell("any rank"),
        Cell(
            "2-D",
            [lambda: F.unfold(torch.ones(X), 2), lambda: F.fold(torch.ones(1, 4, 16), (5, 5), 2)],
            [lambda: F.unfold(torch.ones(1, 1, 4, 4, 4), 2)],
        ),
        Cell(
            "unfold",
            [
                lambda: lax.conv_general_dilated_patches(
                    jnp.ones((1, 1, 4, 4, 4)), (2, 2, 2), (1, 1, 1), "VALID"
                )
            ],
        ),
        Cell(
            "fold",
            [
                lambda: run_node(
                    "Col2Im", [np.ones((1, 4, 16), "f4"), *np.array([[5, 5], [2, 2]])], {}
                )
            ],
        ),
        Cell(NO),
        Cell("unfold"),
    ),
    "pooling": (
        Cell("any rank"),
        Cell(
            "1–3",
            [lambda: F.max_pool3d(torch.ones(1, 1, 4, 4, 4), 2)],
            [lambda: F.max_pool3d(torch.ones(1, 1, 4, 4, 4, 4), 2)],
        ),
        Cell(
            "any rank",
            [
                lambda: lax.reduce_window(
                    jnp.ones((1, 1, 4, 4, 4, 4)),
                    -jnp.inf,
                    lax.max,
                    (1, 1, 2, 2, 2, 2),
                    (1,) * 6,
                    "VALID",
                )
            ],
        ),
        Cell(
            "1–3",
            [_onnx((1, 1, 4, 4, 4), (), op="MaxPool", kernel_shape=[2] * 3)],
            [_onnx((1, 1, 4, 4, 4, 4), (), op="MaxPool", kernel_shape=[2] * 4)],
        ),
        Cell("filters", [lambda: ndimage.maximum_filter(np.ones((4,) * 4), 2)]),
        Cell("1–3"),
    ),
    "matrix": (
        Cell("sparse"),
        Cell(NO),
        Cell(NO),
        Cell(NO),
        Cell("1-D", [lambda: linalg.convolution_matrix(np.ones(2), 4)]),
        Cell(NO),
    ),
}


def cases() -> Iterator[Case]:
    """Every call behind a cell, and the two tables."""
    for feature, cells in FEATURES.items():
        for peer, cell in zip(PEERS, cells, strict=True):
            for i, call in enumerate(cell.works):
                yield Case(f"{peer} {feature} {i}", partial(_check_works, call))
            for i, call in enumerate(cell.refused):
                yield Case(f"{peer} {feature} refused {i}", partial(_check_refused, call))
    for language in ("en", "ko"):
        yield Case(f"table {language}", partial(_check_table, DOCS / language / "peers.md"))


def _check_works(call: Try) -> None:
    try:
        call()
    except Exception as error:
        raise Different(f"the table says it works: {error}") from error


def _check_refused(call: Try) -> None:
    try:
        call()
    except Exception:  # noqa: BLE001 # peers have no class of errors in common
        return
    raise Different("the table says it is refused")


def _check_table(page: Path) -> None:
    """The rows of the docs' table are these cells, in this order; their first column is words."""
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.match(r"\|(.*\|){7}$", line)
    ]
    head = [row for row in rows if row[1:] == PEERS]
    start = rows.index(head[0]) + 2 if head else 0
    found = [row[1:] for row in rows[start : start + len(FEATURES)]]
    wanted = [tuple(cell.text for cell in cells) for cells in FEATURES.values()]
    for ours, theirs in zip(wanted, found, strict=False):
        if ours != theirs:
            raise Different(f"{page.name} has {theirs}, not {ours}")
    if len(found) != len(wanted):
        raise Different(f"{page.name} has {len(found)} rows, not {len(wanted)}")
