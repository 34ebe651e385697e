"""Whether an algorithm that is not direct summation kept its bound on these very numbers.

Transforms multiply more pairs of elements than the result holds: an element near the border
meets all of the kernel there, also the part that slides off the image. Such a pair is a
*stray* here. It cancels in exact arithmetic, and leaves its rounding error behind. Where the
strays are no larger than what the result holds (``|input| * |kernel|``), the stated error
growth covers them: so it is for nearly all data. Where they are not (a frame of 1e8 around
ordinary pixels, which the kernel meets with zeros only), no bound in terms of the result can
hold, and the image goes to direct summation.

Both sides are estimated from far fewer products than the convolution has, and in float64:
the strays from above, what the result holds from below, at a few positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from npconv.axis import Axis
from npconv.numbers import Numbers
from npconv.padding import gather, padded_problem
from npconv.planner import Choice
from npconv.problem import Array, ConvProblem, Direction
from npconv.strays import Strays, images_at_once, pieces
from npconv.windows import im2col

# How many times what the result holds may strays be. On dense data they are a third of it
# or less, and 3/2 in the kernel's gradient, where norms overestimate them; the error growth
# of each algorithm leaves room for these factors, and tests push against them.
ALLOWED = 2.0
ALLOWED_IN_KERNEL_GRAD = 8.0
# Up to so many elements are compared one by one, over all channels at once.
FEW = 32
# Where a sum of squares of floats is larger, those that underflowed are nothing beside it; and
# where the root of one of float64's is. Of more numbers a sum in float32 would be too coarse.
TINY, SMALL, MANY = 2.0**-90, 2.0**-450, 2**20


def weights(choice: Choice, w: Array) -> Array:
    """Give what the checks of images want to know of a kernel: found once for all of them."""
    if choice.strays is None:
        raise AssertionError("transforms have strays")
    w = choice.problem.view_kernel(w)
    if choice.direction is Direction.INPUT_GRAD:
        w = w.swapaxes(1, 2)
    with np.errstate(all="ignore"):  # bfloat16 warns of NaN, as NumPy's own do not
        return _summary(choice.strays, w)


def trusts_image(choice: Choice, operand: Array, kernel: Array, weights: Array, y: Array) -> bool:
    """Say whether the result ``y`` of one image is finite and within the error bound."""
    with np.errstate(all="ignore"):
        return _finite(choice.numbers, y) and _image_keeps_bound(
            choice, operand, kernel, weights, y
        )


def _image_keeps_bound(
    choice: Choice, operand: Array, kernel: Array, weights: Array, y: Array
) -> bool:
    if choice.strays is None:
        raise AssertionError("transforms have strays")
    problem = choice.problem.one_image
    w, inner = problem.view_kernel(kernel), padded_problem(problem)
    if choice.direction is Direction.INPUT_GRAD:
        w, inner = np.flip(w, axis=tuple(range(3, w.ndim))).swapaxes(1, 2), inner.turned
        image = _Seen(problem.view_output(operand)[0], inner.axes, "zeros")
        y = problem.view_input(y)[0]
    else:
        image = _Seen(problem.view_input(operand)[0], problem.axes, problem.padding_mode)
        y = problem.view_output(y)[0]
    groups = [slice(None)]
    if choice.direction is Direction.INPUT_GRAD and problem.batch_groups > 1:
        # Each batch group of an input is an image of its own.
        groups = [slice(g, g + 1) for g in range(problem.G)]
    return all(
        _keeps_bound(
            inner, choice.strays, image._replace(array=image.array[g]), w[g], weights[g], y[g]
        )
        for g in groups
    )


def trusts_kernel_grad(choice: Choice, dy: Array, x: Array, dw: Array) -> bool:
    """Say the same of a kernel gradient."""
    problem = choice.problem
    with np.errstate(all="ignore"):
        if not _finite(choice.numbers, dw):
            return False
        images, grads = problem.view_input(x), problem.view_output(dy)
        few = images_at_once(problem)
        batches = [
            (_Seen(images[n : n + few], problem.axes, problem.padding_mode), grads[n : n + few])
            for n in range(0, problem.N, few)
        ]
        return _kernel_grad_keeps_bound(problem, batches, dw)


def _finite(numbers: Numbers, array: Array) -> bool:
    """Whether nothing is NaN or Inf; no also where a sum overflows, which costs time only."""
    # None of these needs an array of answers beside the array. BLAS sums squares in half of
    # the time of extremes, and these take a third of that of a sum.
    if array.dtype.char in "fd" and array.flags.c_contiguous and np.isfinite(np.vdot(array, array)):
        return True
    if array.dtype.kind == "f" and array.size:
        return bool(np.isfinite(array.max()) and np.isfinite(array.min()))
    return bool(np.isfinite(array.sum(dtype=numbers.accumulator)))


class _Seen(NamedTuple):
    """One image as the (inner) problem sees it: ``(G, C, *size)``, its padding mode resolved.

    Or some, one behind the other.
    """

    array: Array
    axes: tuple[Axis, ...]
    mode: str

    def read(self, box: Sequence[slice]) -> Array:
        """Read a box of positions, of the padded image where a mode repeats elements."""
        if self.mode == "zeros":
            index: tuple[Any, ...] = (..., *box)
            part: Array = self.array[index]
            return part
        return gather(self.array, self.axes, self.mode, box)


def _summary(strays: Strays, w: Array) -> Array:
    """Summarise a kernel ``(G, K, C, *kernel)`` as ``(G, K, C)``: what a stray meets at most."""
    return _norms(w, 3) if strays.norms else _largest(w, 3)


def _keeps_bound(
    problem: ConvProblem, strays: Strays, image: _Seen, w: Array, most: Array, y: Array
) -> bool:
    """Say whether an image's result ``y`` can be trusted.

    ``problem`` is a forward one over what is padded already, ``w`` its kernel ``(G, K, C,
    *kernel)``, ``most`` the kernel's `weights`.
    """
    if not strays.norms:
        # All of an image bounds any box of it: far too high, but enough for ordinary numbers.
        met = (most @ _largest(image.array, 2)[..., np.newaxis])[..., 0]
        g, k = (int(i) for i in np.unravel_index(met.argmax(), met.shape))
        if met[g, k] == 0:
            return True
        if any(met[g, k] / ALLOWED <= held for held in _held(problem, image, g, w[g, k])):
            return True
    worst, where = 0.0, (0, 0)
    for box in strays.boxes():
        seen = image.read(box)
        if strays.norms:
            columns = _norms(seen, 2)[..., np.newaxis] * strays.scale
        else:
            columns = _magnitudes(seen).reshape(*seen.shape[:2], -1)
        # (G, K, B) = (G, K, C) @ (G, C, B)
        met = (most @ columns).max(axis=-1)
        g, k = np.unravel_index(met.argmax(), met.shape)  # of NaN too, which nothing exceeds
        if not met[g, k] <= worst:
            worst, where = float(met[g, k]), (int(g), int(k))
    if worst == 0:
        return True
    g, k = where
    needed = worst / ALLOWED
    if any(needed <= held for held in _held(problem, image, g, w[g, k])):
        return True
    return bool(needed <= _largest(y, 0))


def _held(problem: ConvProblem, image: _Seen, g: int, w: Array) -> Iterator[float]:
    """Sum ``|x| |w|`` at a few positions, for the output channel with kernel ``(C, *kernel)``."""
    a_side, magnitudes = 3 if problem.rank < 3 else 2, _magnitudes(w)
    for p in product(*(_spread(axis.out, a_side) for axis in problem.axes)):
        box, axes = _window(problem.axes, p)
        seen = image.read(box)[g]
        yield float(np.vdot(_magnitudes(im2col(seen, axes) if axes else seen), magnitudes))


@lru_cache(maxsize=512)
def _window(
    axes: tuple[Axis, ...], p: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[Axis, ...]]:
    """Say what output ``p`` reads, and how; no axes where that is the window as it is."""
    inputs = [axis.reads(i, i + 1) for axis, i in zip(axes, p, strict=True)]
    seen = tuple(axis.tile((i, i + 1), box) for axis, i, box in zip(axes, p, inputs, strict=True))
    whole = all(axis == Axis(axis.kernel, axis.kernel, axis.stride) for axis in seen)
    return tuple(slice(*box) for box in inputs), () if whole else seen


def _kernel_grad_keeps_bound(
    problem: ConvProblem, batches: Sequence[tuple[_Seen, Array]], dw: Array
) -> bool:
    """Say whether a kernel gradient can be trusted.

    By the inequality of Cauchy and Schwarz no sum of products of an input channel with an
    output channel, shifted in whatever way, is more than the product of their norms. That
    bounds the strays; a few of the kernel's positions show what the result holds.
    ``batches`` give the inputs and the outputs' gradients ``(images, G, K, *out)`` of some.
    """
    inner = padded_problem(problem)
    read = [axis.reads(0, axis.out) for axis in inner.axes]
    most = np.zeros((problem.G, problem.K, problem.C))
    for some, dy in batches:
        boxes = pieces(read) if some.mode != "zeros" else [tuple(slice(*r) for r in read)]
        of_x = np.zeros(some.array.shape[:3])
        for box in boxes:
            of_x = np.hypot(of_x, _norms(some.read(box), 3))
        most += np.einsum("ngk,ngc->gkc", _norms(dy, 3), of_x)
    g, k, c = (int(i) for i in np.unravel_index(most.argmax(), most.shape))
    needed = most[g, k, c] / ALLOWED_IN_KERNEL_GRAD
    if needed == 0 or needed <= _largest(dw, 0):
        return True
    channels = [
        (some._replace(array=some.array[:, g, c : c + 1]), dy[:, g, k : k + 1])
        for some, dy in batches
    ]
    return any(
        needed <= sum(_met(inner.axes, r, *each) for each in channels)
        for r in product(*(_spread(axis.kernel, 3) for axis in inner.axes))
    )


def _met(axes: Sequence[Axis], r: Sequence[int], some: _Seen, dy: Array) -> float:
    """Sum ``|x| |dy|`` over the outputs that see an element through kernel position ``r``."""
    total = 0.0
    for p in pieces((0, axis.out) for axis in axes):
        tiles = []
        for axis, outputs, i in zip(axes, p, r, strict=True):
            # The same outputs through this one position: a kernel of one element.
            one = axis._replace(kernel=1, low=axis.low - i * axis.dilation, high=0)
            inputs = one.reads(outputs.start, outputs.stop)
            tiles.append((one.tile((outputs.start, outputs.stop), inputs), slice(*inputs)))
        small, inputs = zip(*tiles, strict=True)
        seen = im2col(some.read(inputs), small)
        index: tuple[Any, ...] = (..., *p)
        total += float(np.vdot(_magnitudes(seen), _magnitudes(dy[index])))
    return total


def _spread(count: int, most: int) -> list[int]:
    """Choose up to ``most`` positions, evenly spread."""
    parts = min(most, count)
    return [(2 * i + 1) * count // (2 * parts) for i in range(parts)]


def _magnitudes(a: Array) -> Array:
    # The smallest integer has no magnitude of its own dtype.
    a = a.astype(np.float64) if a.dtype.kind in "biu" else a
    magnitudes: Array = np.abs(a).astype(np.float64, copy=False)
    return magnitudes


def _largest(a: Array, first: int) -> Array:
    """Bound ``|a|`` over the axes from ``first`` on, without a copy of it."""
    if a.dtype.kind == "c":
        return _largest_of_reals(a.real, first) + _largest_of_reals(a.imag, first)
    return _largest_of_reals(a, first)


def _largest_of_reals(a: Array, first: int) -> Array:
    """Do this element by element where NumPy would begin too often."""
    few, over = a.shape[first:], tuple(range(first, a.ndim))
    if a.dtype.kind in "biu" or not 0 < math.prod(few) <= FEW < math.prod(a.shape[:first]):
        highest, lowest = np.maximum.reduce(a, over), np.minimum.reduce(a, over)
        extremes: Array = np.maximum(highest.astype(np.float64), -lowest.astype(np.float64))
        return extremes
    every: tuple[Any, ...]
    here, *others = ((..., *at) for at in np.ndindex(few))
    found: Array = np.abs(a[here])
    one = np.empty_like(found)
    for every in others:
        np.maximum(found, np.abs(a[every], out=one), out=found)
    return found.astype(np.float64)


def _norms(a: Array, first: int) -> Array:
    """Bound the Euclidean norms over the axes from ``first`` on, without a copy of ``a``.

    They are exact but for rounding, and where squares of float64 would underflow.
    """
    parts = (a.real, a.imag) if a.dtype.kind == "c" else (a,)
    norms: Array = np.sqrt(sum(_squares(part, first) for part in parts))
    if a.size and a.dtype.char in "dD" and (norms < SMALL).any():
        most = _largest(a, first) * math.sqrt(math.prod(a.shape[first:]))
        norms = np.where(norms < SMALL, most, norms)
    return norms


def _squares(a: Array, first: int) -> Array:
    """Sum squares in float64; of floats in one piece by BLAS, if no sum is in doubt."""
    count, flags = math.prod(a.shape[first:]), a.flags
    if a.dtype == np.float32 and flags.c_contiguous and flags.aligned and count <= MANY:
        rows = a.reshape(*a.shape[:first], count)
        total: Array = np.vecdot(rows, rows).astype(np.float64)
        if ((total > TINY) & (total < np.inf)).all():
            return total
    axes = list(range(a.ndim))
    exact: Array = np.einsum(a, axes, a, axes, axes[:first], dtype=np.float64, casting="unsafe")
    return exact
