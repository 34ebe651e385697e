"""The matrices of Winograd's minimal filtering, as exact fractions.

``F(m, r)`` computes ``m`` outputs of a kernel of ``r`` elements from ``m + r - 1`` inputs
with as many products, where direct summation needs ``m * r``:

    y = output @ ((kernel @ w) * (input @ x))

Such matrices come from the Cook-Toom construction: a product of polynomials is known by
its values at ``m + r - 2`` points and its leading coefficient, and filtering is the
transpose of such a product (Winograd, Arithmetic Complexity of Computations, 1980; Lavin
and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, who call ``output``,
``kernel`` and ``input`` A^T, G and B^T).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npconv.problem import Array, Direction

# Exact fractions as pairs of integers: importing `fractions` would take longer than this.
Ratio: TypeAlias = tuple[int, int]
Matrix: TypeAlias = tuple[tuple[Ratio, ...], ...]


def _matrix(text: str) -> Matrix:
    """Read one row a line."""
    return tuple(tuple(map(_ratio, row.split())) for row in text.strip().splitlines())


def _ratio(text: str) -> Ratio:
    numerator, _, denominator = text.partition("/")
    return int(numerator), int(denominator or 1)


class Filtering(NamedTuple):
    """The three matrices of one ``F(m, r)``; ``t = m + r - 1`` elements stand between them."""

    output: Matrix  # (m, t)
    kernel: Matrix  # (t, r)
    input: Matrix  # (t, t)

    @property
    def m(self) -> int:
        """Outputs computed at a time."""
        return len(self.output)

    @property
    def r(self) -> int:
        """Kernel elements."""
        return len(self.kernel[0])

    @property
    def t(self) -> int:
        """Inputs read, and products formed, at a time."""
        return len(self.input)

    def gain(self, direction: Direction) -> float:
        """How much rounding errors are enlarged; see `_gain`.

        The input's gradient is a forward filtering; in the kernel's, kernel and output
        change places.
        """
        if direction is Direction.KERNEL_GRAD:
            return _gain(transpose(self.kernel), transpose(self.output), self.input)
        return _gain(self.output, self.kernel, self.input)


@lru_cache
def _gain(result: Matrix, first: Matrix, second: Matrix) -> float:
    """Bound the rounding errors of ``t`` products that reach one result.

    Product ``e`` is formed from magnitudes of at most ``sum |first[e, i] second[e, j]|
    |w_i| |x_j|`` and reaches result ``p`` times ``result[p, e]``. Pairs ``(i, j)`` of one
    lag ``j - i`` belong to one output of the convolution of absolute values, wherever it
    lies; with ``M`` the largest of these, all pairs of one lag together are at most ``M``
    times their largest coefficient. The roundings of different products are independent,
    so their squares add up.
    """
    output, one, other = (abs(numbers(m, np.dtype(float))) for m in (result, first, second))
    sums = np.zeros(len(second))
    for lag in range(1 - one.shape[1], other.shape[1]):
        pairs = [(i, i + lag) for i in range(one.shape[1]) if 0 <= i + lag < other.shape[1]]
        sums += np.max([one[:, i] * other[:, j] for i, j in pairs], axis=0)
    return math.sqrt(np.max(np.sum((output * sums) ** 2, axis=1)))


@lru_cache
def transpose(matrix: Matrix) -> Matrix:
    """Exchange rows and columns."""
    return tuple(zip(*matrix, strict=True))


@lru_cache(maxsize=64)
def numbers(matrix: Matrix, dtype: np.dtype[Any]) -> Array:
    """Round the fractions of a matrix once, to the dtype sums are formed in."""
    rows = [[dtype.type(above) / dtype.type(below) for above, below in row] for row in matrix]
    array: Array = np.array(rows, dtype)
    array.flags.writeable = False
    return array


# An axis without a window: every output is its input times the kernel's one element.
F_1_1 = Filtering(_matrix("1"), _matrix("1"), _matrix("1"))

# Points 0, -1, 2, 1/2 and infinity: of all such sets the errors are least with this one, for
# the reason that stands at F(4, 3).
F_4_2 = Filtering(
    output=_matrix("""
        1  1  1  1    0
        0 -1  2  1/2  0
        0  1  4  1/4  0
        0 -1  8  1/8  1
    """),
    kernel=_matrix("""
         1    0
        -2/9  2/9
         1/9  2/9
        -8/9 -4/9
         0    1
    """),
    input=_matrix("""
        1 -3/2 -3/2  1    0
        0  1   -5/2  1    0
        0 -1/2  1/2  1    0
        0 -2   -1    1    0
        0  1   -3/2 -3/2  1
    """),
)

# Points 0, 1, -1 and infinity (Lavin and Gray, 2016, equation 6).
F_2_3 = Filtering(
    output=_matrix("""
        1  1  1  0
        0  1 -1 -1
    """),
    kernel=_matrix("""
        1    0    0
        1/2  1/2  1/2
        1/2 -1/2  1/2
        0    0    1
    """),
    input=_matrix("""
        1  0 -1  0
        0  1  1  0
        0 -1  1  0
        0  1  0 -1
    """),
)

# Points 0, 1, -1, 1/2, -2 and infinity. With Lavin and Gray's 2 and -2 the errors are
# about twice as large in one axis and four times in two: a point, its negative and its
# reciprocal balance each other best (Barabasz, Anderson, Soodhalter and Gregg, Error
# Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks, 2020).
F_4_3 = Filtering(
    output=_matrix("""
        1  1  1  1    1  0
        0  1 -1  1/2 -2  0
        0  1  1  1/4  4  0
        0  1 -1  1/8 -8  1
    """),
    kernel=_matrix("""
          1      0      0
         1/3    1/3    1/3
        -1/3    1/3   -1/3
       -16/15  -8/15  -4/15
         1/15  -2/15   4/15
          0      0      1
    """),
    input=_matrix("""
        1 -3/2 -2    3/2  1  0
        0 -1    1/2  5/2  1  0
        0  1   -5/2  1/2  1  0
        0 -2   -1    2    1  0
        0  1/2 -1   -1/2  1  0
        0  1   -3/2 -2   3/2 1
    """),
)

BY_TILE = {filtering.t: filtering for filtering in (F_1_1, F_2_3, F_4_2, F_4_3)}
