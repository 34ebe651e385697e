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
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from npconv.axis import Axis
from npconv.errors import ShapeError, UnsupportedError
from npconv.layouts import Shapes, places, read_shapes
from npconv.options import check_padding_mode, resolve_axes, whole_number

Array: TypeAlias = NDArray[Any]


class Direction(Enum):
    """What is computed; the value is the name of the algorithm's method."""

    FORWARD = "forward"
    INPUT_GRAD = "input_grad"
    KERNEL_GRAD = "kernel_grad"


class _Fields(NamedTuple):
    N: int
    C: int
    K: int
    axes: tuple[Axis, ...]
    groups: int = 1
    batch_groups: int = 1
    padding_mode: str = "zeros"
    layout: str = ""
    kernel_layout: str = ""


class ConvProblem(_Fields):
    """Shapes and options of one convolution, in the inner letters; no data, no dtype.

    What follows from them is computed once: the same problem is asked again in every call.
    """

    # ---- derived sizes -------------------------------------------------------------

    @cached_property
    def rank(self) -> int:
        """Count the spatial axes."""
        return len(self.axes)

    @cached_property
    def G(self) -> int:
        """Groups of channels that do not see each other, whatever made them."""
        return self.groups * self.batch_groups

    @cached_property
    def size(self) -> tuple[int, ...]:
        """Spatial input size, ``(H, W)`` in two dimensions."""
        return tuple(axis.size for axis in self.axes)

    @cached_property
    def kernel(self) -> tuple[int, ...]:
        """Spatial kernel size, ``(R, S)`` in two dimensions."""
        return tuple(axis.kernel for axis in self.axes)

    @cached_property
    def out(self) -> tuple[int, ...]:
        """Spatial output size, ``(P, Q)`` in two dimensions."""
        return tuple(axis.out for axis in self.axes)

    @cached_property
    def taps(self) -> int:
        """Count the kernel positions, ``R * S``."""
        return math.prod(self.kernel)

    @cached_property
    def pixels(self) -> int:
        """Count the output positions of one image and channel, ``P * Q``."""
        return math.prod(self.out)

    @cached_property
    def spreads(self) -> bool:
        """Whether inputs are spread apart, with holes between them."""
        return any(axis.input_dilation > 1 for axis in self.axes)

    @cached_property
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

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of ``input`` in the user's layout."""
        return self._from_canonical(
            (self.N * self.batch_groups, self.C * self.groups, *self.size),
            self.layout,
            "NC",
        )

    @cached_property
    def kernel_shape(self) -> tuple[int, ...]:
        """Shape of ``kernel`` in the user's kernel layout."""
        return self._from_canonical(
            (self.K * self.G, self.C, *self.kernel), self.kernel_layout, "OI"
        )

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output and of ``grad_output`` in the user's layout."""
        return self._from_canonical((self.N, self.K * self.G, *self.out), self.layout, "NC")

    def view_input(self, x: Array) -> Array:
        """View ``input`` or its gradient as ``(N, G, C, *size)``."""
        x = self.view_channels(x)
        if self.batch_groups == 1:
            return x.reshape(self.N, self.G, self.C, *self.size)
        # Image n of batch group b is input image b * N + n; each batch group is a group.
        return x.reshape(self.G, self.N, self.C, *self.size).swapaxes(0, 1)

    def view_kernel(self, w: Array) -> Array:
        """View ``kernel`` or its gradient as ``(G, K, C, *kernel)``."""
        w = w.transpose(self._order(self.kernel_layout, "OI")) if self.kernel_layout else w
        return w.reshape(self.G, self.K, self.C, *self.kernel)

    def view_output(self, y: Array) -> Array:
        """View the output or its gradient as ``(N, G, K, *out)``."""
        return self.view_channels(y).reshape(self.N, self.G, self.K, *self.out)

    def view_channels(self, array: Array) -> Array:
        """View an input, an output or a gradient of either as ``(N, channels, *spatial)``."""
        return array.transpose(self._order(self.layout, "NC")) if self.layout else array

    def image(self, n: int, array: Array) -> Array:
        """View what belongs to image ``n`` in an input, an output or a gradient of either."""
        # Every N-th, because image n of batch group b is input image b * N + n.
        axis = self._order(self.layout, "NC")[0]
        return array[(slice(None),) * axis + (slice(n, None, self.N),)]

    def _order(self, layout: str, roles: str) -> tuple[int, ...]:
        return places(layout, roles, self.layout, self.rank)

    def _from_canonical(self, shape: tuple[int, ...], layout: str, roles: str) -> tuple[int, ...]:
        places = self._order(layout, roles)
        return tuple(size for _, size in sorted(zip(places, shape, strict=True)))

    # ---- smaller problems ------------------------------------------------------------

    def part(self, *, N: int, G: int, K: int, C: int, axes: tuple[Axis, ...]) -> ConvProblem:
        """Pose the problem of a part: fewer of everything, in the inner layout."""
        return ConvProblem(N, C, K, axes, groups=G)

    @cached_property
    def one_image(self) -> ConvProblem:
        """The same problem for a batch of one: what may decide how images are computed."""
        return self._replace(N=1)

    @cached_property
    def turned(self) -> ConvProblem:
        """Pose the input's gradient as a forward convolution of the outputs' gradient.

        Input ``t``, counted after ``input_dilation``, was read by the outputs ``p`` with
        ``p * stride = t + low - r * dilation``. So ``dx[t]`` sums ``w[r] dy[p]`` over ``r``,
        with dy spread apart by the stride: a convolution, with ``r' = R - 1 - r`` for ``r``,
        that is with the kernel turned round and its channels exchanged. Its low pad is
        ``dilation * (R - 1) - low``. The high one reaches to the last input, also where
        the stride left some of the last ones unread.
        """
        axes = []
        for a in self.axes:
            low = a.reach - 1 - a.low
            turned = Axis(a.out, a.kernel, a.input_dilation, low, 0, a.dilation, a.stride)
            high = (a.size - 1) * a.input_dilation + a.reach - turned.padded
            axes.append(turned._replace(high=high))
        return self._replace(C=self.K, K=self.C, axes=tuple(axes))

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
        given = read_shapes(input_shape, kernel_shape, layout, kernel_layout)
        groups = whole_number("groups", groups, at_least=1)
        batch_groups = whole_number("batch_groups", batch_groups, at_least=1)
        if groups > 1 and batch_groups > 1:
            raise UnsupportedError(
                "groups and batch_groups cannot both be above 1, but "
                f"groups={groups} and batch_groups={batch_groups}"
            )
        _check_channels(given, groups, batch_groups)
        check_padding_mode(padding_mode)
        axes = resolve_axes(
            given.size,
            given.kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            input_dilation=input_dilation,
            padding_mode=padding_mode,
            given=given.text,
        )
        return cls(
            N=given.batch // batch_groups,
            C=given.into,
            K=given.out_channels // (groups * batch_groups),
            axes=axes,
            groups=groups,
            batch_groups=batch_groups,
            padding_mode=padding_mode,
            layout=given.layout,
            kernel_layout=given.kernel_layout,
        )


def _check_channels(given: Shapes, groups: int, batch_groups: int) -> None:
    """Channels, groups and the batch must divide as the options say."""
    if given.into * groups != given.channels:
        axis = given.kernel_layout.index("I") if given.kernel_layout else 1
        raise ShapeError(
            f"input has {given.channels} channels but the kernel reads {given.into * groups} "
            f"(kernel.shape[{axis}] * groups = {given.into} * {groups}); {given.text}"
        )
    if given.out_channels % groups:
        raise ShapeError(
            f"groups must divide the kernel's output channels, but {given.out_channels} % {groups} "
            f"= {given.out_channels % groups}; {given.text}"
        )
    for what, count in (("batch", given.batch), ("kernel's output channels", given.out_channels)):
        if count % batch_groups:
            raise ShapeError(
                f"batch_groups must divide the {what}, but {count} % {batch_groups} "
                f"= {count % batch_groups}; {given.text}"
            )
