"""Layouts: letters that name the axes of arrays, and sizes read through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from npconv.errors import ShapeError, UnsupportedError, show
from npconv.options import check_rank, size_tuple

# Spatial letters by rank, as far as there is a custom; the rest of the alphabet after that.
_SPATIAL = {0: "", 1: "W", 2: "HW", 3: "DHW"}
_MORE_SPATIAL = "ABEFGJKLMPQRSTUVXYZ"


class Shapes(NamedTuple):
    """The sizes of ``input`` and ``kernel`` by their letters; spatial ones as in ``layout``."""

    batch: int
    channels: int
    size: tuple[int, ...]
    out_channels: int  # the kernel's O
    into: int  # the kernel's I: input channels of one group
    kernel: tuple[int, ...]
    layout: str
    kernel_layout: str
    text: str  # both shapes as given, for messages


def read_shapes(
    input_shape: Sequence[int], kernel_shape: Sequence[int], layout: Any, kernel_layout: Any
) -> Shapes:
    """Check two shapes and their layouts against each other, and sort their sizes."""
    given_input = size_tuple("input_shape", input_shape)
    given_kernel = size_tuple("kernel_shape", kernel_shape)
    text = f"input.shape={given_input}, kernel.shape={given_kernel}"
    rank = len(given_input) - 2
    if rank < 1:
        raise ShapeError(
            "input must have a batch axis, a channel axis and at least one spatial axis, "
            f"3 axes or more, but it has {len(given_input)}; {text}"
        )
    if len(given_kernel) != rank + 2:
        raise ShapeError(
            f"kernel must have as many axes as input, {rank + 2}, but it has "
            f"{len(given_kernel)}; {text}"
        )
    check_rank(rank, text)
    layout, kernel_layout = check_layouts(layout, kernel_layout, rank)
    batch, channels, *size = (given_input[i] for i in places(layout, "NC", layout, rank))
    out, into, *kernel = (given_kernel[i] for i in places(kernel_layout, "OI", layout, rank))
    if 0 in kernel:
        raise ShapeError(f"kernel must have at least 1 element on every axis; {text}")
    return Shapes(
        batch, channels, tuple(size), out, into, tuple(kernel), layout, kernel_layout, text
    )


def places(layout: str, roles: str, spatial_as: str, rank: int) -> tuple[int, ...]:
    """Where each role, then each spatial axis in the order of ``spatial_as``, stands."""
    if not layout:
        return tuple(range(rank + 2))
    spatial = [letter for letter in spatial_as if letter not in "NC"]
    return tuple(layout.index(letter) for letter in [*roles, *spatial])


def check_layouts(layout: Any, kernel_layout: Any, rank: int) -> tuple[str, str]:
    """Check both layouts; "" stands for the default order."""
    if layout is None and kernel_layout is None:
        return "", ""
    usual = _SPATIAL.get(rank) or (_MORE_SPATIAL + "DHW")[-rank:]
    if layout is None:
        layout = "NC" + usual
    _check_letters("layout", layout, "NC", rank)
    spatial = "".join(letter for letter in layout if letter not in "NC")
    if kernel_layout is None:
        kernel_layout = "OI" + spatial
    _check_letters("kernel_layout", kernel_layout, "OI", rank)
    if set(kernel_layout) - set("OI") != set(spatial):
        raise UnsupportedError(
            "kernel_layout must name the spatial letters of layout, "
            f"but layout={layout!r} and kernel_layout={kernel_layout!r}"
        )
    return layout, kernel_layout


def _check_letters(name: str, layout: Any, roles: str, rank: int) -> None:
    def refuse(needed: str) -> NoReturn:
        raise UnsupportedError(f"{name} must {needed}, but {name}={show(layout)}")

    if not isinstance(layout, str) or not layout.isalpha():
        refuse(f"be a string of letters such as '{roles}HW'")
    if len(layout) != rank + 2:
        refuse(f"have one letter for each of the {rank + 2} axes")
    if len(set(layout)) != len(layout):
        refuse("have distinct letters")
    if not set(roles) <= set(layout):
        refuse(f"contain the letters {roles[0]} and {roles[1]}")
    if set(layout) & (set("NCOI") - set(roles)):
        refuse(f"use letters other than N, C, O and I for space beside {roles}")
