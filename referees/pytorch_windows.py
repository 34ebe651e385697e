"""Calls of PyTorch's unfold, fold and pooling, put to npconv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import npconv
from npconv import pooling
from referees.operations import Array, unit_roundoff


@dataclass(frozen=True)
class UnfoldSample:
    """A call of unfold: im2col copies, so it is exact; its gradient is fold."""

    x: Array
    options: dict[str, Any]

    def forward(self) -> tuple[Array, ...]:
        """Lay out the columns."""
        return (npconv.im2col(self.x, **self.options),)

    def forward_allowed(self, _: Any) -> float:
        """Allow nothing: copies are exact."""
        return 0.0

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Add the columns back."""
        return (self.fold(dy),)

    def backward_allowed(self, dy: Array) -> tuple[Array, ...]:
        """How far sums of columns may differ."""
        return (self.fold_allowed(dy),)

    def fold(self, col: Array) -> Array:
        """Add columns back onto the input."""
        return npconv.col2im(col, self.x.shape, **self.options)

    def fold_allowed(self, col: Array) -> Array:
        """Bound the rounding of sums of columns: n values, n - 1 additions, on both sides."""
        size = np.abs(col).astype(np.float64)
        return sums_allowed(self.fold(np.ones_like(size)), self.fold(size), col.dtype)


@dataclass(frozen=True)
class FoldSample:
    """A call of fold, made of a sample of unfold; its gradient is unfold."""

    unfold: UnfoldSample
    col: Array

    def forward(self) -> tuple[Array, ...]:
        """Add the columns back."""
        return (self.unfold.fold(self.col),)

    def forward_allowed(self, _: Any) -> Array:
        """How far sums of columns may differ."""
        return self.unfold.fold_allowed(self.col)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Lay out the gradient's columns."""
        return (npconv.im2col(dy, **self.unfold.options),)

    def backward_allowed(self, _: Array) -> tuple[float, ...]:
        """Allow nothing: copies are exact."""
        return (0.0,)


@dataclass(frozen=True)
class MaxPoolSample:
    """A call of max_pool, with indices where they are asked for."""

    rank: int
    x: Array
    options: dict[str, Any]

    def forward(self) -> tuple[Array, ...]:
        """Compute the maxima, and where they stood."""
        options = dict(self.options)
        if options.pop("return_indices", False):
            both = pooling.max_pool_with_indices(self._batched(self.x), **options)
            return tuple(self._as_given(array) for array in both)
        return (self._as_given(pooling.max_pool(self._batched(self.x), **options)),)

    def forward_allowed(self, _: Any) -> float:
        """Allow nothing: maxima are exact."""
        return 0.0

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Gradient with respect to the input."""
        return (self._as_given(self._gradient(self._batched(dy))),)

    def backward_allowed(self, dy: Array) -> tuple[Array, ...]:
        """How far sums over the windows that an element won may differ."""
        size = np.abs(self._batched(dy)).astype(np.float64)
        counts, sums = self._gradient(np.ones_like(size)), self._gradient(size)
        return (self._as_given(sums_allowed(counts, sums, dy.dtype)),)

    def _gradient(self, dy: Array) -> Array:
        options = {name: v for name, v in self.options.items() if name != "return_indices"}
        return pooling.max_pool_backward(dy, self._batched(self.x), **options)

    def _batched(self, array: Array) -> Array:
        return array[np.newaxis] if self.x.ndim == self.rank + 1 else array

    def _as_given(self, array: Array) -> Array:
        return array[0] if self.x.ndim == self.rank + 1 else array


@dataclass(frozen=True)
class AvgPoolSample:
    """A call of avg_pool."""

    rank: int
    x: Array
    options: dict[str, Any]

    def forward(self) -> tuple[Array, ...]:
        """Compute the means."""
        return (self._as_given(pooling.avg_pool(self._batched(self.x), **self.options)),)

    def forward_allowed(self, dtype: np.dtype[Any]) -> Array | float:
        """How far means may differ: sums over at most a whole window, and a division."""
        if dtype.kind in "iu":
            return 0.0
        size = np.abs(self._batched(self.x)).astype(np.float64)
        means = pooling.avg_pool(size, **self.options)
        terms = np.full_like(means, np.prod(np.ones(self.rank) * self.options["kernel_size"]) + 2)
        return self._as_given(sums_allowed(terms, means, dtype))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Gradient with respect to the input."""
        return (self._as_given(self._gradient(self._batched(dy))),)

    def backward_allowed(self, dy: Array) -> tuple[Array, ...]:
        """How far sums of shares may differ."""
        size = np.abs(self._batched(dy)).astype(np.float64)
        terms = np.prod(np.ones(self.rank) * self.options["kernel_size"]) + 2
        sums = self._gradient(size)
        return (self._as_given(sums_allowed(np.full_like(sums, terms), sums, dy.dtype)),)

    def _gradient(self, dy: Array) -> Array:
        return pooling.avg_pool_backward(dy, self._batched(self.x), **self.options)

    def _batched(self, array: Array) -> Array:
        return array[np.newaxis] if self.x.ndim == self.rank + 1 else array

    def _as_given(self, array: Array) -> Array:
        return array[0] if self.x.ndim == self.rank + 1 else array


def sums_allowed(terms: Array, magnitude: Array, dtype: np.dtype[Any]) -> Array:
    """Bound how far two sums of that many terms may lie apart, whatever their order."""
    if dtype.kind in "iu":
        return np.zeros(())
    return np.asarray(2 * unit_roundoff(dtype) * terms * magnitude)
