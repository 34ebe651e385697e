"""The oracle of everything that only moves windows: im2col, col2im, and pooling.

Like `oracle`, on whose axes it stands: plain loops over an explicit list of positions, written
from the public contract, importing nothing from the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import inf, isnan, nan, prod
from typing import Any

import numpy as np

from oracle import SPATIAL, Array, Shape, add_up, sites, steps, to_array
from oracle import values as values_of
from oracle_axes import PAD, make_axes, per_axis


def column_pairs(
    input_shape: Shape, kernel_size: Sequence[int], **axis_options: Any
) -> tuple[list[tuple[int, int]], Shape]:
    """(column element, input element or PAD) pairs, and the shape of the columns."""
    N, C, *sizes = input_shape
    axes = make_axes(sizes, kernel_size, **axis_options)
    outs = [axis.out for axis in axes]
    columns, window = prod(outs), prod(kernel_size)
    in_c_order = [[prod(s[a + 1 :]) for a in range(len(s))] for s in (outs, sizes, kernel_size)]
    space = sites(axes, *in_c_order)
    pairs = []
    for image, (q, h, r) in product(range(N * C), space):
        row = image * window + r
        pairs.append((row * columns + q, PAD if h == PAD else image * prod(sizes) + h))
    return pairs, (N, C * window, columns)


def im2col(input: Any, kernel_size: Sequence[int], **axis_options: Any) -> Array:
    pairs, shape = column_pairs(np.shape(input), kernel_size, **axis_options)
    x, col = values_of(input), [0] * prod(shape)
    for at, source in pairs:
        col[at] = x[source]
    return np.array(col, dtype=np.asarray(input).dtype).reshape(shape)


def col2im(col: Any, input_shape: Shape, kernel_size: Sequence[int], **axis_options: Any) -> Array:
    pairs, _ = column_pairs(input_shape, kernel_size, **axis_options)
    once = ((source, at, 0) for at, source in pairs)
    return to_array(add_up(once, values_of(col), [1], prod(input_shape)), input_shape, col)


# --- pooling --------------------------------------------------------------------------------


class Pool:
    """One pooling problem: the windows of every output, for max and average alike."""

    def __init__(
        self,
        input_shape: Shape,
        kernel_size: Any,
        stride: Any = None,
        *,
        layout: str | None = None,
        **axis_options: Any,
    ) -> None:
        rank = len(input_shape) - 2
        layout = layout or "NC" + SPATIAL[rank]
        space = [letter for letter in layout if letter not in "NC"]
        x = dict(zip(layout, input_shape, strict=True))
        kernel = per_axis(kernel_size, rank)
        stride = kernel if stride is None else stride
        axes = make_axes([x[s] for s in space], kernel, stride=stride, **axis_options)
        y = x | {s: axis.out for s, axis in zip(space, axes, strict=True)}
        self.input_shape = tuple(input_shape)
        self.output_shape = tuple(y[letter] for letter in layout)
        to, of = steps(layout, y), steps(layout, x)
        of_space = steps("".join(space), x)
        # Per output: the elements its window reads, each as (flat in input, flat over space).
        self.windows: list[list[tuple[int, int]]] = [[] for _ in range(prod(self.output_shape))]
        nowhere = [0] * rank
        in_input = sites(axes, [to[s] for s in space], [of[s] for s in space], nowhere)
        in_space = sites(axes, nowhere, [of_space[s] for s in space], nowhere)
        for n, c in product(range(x["N"]), range(x["C"])):
            for (q, h, _), (_, flat, _) in zip(in_input, in_space, strict=True):
                start = n * of["N"] + c * of["C"]
                at = (PAD, PAD) if h == PAD else (start + h, flat)
                self.windows[n * to["N"] + c * to["C"] + q].append(at)

    def max(self, x: Any) -> tuple[Array, Array, list[int]]:
        """Maxima, their places flat over space, and flat in the input.

        NaN wins, the first of ties wins.  A window that holds nothing but padding has maximum
        -Inf at -1.
        """
        source = values_of(x)
        best, over_space, winners = [], [], []
        for window in self.windows:
            value, place, winner = -inf, PAD, PAD
            for at, flat in window:
                if at == PAD or isnan(value):
                    continue
                if winner == PAD or source[at] > value or isnan(source[at]):
                    value, place, winner = source[at], flat, at
            best.append(value)
            over_space.append(place)
            winners.append(winner)
        shape = self.output_shape
        maxima = np.array(best, dtype=np.asarray(x).dtype).reshape(shape)
        return maxima, np.array(over_space, dtype=np.int64).reshape(shape), winners

    def max_backward(self, dy: Any, x: Any) -> Array:
        """Each gradient goes to the element that won."""
        winners = self.max(x)[2]
        to_winner = ((winner, at, 0) for at, winner in enumerate(winners))
        dx = add_up(to_winner, values_of(dy), [1], prod(self.input_shape))
        return to_array(dx, self.input_shape, dy)

    def divisor(self, window: list[tuple[int, int]], count_include_pad: bool) -> float:
        """What a window's sum is divided by: NaN where there is nothing to count."""
        return sum(1 for at, _ in window if count_include_pad or at != PAD) or nan

    def avg(self, x: Any, *, count_include_pad: bool = True) -> Array:
        source = values_of(x)
        means = [
            sum(source[at] for at, _ in window) / self.divisor(window, count_include_pad)
            for window in self.windows
        ]
        return np.array(means, dtype=float).reshape(self.output_shape)

    def avg_backward(self, dy: Any, *, count_include_pad: bool = True) -> Array:
        """Each gradient is dealt out in equal parts to the elements that were averaged."""
        share = [
            value / self.divisor(window, count_include_pad)
            for value, window in zip(values_of(dy), self.windows, strict=False)
        ]
        parts = ((at, q, 0) for q, window in enumerate(self.windows) for at, _ in window)
        return to_array(add_up(parts, share, [1], prod(self.input_shape)), self.input_shape, 0.0)
