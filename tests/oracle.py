"""What npconv must compute, said in plain Python loops.

The file is written from the public contract alone and imports nothing from the package: it is
the second opinion every algorithm is held against.  One list carries it, `Conv.terms`: every
product of a convolution as a triple of flat positions

    (output element, input element or PAD, kernel element)

and everything else is a loop over that list:

    y[o] += x[i] * w[k]        dx[i] += dy[o] * w[k]        dw[k] += dy[o] * x[i]

Padding zeros are terms (0 * Inf is NaN); holes of `input_dilation` and cropped positions are
not.  A layout is nothing but the strides with which letters become flat positions.  Values are
Python numbers: floats, complex numbers, or, in arrays of integers or objects, exact ints and
Fractions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from oracle_axes import HOLE, PAD, Axis, make_axes, per_axis

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# The spatial letters of each rank; beyond three any will do.
SPATIAL = ["", "W", "HW", "DHW", "ZDHW", "YZDHW"]

# Lists of operands end with one zero, which PAD = -1 reads; lists of sums end with one slot
# for it, which is cut off.  So padding is read as zero and what is sent to it is lost.


# --- from several axes to flat positions ----------------------------------------------------


def steps(letters: str, sizes: dict[str, int]) -> dict[str, int]:
    """How far apart neighbours along each letter lie in an array of that letter order."""
    return {
        letter: prod(sizes[later] for later in letters[place + 1 :])
        for place, letter in enumerate(letters)
    }


def dot(index: Sequence[int], step: Sequence[int]) -> int:
    return sum(i * s for i, s in zip(index, step, strict=True))


def sites(
    axes: Sequence[Axis],
    out: Sequence[int],
    source: Sequence[int],
    kernel: Sequence[int],
) -> list[tuple[int, int, int]]:
    """All (output, input or PAD, kernel) positions over space, as flat offsets.

    `out`, `source` and `kernel` are the steps of the axes in the three arrays.  A position is a
    hole if it is one along any axis, and else padding if it is that along any axis.
    """
    found = []
    for q in product(*(range(axis.out) for axis in axes)):
        for r in product(*(range(axis.kernel) for axis in axes)):
            at = [axis.read(p, t) for axis, p, t in zip(axes, q, r, strict=True)]
            if HOLE in at:
                continue
            found.append((dot(q, out), PAD if PAD in at else dot(at, source), dot(r, kernel)))
    return found


# --- values ---------------------------------------------------------------------------------


def values(array: Any) -> list[Any]:
    """The elements as Python numbers in C order, and the zero that PAD reads."""
    return [*np.asarray(array).ravel().tolist(), 0]


def add_up(triples: Iterable[tuple[int, int, int]], a: Any, b: Any, length: int) -> list[Any]:
    """`total[t] += a[i] * b[j]` over the triples (t, i, j)."""
    total = [0] * (length + 1)
    for t, i, j in triples:
        total[t] += a[i] * b[j]
    return total[:-1]


def over_one_denominator(floats: list[float]) -> tuple[list[int], int]:
    """Finite floats as integers over a common denominator: their sums and products are exact."""
    ratios = [number.as_integer_ratio() for number in floats]
    common = max(below for _, below in ratios)  # powers of two: the largest serves all
    return [above * (common // below) for above, below in ratios], common


def to_array(elements: list[Any], shape: Shape, *like: Any) -> Array:
    """Floats as float64, complex as complex128; integers and objects stay exact objects."""
    kinds = {np.dtype(a).kind if isinstance(a, type) else np.asarray(a).dtype.kind for a in like}
    dtype = object if kinds & set("Oiub") else complex if "c" in kinds else float
    return np.array(elements, dtype=dtype).reshape(shape)


def rounded(array: Array, exact: bool) -> Array:
    """Exact sums become floats here, by their only rounding; anything else passes."""
    return array.astype(float) if exact else array


# --- the convolution ------------------------------------------------------------------------


class Conv:
    """One convolution problem: shapes and the options of `npconv.conv`, and what they mean."""

    def __init__(
        self,
        input_shape: Shape,
        kernel_shape: Shape,
        *,
        groups: int = 1,
        batch_groups: int = 1,
        layout: str | None = None,
        kernel_layout: str | None = None,
        **axis_options: Any,
    ) -> None:
        self.layout = layout or "NC" + SPATIAL[len(input_shape) - 2]
        self.space = [letter for letter in self.layout if letter not in "NC"]
        self.kernel_layout = kernel_layout or "OI" + "".join(self.space)
        self.input_shape, self.kernel_shape = tuple(input_shape), tuple(kernel_shape)
        self.groups, self.batch_groups = groups, batch_groups
        self.x = dict(zip(self.layout, input_shape, strict=True))
        self.w = dict(zip(self.kernel_layout, kernel_shape, strict=True))
        self.axes = make_axes(
            [self.x[s] for s in self.space],
            [self.w[s] for s in self.space],
            **axis_options,
        )
        assert self.x["C"] == self.w["I"] * groups
        assert self.w["O"] % groups == self.w["O"] % batch_groups == 0
        assert self.x["N"] % batch_groups == 0
        self.y = {"N": self.x["N"] // batch_groups, "C": self.w["O"]}
        self.y |= {s: axis.out for s, axis in zip(self.space, self.axes, strict=True)}
        self.output_shape = tuple(self.y[letter] for letter in self.layout)

    @cached_property
    def terms(self) -> list[tuple[int, int, int]]:
        """Every product: (output, input or PAD, kernel) as flat positions."""
        y, x = steps(self.layout, self.y), steps(self.layout, self.x)
        w = steps(self.kernel_layout, self.w)
        space = sites(self.axes, *([step[s] for s in self.space] for step in (y, x, w)))
        found = []
        for n, o, c in product(range(self.y["N"]), range(self.w["O"]), range(self.w["I"])):
            group = o // (self.w["O"] // self.groups)
            batch_group = o // (self.w["O"] // self.batch_groups)
            image, channel = batch_group * self.y["N"] + n, group * self.w["I"] + c
            to = n * y["N"] + o * y["C"]
            of = image * x["N"] + channel * x["C"]
            by = o * w["O"] + c * w["I"]
            found += [(to + q, PAD if h == PAD else of + h, by + r) for q, h, r in space]
        return found

    def terms_per_element(self, direction: str) -> int:
        """The longest sum: products in one element of the result of that direction."""
        role = ("forward", "input_grad", "kernel_grad").index(direction)
        counts = Counter(term[role] for term in self.terms)
        return max((count for at, count in counts.items() if at != PAD), default=0)

    def forward(self, x: Any, w: Any, bias: Any = None, *, exact: bool = False) -> Array:
        """`y[o] += x[i] * w[k]`, plus the bias of the channel."""
        y = self._sums(self.terms, x, w, self.output_shape, exact)
        if bias is not None:
            y = self.add_bias(y, bias, exact=exact)
        return rounded(y, exact)

    def input_grad(self, dy: Any, w: Any, *, exact: bool = False, conjugate: bool = True) -> Array:
        """`dx[i] += dy[o] * conj(w[k])`; what goes to padding is lost."""
        w = np.conjugate(w) if conjugate else w
        triples = ((i, o, k) for o, i, k in self.terms)
        return rounded(self._sums(triples, dy, w, self.input_shape, exact), exact)

    def kernel_grad(self, dy: Any, x: Any, *, exact: bool = False) -> Array:
        """`dw[k] += dy[o] * conj(x[i])`; padding is read as zero."""
        x = np.conjugate(x)
        triples = ((k, o, i) for o, i, k in self.terms)
        return rounded(self._sums(triples, dy, x, self.kernel_shape, exact), exact)

    def bias_grad(self, dy: Any, *, exact: bool = False) -> Array:
        """The sum of `dy` over everything but the channels of `layout`."""
        sums = [Fraction(0) if exact else 0] * self.y["C"]
        place = self.layout.index("C")
        indices = np.ndindex(self.output_shape)
        for index, value in zip(indices, values(dy)[:-1], strict=True):
            sums[index[place]] += Fraction(value) if exact else value
        return rounded(to_array(sums, (self.y["C"],), object if exact else dy), exact)

    def add_bias(self, y: Array, bias: Any, *, exact: bool = False) -> Array:
        """`y` plus one number per channel; with `exact`, Fractions plus floats as Fractions."""
        addend = [Fraction(b) if exact else b for b in values(bias)]
        place = self.layout.index("C")
        indices = np.ndindex(y.shape)
        total = [
            value + addend[index[place]]
            for index, value in zip(indices, values(y)[:-1], strict=True)
        ]
        return to_array(total, y.shape, y)

    def _sums(
        self,
        triples: Iterable[tuple[int, int, int]],
        a: Any,
        b: Any,
        shape: Shape,
        exact: bool,
    ) -> Array:
        """The triples added up in the operands' own numbers, or as exact Fractions."""
        like = np.asarray(a), np.asarray(b)
        a, b = values(a), values(b)
        if not exact:
            return to_array(add_up(triples, a, b, prod(shape)), shape, *like)
        (a, a_below), (b, b_below) = over_one_denominator(a), over_one_denominator(b)
        total = add_up(triples, a, b, prod(shape))
        return to_array([Fraction(t, a_below * b_below) for t in total], shape, object)


def conv(input: Any, kernel: Any, bias: Any = None, **options: Any) -> Array:
    return Conv(np.shape(input), np.shape(kernel), **options).forward(input, kernel, bias)


def transposed(
    input_shape: Shape,
    kernel_shape: Shape,
    *,
    output_padding: Any = 0,
    layout: str | None = None,
    kernel_layout: str | None = None,
    **options: Any,
) -> Conv:
    """The convolution whose `input_grad` is `conv_transpose` of these shapes and options.

    Its output is the transposed convolution's input, and the letters O and I change places.
    `output_padding` lowers the high pad, so that what is left over at the end is never read.
    """
    layout = layout or "NC" + SPATIAL[len(input_shape) - 2]
    space = [letter for letter in layout if letter not in "NC"]
    letters = (kernel_layout or "IO" + "".join(space)).translate({ord("I"): "O", ord("O"): "I"})
    y = dict(zip(layout, input_shape, strict=True))
    w = dict(zip(letters, kernel_shape, strict=True))
    # Sizes do not enter the forms of padding a transposed convolution takes, so any would do.
    by_axis = {name: options[name] for name in options if name not in ("groups", "padding_mode")}
    axes = make_axes([1] * len(space), [w[s] for s in space], **by_axis)
    extra = per_axis(output_padding, len(space))
    x = {"N": y["N"], "C": w["I"] * options.get("groups", 1)}
    for s, a, more in zip(space, axes, extra, strict=True):
        x[s] = (y[s] - 1) * a.stride - a.low - a.high + a.reach + more
    options["padding"] = [(a.low, a.high - more) for a, more in zip(axes, extra, strict=True)]
    shape = tuple(x[letter] for letter in layout)
    return Conv(shape, kernel_shape, layout=layout, kernel_layout=letters, **options)


def conv_transpose(input: Any, kernel: Any, bias: Any = None, **options: Any) -> Array:
    problem = transposed(np.shape(input), np.shape(kernel), **options)
    y = problem.input_grad(input, kernel, conjugate=False)
    return y if bias is None else problem.add_bias(y, bias)
