"""The gate: raw arguments become one frozen, hashable `ConvProblem`, or a clear error.

Everything a user can get wrong in shapes and options is found here, and everything behind
this file trusts it. The letters used inside the package, for sizes (and, in lower case,
for the indices that run over them):

======  =====================================================================
``N``   images in the output's batch
``G``   groups (``groups``, or ``batch_groups``, which becomes the same thing)
``C``   input channels of one group
``K``   output channels of one group
``H W`` input rows and columns (any rank: ``size``)
``R S`` kernel rows and columns (any rank: ``kernel``)
``P Q`` output rows and columns (any rank: ``out``)
======  =====================================================================

Arrays inside are ``x (N, G, C, H, W)``, ``w (G, K, C, R, S)``, ``y (N, G, K, P, Q)`` and
their gradients ``dx, dw, dy`` of the same shapes. Layouts, groups and batch groups are
views made here, so that an algorithm never hears of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NoReturn, TypeAlias

from numpy.typing import NDArray

from npconv.axis import Axis
from npconv.errors import ShapeError, UnsupportedError
from npconv.options import check_padding_mode, resolve_axes, size_tuple, whole_number

Array: TypeAlias = NDArray[Any]


class Direction(Enum):
    """What is computed; the value is the name of the algorithm's method."""

    FORWARD = "forward"
    INPUT_GRAD = "input_grad"
    KERNEL_GRAD = "kernel_grad"


# Spatial letters by rank, as far as there is a custom; the rest of the alphabet after that.
_SPATIAL = {0: "", 1: "W", 2: "HW", 3: "DHW"}
_MORE_SPATIAL = "ABEFGJKLMPQRSTUVXYZ"


@dataclass(frozen=True, slots=True)
class ConvProblem:
    """Shapes and options of one convolution, in the inner letters; no data, no dtype."""

    N: int
    C: int
    K: int
    axes: tuple[Axis, ...]
    groups: int = 1
    batch_groups: int = 1
    padding_mode: str = "zeros"
    layout: str = ""
    kernel_layout: str = ""

    # ---- derived sizes -------------------------------------------------------------

    @property
    def rank(self) -> int:
        """Count the spatial axes."""
        return len(self.axes)

    @property
    def G(self) -> int:
        """Groups of channels that do not see each other, whatever made them."""
        return self.groups * self.batch_groups

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial input size, ``(H, W)`` in two dimensions."""
        return tuple(axis.size for axis in self.axes)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Spatial kernel size, ``(R, S)`` in two dimensions."""
        return tuple(axis.kernel for axis in self.axes)

    @property
    def out(self) -> tuple[int, ...]:
        """Spatial output size, ``(P, Q)`` in two dimensions."""
        return tuple(axis.out for axis in self.axes)

    @property
    def taps(self) -> int:
        """Count the kernel positions, ``R * S``."""
        return math.prod(self.kernel)

    @property
    def pixels(self) -> int:
        """Count the output positions of one image and channel, ``P * Q``."""
        return math.prod(self.out)

    @property
    def products(self) -> int:
        """Multiplications of direct summation, in every direction the same."""
        return self.N * self.G * self.K * self.C * self.taps * self.pixels

    def terms(self, direction: Direction) -> int:
        """Bound the number of products that are added into one element of the result."""
        if direction is Direction.FORWARD:
            return self.C * self.taps
        if direction is Direction.INPUT_GRAD:
            return self.K * self.taps
        return self.N * self.pixels

    # ---- shapes and views in the user's layouts --------------------------------------

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of ``input`` in the user's layout."""
        return self._from_canonical(
            (self.N * self.batch_groups, self.C * self.groups, *self.size),
            self.layout,
            "NC",
        )

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Shape of ``kernel`` in the user's kernel layout."""
        return self._from_canonical(
            (self.K * self.G, self.C, *self.kernel), self.kernel_layout, "OI"
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output and of ``grad_output`` in the user's layout."""
        return self._from_canonical((self.N, self.K * self.G, *self.out), self.layout, "NC")

    def view_input(self, x: Array) -> Array:
        """View ``input`` or its gradient as ``(N, G, C, *size)``."""
        x = x.transpose(self._order(self.layout, "NC"))
        if self.batch_groups == 1:
            return x.reshape(self.N, self.G, self.C, *self.size)
        # Image n of batch group b is input image b * N + n; each batch group is a group.
        return x.reshape(self.G, self.N, self.C, *self.size).swapaxes(0, 1)

    def view_kernel(self, w: Array) -> Array:
        """View ``kernel`` or its gradient as ``(G, K, C, *kernel)``."""
        w = w.transpose(self._order(self.kernel_layout, "OI"))
        return w.reshape(self.G, self.K, self.C, *self.kernel)

    def view_output(self, y: Array) -> Array:
        """View the output or its gradient as ``(N, G, K, *out)``."""
        y = y.transpose(self._order(self.layout, "NC"))
        return y.reshape(self.N, self.G, self.K, *self.out)

    def _order(self, layout: str, roles: str) -> tuple[int, ...]:
        """Where each canonical axis stands in ``layout``; spatial axes as in ``self.layout``."""
        if not layout:
            return tuple(range(self.rank + 2))
        spatial = [letter for letter in self.layout if letter not in "NC"]
        return tuple(layout.index(letter) for letter in [*roles, *spatial])

    def _from_canonical(self, shape: tuple[int, ...], layout: str, roles: str) -> tuple[int, ...]:
        places = self._order(layout, roles)
        return tuple(size for _, size in sorted(zip(places, shape, strict=True)))

    # ---- smaller problems ------------------------------------------------------------

    def part(self, *, N: int, G: int, K: int, C: int, axes: tuple[Axis, ...]) -> ConvProblem:
        """Pose the problem of a part: fewer of everything, in the inner layout."""
        return ConvProblem(N, C, K, axes, groups=G)

    @property
    def one_image(self) -> ConvProblem:
        """The same problem for a batch of one: what may decide how images are computed."""
        return replace(self, N=1)

    # ---- the gate ----------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        input_shape: Sequence[int],
        kernel_shape: Sequence[int],
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        input_dilation: Any = 1,
        groups: Any = 1,
        batch_groups: Any = 1,
        padding_mode: Any = "zeros",
        layout: Any = None,
        kernel_layout: Any = None,
    ) -> ConvProblem:
        """Check shapes and options against each other and return the problem they pose."""
        given_input = size_tuple("input_shape", input_shape)
        given_kernel = size_tuple("kernel_shape", kernel_shape)
        shapes = f"input.shape={given_input}, kernel.shape={given_kernel}"
        rank = len(given_input) - 2
        if rank < 1:
            raise ShapeError(
                "input must have a batch axis, a channel axis and at least one spatial axis, "
                f"3 axes or more, but it has {len(given_input)}; {shapes}"
            )
        if len(given_kernel) != rank + 2:
            raise ShapeError(
                f"kernel must have as many axes as input, {rank + 2}, but it has "
                f"{len(given_kernel)}; {shapes}"
            )
        groups = whole_number("groups", groups, at_least=1)
        batch_groups = whole_number("batch_groups", batch_groups, at_least=1)
        if groups > 1 and batch_groups > 1:
            raise UnsupportedError(
                "groups and batch_groups cannot both be above 1, but "
                f"groups={groups} and batch_groups={batch_groups}"
            )
        layout, kernel_layout = _layouts(layout, kernel_layout, rank)
        # A problem of the right rank lends its letter arithmetic to sort the sizes.
        letters = cls(0, 0, 0, (Axis(0, 1),) * rank, layout=layout, kernel_layout=kernel_layout)
        batch, in_channels, *size = (given_input[i] for i in letters._order(layout, "NC"))
        out_channels, C, *kernel = (given_kernel[i] for i in letters._order(kernel_layout, "OI"))
        _check_channels(batch, in_channels, out_channels, C, groups, batch_groups, letters, shapes)
        check_padding_mode(padding_mode)
        axes = resolve_axes(
            tuple(size),
            tuple(kernel),
            stride=stride,
            padding=padding,
            dilation=dilation,
            input_dilation=input_dilation,
            padding_mode=padding_mode,
            given=shapes,
        )
        return cls(
            N=batch // batch_groups,
            C=C,
            K=out_channels // (groups * batch_groups),
            axes=axes,
            groups=groups,
            batch_groups=batch_groups,
            padding_mode=padding_mode,
            layout=layout,
            kernel_layout=kernel_layout,
        )


def _check_channels(
    batch: int,
    in_channels: int,
    out_channels: int,
    C: int,
    groups: int,
    batch_groups: int,
    letters: ConvProblem,
    shapes: str,
) -> None:
    """Channels, groups and the batch must divide as the options say."""
    if C * groups != in_channels:
        axis = letters.kernel_layout.index("I") if letters.kernel_layout else 1
        raise ShapeError(
            f"input has {in_channels} channels but the kernel reads {C * groups} "
            f"(kernel.shape[{axis}] * groups = {C} * {groups}); {shapes}"
        )
    if out_channels % groups:
        raise ShapeError(
            f"groups must divide the kernel's output channels, but {out_channels} % {groups} "
            f"= {out_channels % groups}; {shapes}"
        )
    for what, count in (("batch", batch), ("kernel's output channels", out_channels)):
        if count % batch_groups:
            raise ShapeError(
                f"batch_groups must divide the {what}, but {count} % {batch_groups} "
                f"= {count % batch_groups}; {shapes}"
            )


def _layouts(layout: Any, kernel_layout: Any, rank: int) -> tuple[str, str]:
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
        raise UnsupportedError(f"{name} must {needed}, but {name}={layout!r}")

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
