"""Values nobody should pass, by the kind of argument they are passed for.

Each names the error that must answer it.  Values are made anew for every call, because some are
used up by a first look and all must be found unchanged afterwards.
"""

from __future__ import annotations

import array
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from npconv import ConvError, DTypeError, ShapeError, UnsupportedError
from oracle import Array, Shape

Errors = type[ConvError] | tuple[type[ConvError], ...]


@dataclass(frozen=True)
class Hostile:
    """A value, the error that must answer it, and whether its text can name the argument."""

    id: str
    make: Callable[[], Any]
    error: Errors
    named: bool = True


def fixed(error: Errors, **values: Any) -> list[Hostile]:
    """Values that nothing can use up or change."""
    return [Hostile(id, partial(_same, value), error) for id, value in values.items()]


def _same(value: Any) -> Any:
    return value


def made(error: Errors, **factories: Callable[[], Any]) -> list[Hostile]:
    return [Hostile(id, make, error) for id, make in factories.items()]


def of_shapes(error: Errors, *shapes: Shape) -> list[Hostile]:
    """Arrays of those shapes, fine but for the shape."""
    return [
        Hostile("shape_" + "x".join(map(str, shape)), partial(np.ones, shape), error)
        for shape in shapes
    ]


class HasArray:
    """What a data frame or another library's array looks like to NumPy."""

    def __init__(self, values: Array) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype)


class HasArrayInterface:
    """The older way to be taken for an array."""

    def __init__(self, values: Array) -> None:
        self.values = values
        self.__array_interface__ = values.__array_interface__


class HasDlpack(HasArray):
    """The newer way."""

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


def contains_itself() -> list[Any]:
    knot: list[Any] = []
    knot.append(knot)
    return knot


def nested(levels: int) -> list[Any]:
    value: list[Any] = [1.0]
    for _ in range(levels):
        value = [value]
    return value


def image(dtype: Any = float) -> Array:
    return np.zeros((2, 4, 5, 6), dtype)


NO_NUMBERS = [
    *fixed(DTypeError, none=None, string="1 2 3", bytes=b"\x01\x02", range=range(3)),
    *fixed(DTypeError, type=int, ellipsis=..., slice=slice(3), decimal=Decimal(1)),
    *made(DTypeError, object=object, dict=lambda: {0: [1.0]}, set=lambda: {1.0}),
    *made(DTypeError, generator=lambda: (row for row in image()), endless=itertools.count),
]

ARRAYS = [
    *NO_NUMBERS,
    *fixed(ShapeError, number=1.5, numpy_number=np.float64(1.5), true=True, complex=1j),
    *made(ShapeError, no_axes=lambda: np.array(1.5), empty_list=list, empty_tuple=tuple),
    *made((ShapeError, UnsupportedError), axes_64=lambda: np.ones((1,) * 64)),
    *made(DTypeError, ragged=lambda: [[1.0], [1.0, 2.0]], list_of_none=lambda: [None]),
    *made(DTypeError, list_of_strings=lambda: [["1"]], string_at_the_end=lambda: [1.0, "2"]),
    *made(DTypeError, none_at_the_end=lambda: [[1.0, None]], list_of_dicts=lambda: [{}]),
    *made(DTypeError, list_in_itself=contains_itself, list_90_deep=lambda: nested(90)),
    *made(DTypeError, masked=lambda: np.ma.array(image(), mask=image(bool))),
    *made(DTypeError, list_of_masked=lambda: list(np.ma.masked_equal(image(), 0))),
    *made(DTypeError, has_array=lambda: HasArray(image())),
    *made(DTypeError, has_array_interface=lambda: HasArrayInterface(image())),
    *made(DTypeError, has_dlpack=lambda: HasDlpack(image())),
    *made(DTypeError, list_of_has_array=lambda: [image()[0], HasArray(image()[0])]),
    *made(DTypeError, array_array=lambda: array.array("d", [1.0])),
    *made(DTypeError, bytearray=lambda: bytearray(8), memoryview=lambda: image().data),
    *made(DTypeError, text=lambda: image("U3"), raw_text=lambda: image("S3")),
    *made(DTypeError, void=lambda: image("V8"), record=lambda: image("f8,f8")),
    *made(DTypeError, recarray=lambda: image("f8,f8").view(np.recarray)),
    *made(DTypeError, date=lambda: image("M8[D]"), duration=lambda: image("m8[s]")),
]

# Arrays of objects are for exact numbers, which compute without failing halfway.
OBJECTS = made(
    DTypeError,
    objects_none=lambda: np.full((2, 4, 5, 6), None),
    objects_text=lambda: np.full((2, 4, 5, 6), "1", object),
    objects_float=lambda: np.full((2, 4, 5, 6), 1.0, object),
    objects_decimal=lambda: np.full((2, 4, 5, 6), Decimal(1)),
    objects_array=lambda: np.array([np.ones(2), None], object),
)

BIASES = [
    *(each for each in NO_NUMBERS if each.id != "none"),
    *fixed(ShapeError, number=1.5, true=True),
    *of_shapes(ShapeError, (), (0,), (1,), (5,), (7,), (6, 1), (1, 6), (1, 6, 1, 1)),
    *made(DTypeError, complex=lambda: np.ones(6, complex), objects=lambda: np.ones(6, object)),
    *made(DTypeError, date=lambda: np.ones(6, "M8[s]"), masked=lambda: np.ma.ones(6)),
    *made(DTypeError, has_array=lambda: HasArray(np.ones(6)), text=lambda: ["a"] * 6),
]

# For one whole number.
NO_INTEGERS = [
    *fixed(DTypeError, nan=np.nan, inf=np.inf, half=1.5, one_float=1.0, complex=1j),
    *fixed(DTypeError, float64=np.float64(1), float32=np.float32(1), true=True, np_true=np.True_),
    *fixed(DTypeError, string="1", bytes=b"1", none=None, decimal=Decimal(1)),
    *fixed(DTypeError, fraction=Fraction(1), date=np.datetime64(1, "s"), type=int),
    *made(DTypeError, object=object, dict=dict, set=lambda: {1, 2}, frozenset=frozenset),
    *made(DTypeError, generator=lambda: (n for n in (1, 1)), endless=lambda: itertools.count(1)),
    *made(DTypeError, float_array=lambda: np.array(1.0), has_array=lambda: HasArray(np.ones(2))),
]
OUT_OF_RANGE = fixed(ShapeError, zero=0, minus_1=-1, minus_2_63=-(2**63), beyond=10**5000)
COUNTS = [
    *NO_INTEGERS,
    *OUT_OF_RANGE,
    *made(DTypeError, list=lambda: [1], array=lambda: np.array([1])),
]

# For one whole number, or one for each of two axes; at least 1.
STEPS = [
    *NO_INTEGERS,
    *OUT_OF_RANGE,
    *fixed(ShapeError, beyond_int64=2**63, three=(1, 1, 1), one=(1,), zero_second=(1, 0)),
    *fixed(ShapeError, minus_array=np.array([1, -1]), beyond_second=(1, 2**64)),
    *made(ShapeError, empty=list, empty_array=lambda: np.array([], int)),
    *made(DTypeError, ragged=lambda: [[1], [1, 2]], pair_of_lists=lambda: [[1], [1]]),
    *made(DTypeError, nan_second=lambda: [1, np.nan], none_second=lambda: [1, None]),
    *made(DTypeError, floats=lambda: np.ones(2), bools=lambda: np.ones(2, bool)),
    *made(DTypeError, strings=lambda: ["1", "1"], objects=lambda: np.array([1, None])),
    *made(DTypeError, masked=lambda: np.ma.array([1, 1], mask=[False, True])),
]

PADDINGS = [
    *(each for each in NO_INTEGERS if each.id != "string"),
    *fixed(UnsupportedError, unknown="full", capitals="SAME", empty_name="", causal="causal"),
    *fixed(ShapeError, minus_1=-1, minus_2_63=-(2**63), beyond=10**5000, three=(1, 1, 1)),
    *fixed(ShapeError, one=(1,), minus_second=(1, -1), one_pair=((1, 1),), pairs_3=((1, 1),) * 3),
    *fixed(ShapeError, triples=((1, 1, 1),) * 2, singles=((1,), (1,)), all_cut=((-9, 0),) * 2),
    *fixed(ShapeError, beyond_second=((1, 1), (1, 2**63))),
    *made(DTypeError, names=lambda: ["same", "same"], nan_pair=lambda: [(1, np.nan), (1, 1)]),
    *made(DTypeError, none_second=lambda: [(1, 1), None], float_pairs=lambda: np.ones((2, 2))),
    *made(DTypeError, deeper=lambda: [[[1], [1]], [[1], [1]]], set_second=lambda: [(1, 1), {1, 2}]),
]

SHAPES = [
    *fixed(DTypeError, none=None, number=4, nan=np.nan, string="2456", bytes=b"2456"),
    *made(DTypeError, object=object, set=lambda: {2, 4, 5, 6}, dict=dict),
    *made(DTypeError, generator=lambda: (n for n in (2, 4, 5, 6)), endless=itertools.count),
    *fixed(DTypeError, float_size=(2, 4.0, 5, 6), nan_size=(2, np.nan, 5, 6), true=(2, True, 5, 6)),
    *fixed(DTypeError, none_size=(2, None, 5, 6), string_size=(2, "4", 5, 6), pair=((2, 4), 5, 6)),
    *made(DTypeError, floats=lambda: np.ones(4), array=lambda: np.ones((2, 4, 5, 6), int)),
    *fixed(ShapeError, negative=(2, 4, -5, 6), minus_2_63=(-(2**63), 4, 5, 6)),
    *fixed(ShapeError, beyond=(2, 4, 5, 10**5000), beyond_int64=(2, 2**63, 5, 6)),
    *fixed(ShapeError, empty=(), one=(2,), two=(2, 4), three=(2, 4, 5), five=(2, 4, 5, 6, 7)),
    *fixed(ShapeError, channels=(2, 3, 5, 6)),
]

NAMES = [
    *fixed(UnsupportedError, empty="", unknown="fastest", blank="auto ", bytes=b"auto", number=5),
    *fixed(UnsupportedError, nan=np.nan, true=True, type=str, none=None),
    *made(UnsupportedError, list=lambda: ["im2col"], dict=dict, object=object),
    *made(UnsupportedError, array=lambda: np.array(["naive", "im2col"])),
]

LAYOUTS = [
    *fixed(UnsupportedError, short="NCH", long="NCHWD", twice="NCHH", lower="nchw", empty=""),
    *fixed(UnsupportedError, no_batch="ACHW", no_channels="NAHW", kernel_letters="NCIO"),
    *fixed(UnsupportedError, digits="NC12", blanks="NC W", bytes=b"NCHW", number=4, nan=np.nan),
    *made(UnsupportedError, list=lambda: list("NCHW"), array=lambda: np.array(list("NCHW"))),
    *fixed(UnsupportedError, far="ABDEFGHIJKN"),
]
KERNEL_LAYOUTS = [
    *fixed(UnsupportedError, short="OIH", twice="OIHH", other_space="OIHX", empty="", lower="oihw"),
    *fixed(UnsupportedError, input_letters="NCHW", no_input="OAHW", bytes=b"OIHW", number=4),
    *made(UnsupportedError, list=lambda: list("OIHW")),
]

DTYPES = [
    *fixed(DTypeError, unknown="float33", number=5, nan=np.nan, text="U5", date="M8[s]"),
    *fixed(DTypeError, comma="i4,,", record="f4,f4", bad_dict={"names": ["a"]}, void="V4"),
    *fixed(DTypeError, subarray=(float, (2,)), fields=[("a", float)], one_tuple=(int,)),
    *made(DTypeError, object=object, array=lambda: np.ones(2), long=lambda: "f" * 10_000),
]
LOSSY_DTYPES = fixed(DTypeError, int64="int64", bool=bool, uint8=np.uint8, objects=np.object_)

NEEDS = [
    *fixed(UnsupportedError, unknown="output", none=None, number=5, nan=np.nan, bytes=b"bias"),
    *fixed(UnsupportedError, one_wrong=("input", "weight"), capital=("Input",), true=True),
    *made(UnsupportedError, nested=lambda: [["input"]], of_none=lambda: [None], object=object),
    *made(UnsupportedError, endless=lambda: itertools.cycle(["input"])),
]

NUMBERS = [
    *fixed(DTypeError, nan=np.nan, inf=np.inf, minus_inf=-np.inf, none=None, true=True),
    *fixed(DTypeError, string="0.1", bytes=b"0.1", complex=0.1j, decimal=Decimal("0.1")),
    *fixed(DTypeError, beyond=10**400, far_beyond=10**5000, float32_nan=np.float32(np.nan)),
    *made(DTypeError, list=lambda: [0.1], array=lambda: np.array(0.1), object=object),
]
STEP_SIZES = [
    *NUMBERS,
    *fixed(UnsupportedError, zero=0.0, minus=-1e-5, too_small=1e-30),
]


def outs(shape: Shape) -> list[Hostile]:
    """For the result array of a call whose result is float64 of that shape."""

    def read_only() -> Array:
        out = np.empty(shape)
        out.flags.writeable = False
        return out

    def same_memory() -> Array:
        return as_strided(np.empty(shape[1:]), shape, (0, *np.empty(shape[1:]).strides))

    return [
        *fixed(DTypeError, string="out", number=1.5, true=True, type=np.ndarray),
        *made(DTypeError, list=lambda: np.zeros(shape).tolist(), object=object),
        *made(DTypeError, float32=lambda: np.zeros(shape, "f4"), ints=lambda: np.zeros(shape, int)),
        *made(DTypeError, foreign_endian=lambda: np.zeros(shape, ">f8")),
        *made(DTypeError, complex=lambda: np.zeros(shape, complex)),
        *made(DTypeError, masked=lambda: np.ma.zeros(shape)),
        *made(DTypeError, has_array=lambda: HasArray(np.zeros(shape))),
        *of_shapes(ShapeError, (), (0,), shape[1:], (1, *shape), shape[:-1], shape[::-1]),
        *made(UnsupportedError, read_only=read_only, overlaps_itself=same_memory),
        *made(UnsupportedError, broadcast=lambda: np.broadcast_to(1.0, shape)),
    ]


def without(values: Iterable[Hostile], *ids: str) -> list[Hostile]:
    return [value for value in values if value.id not in ids]


# One of each sort, for where the same gate is passed by another road.
SORTS = {"nan", "inf", "one_float", "true", "string", "none", "endless", "zero", "minus_1"}
SORTS |= {
    "int64",
    "beyond",
    "three",
    "unknown",
    "causal",
    "triples",
    "twice",
    "list",
    "dict",
    "masked",
}


def some(values: Iterable[Hostile]) -> list[Hostile]:
    return [value for value in values if value.id in SORTS or value.id.startswith("shape_")]
