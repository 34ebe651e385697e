"""Small convolution problems: a random supply of them, and the named ones.

A problem is shapes and options, as `npconv.conv` takes them; the arrays are drawn by whoever
uses it.  `random_problem` covers what the package serves: with a `random.Random` of a known
seed it gives the same problem again, and its `repr` can be pasted into a test.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from oracle import SPATIAL, Conv, Shape
from oracle_axes import make_axes

# What `served` may name beyond the features every problem may have.
FEATURES = frozenset({"input_dilation", "batch_groups", "padding_modes"})
NOTHING_MORE: frozenset[str] = frozenset()

LARGEST_SIZE = {1: 12, 2: 7, 3: 5, 4: 4}


@dataclass(frozen=True)
class RandomProblem:
    """Shapes and options; `Conv(...)` of the oracle says what they mean."""

    input_shape: Shape
    kernel_shape: Shape
    options: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def oracle(self) -> Conv:
        return Conv(self.input_shape, self.kernel_shape, **self.options)

    @property
    def output_shape(self) -> Shape:
        return self.oracle.output_shape

    @property
    def out_channels(self) -> int:
        return self.oracle.w["O"]


class Rejected(Exception):
    """The numbers drawn make no valid problem, or too large a one; draw again."""


def random_problem(
    rng: random.Random,
    *,
    max_products: int = 3000,
    ranks: Sequence[int] = (1, 2, 3),
    served: frozenset[str] = NOTHING_MORE,
) -> RandomProblem:
    """A valid problem of at most `max_products` products, with any of the served features."""
    assert served <= FEATURES, served
    while True:
        try:
            return _draw(rng, max_products, rng.choice(ranks), served)
        except Rejected:
            continue


def _draw(
    rng: random.Random, max_products: int, rank: int, served: frozenset[str]
) -> RandomProblem:
    options: dict[str, Any] = {}
    size = [rng.randint(1, LARGEST_SIZE[rank]) for _ in range(rank)]
    mode = "zeros"
    if "padding_modes" in served and rng.random() < 0.5:
        mode = options["padding_mode"] = rng.choice(["reflect", "replicate", "circular"])
    _draw_per_axis(rng, options, "stride", rank, 0.5)
    _draw_per_axis(rng, options, "dilation", rank, 0.35)
    if "input_dilation" in served and mode == "zeros":
        _draw_per_axis(rng, options, "input_dilation", rank, 0.5)
    if rng.random() < 0.75:
        options["padding"] = _draw_padding(rng, rank)
    kernel = _draw_kernel(rng, size, options)
    axes = make_axes(size, kernel, **options)
    if any(max(axis.low, axis.high) > _most_padding(mode, axis.size) for axis in axes):
        raise Rejected

    N, C, K = _draw_channels(rng, options, served)
    groups, batch_groups = options.get("groups", 1), options.get("batch_groups", 1)
    letters = _draw_layouts(rng, options, rank)
    x = dict(zip("NC" + letters, [N, C, *size], strict=True))
    w = dict(zip("OI" + letters, [K, C // groups, *kernel], strict=True))
    outs = prod(axis.out for axis in axes)
    if N // batch_groups * K * outs * (C // groups) * prod(kernel) > max_products:
        raise Rejected
    return RandomProblem(
        tuple(x[letter] for letter in options.get("layout") or "NC" + letters),
        tuple(w[letter] for letter in options.get("kernel_layout") or "OI" + letters),
        options,
    )


def _draw_per_axis(
    rng: random.Random, options: dict[str, Any], name: str, rank: int, chance: float
) -> None:
    """1, 2 or 3: left out, for all axes, or one each, as a tuple or a list."""
    if rng.random() < chance:
        each = [rng.randint(1, 3) for _ in range(rank)]
        options[name] = rng.choice([each[0], tuple(each), each])


def _draw_padding(rng: random.Random, rank: int) -> Any:
    form = rng.choice(["named", "named", "int", "per axis", "pairs", "crops", "crops"])
    if form == "named":
        named = ["valid", "same", "same_lower"]
        return rng.choice([*named, "causal", "causal"] if rank == 1 else named)
    if form == "int":
        return rng.randint(0, 3)
    if form == "per axis":
        return tuple(rng.randint(0, 3) for _ in range(rank))
    least = -2 if form == "crops" else 0
    return [(rng.randint(least, 3), rng.randint(least, 3)) for _ in range(rank)]


def _most_padding(mode: str, size: int) -> float:
    return {"reflect": size - 1, "circular": size}.get(mode, float("inf"))


def _draw_kernel(rng: random.Random, size: list[int], options: dict[str, Any]) -> list[int]:
    """Kernels that fit: of one element, as large as the padded input, or between."""
    named = isinstance(options.get("padding"), str)
    kernel = []
    # With one element nothing is padded by name, so this measures what is padded by number.
    for axis in make_axes(size, [1] * len(size), **options):
        room = axis.stretched + axis.low + axis.high
        if room < 1:
            raise Rejected
        fits = (room - 1) // axis.dilation + 1
        if named and options["padding"] != "valid":
            fits += 1  # these pads grow with the kernel; a little larger than the input, then
        kernel.append(rng.choice([1, fits, rng.randint(1, fits), min(2, fits), min(3, fits)]))
    return kernel


def _draw_channels(
    rng: random.Random, options: dict[str, Any], served: frozenset[str]
) -> tuple[int, int, int]:
    """N, C and K, now and then 0, with groups of every kind."""
    N = 0 if rng.random() < 0.04 else rng.randint(1, 3)
    kind = rng.choice(["one", "one", "groups", "depthwise", "batch groups"])
    if kind == "groups":
        G = options["groups"] = rng.randint(1, 3)
        return N, G * rng.randint(1, 2), G * rng.randint(1, 2)
    if kind == "depthwise":
        C = options["groups"] = rng.randint(2, 4)
        return N, C, C * rng.randint(1, 2)
    if kind == "batch groups" and "batch_groups" in served:
        G = options["batch_groups"] = rng.randint(1, 3)
        return N * G, rng.randint(1, 3), G * rng.randint(1, 2)
    C, K = (0 if rng.random() < 0.02 else rng.randint(1, 4) for _ in range(2))
    return N, C, K


def _draw_layouts(rng: random.Random, options: dict[str, Any], rank: int) -> str:
    """Set the layouts, and return the spatial letters in the order of the options."""
    letters = SPATIAL[rank]
    kind = rng.choice(["default", "default", "last", "input", "kernel", "both", "letters"])
    if kind == "last":
        options["layout"], options["kernel_layout"] = f"N{letters}C", f"{letters}IO"
    if kind == "letters":
        letters = "".join(rng.sample("ABDHTWXYZ", rank))
    if kind in ("input", "both", "letters"):
        options["layout"] = "".join(rng.sample("NC" + letters, rank + 2))
        letters = "".join(letter for letter in options["layout"] if letter not in "NC")
    if kind in ("kernel", "both", "letters"):
        options["kernel_layout"] = "".join(rng.sample("OI" + letters, rank + 2))
    return letters


NAMED = {
    "plain": RandomProblem((2, 3, 6, 5), (4, 3, 3, 2)),
    "pointwise": RandomProblem((2, 4, 4, 3), (3, 4, 1, 1)),
    "one_pixel": RandomProblem((1, 1, 1, 1), (1, 1, 1, 1)),
    "padded": RandomProblem((2, 2, 4, 5), (3, 2, 3, 3), {"padding": 1}),
    "strided": RandomProblem((2, 2, 7, 7), (3, 2, 3, 3), {"stride": 2}),
    "strided_leftover_rows": RandomProblem((2, 2, 8, 7), (3, 2, 3, 2), {"stride": (3, 2)}),
    "stride_beyond_kernel": RandomProblem((2, 2, 8, 9), (3, 2, 2, 1), {"stride": (3, 4)}),
    "asymmetric": RandomProblem((2, 2, 4, 5), (3, 2, 3, 3), {"padding": [(0, 2), (3, 1)]}),
    "cropped": RandomProblem((2, 2, 7, 8), (3, 2, 3, 2), {"padding": [(-1, -2), (-3, 1)]}),
    "padding_beyond_kernel": RandomProblem((1, 2, 3, 2), (2, 2, 2, 2), {"padding": (4, 3)}),
    "dilated": RandomProblem((2, 2, 13, 9), (3, 2, 3, 3), {"dilation": (3, 2), "padding": 1}),
    "dilated_strided": RandomProblem(
        (2, 2, 9, 8),
        (3, 2, 3, 2),
        {"dilation": 2, "stride": 2, "padding": [(2, 1), (0, 3)]},
    ),
    "long_windows": RandomProblem(
        (2, 2, 4, 60), (3, 2, 2, 17), {"stride": (2, 5), "padding": [(0, 0), (-3, -1)]}
    ),
    "same_stride2": RandomProblem((2, 2, 6, 7), (3, 2, 3, 4), {"padding": "same", "stride": 2}),
    "same_lower": RandomProblem((2, 2, 5, 4), (3, 2, 4, 2), {"padding": "same_lower"}),
    "causal": RandomProblem((2, 3, 9), (4, 3, 3), {"padding": "causal", "dilation": 2}),
    "kernel_is_input": RandomProblem((2, 3, 4, 5), (4, 3, 4, 5)),
    "kernel_is_padded_input": RandomProblem((2, 2, 2, 3), (3, 2, 4, 5), {"padding": 1}),
    "groups": RandomProblem((2, 4, 5, 4), (6, 2, 3, 2), {"groups": 2}),
    "groups_multiplier": RandomProblem((2, 3, 5, 4), (6, 1, 2, 3), {"groups": 3, "padding": 1}),
    "depthwise": RandomProblem((2, 4, 5, 6), (4, 1, 3, 3), {"groups": 4, "padding": "same"}),
    "channels_last": RandomProblem(
        (2, 6, 5, 3),
        (3, 2, 3, 4),
        {"layout": "NHWC", "kernel_layout": "HWIO", "padding": 1},
    ),
    "any_layout": RandomProblem(
        (5, 4, 2, 6),
        (2, 3, 2, 3),
        {"layout": "XCNY", "kernel_layout": "IYOX", "stride": (2, 1), "groups": 2},
    ),
    "rank1": RandomProblem((2, 3, 11), (4, 3, 3), {"stride": 2, "padding": [(1, 2)]}),
    "rank3": RandomProblem((1, 2, 4, 5, 3), (2, 2, 2, 3, 2), {"padding": (1, 0, 1)}),
    "rank4": RandomProblem((1, 2, 3, 2, 4, 3), (2, 2, 2, 1, 2, 2), {"stride": (1, 1, 2, 1)}),
    "empty_batch": RandomProblem((0, 2, 5, 5), (3, 2, 3, 3), {"padding": 1}),
    "no_input_channels": RandomProblem((2, 0, 5, 5), (3, 0, 3, 3)),
    "no_output_channels": RandomProblem((2, 3, 5, 5), (0, 3, 3, 3)),
}


def windows_of_three(seed: int) -> RandomProblem:
    """Draw what every algorithm serves: kernels of 3 and no stride; any rank, padding, layout."""
    rng = random.Random(seed)
    kernel = rng.choice([(3,), (3, 3), (3, 3), (3, 1), (1, 3), (3, 1, 3)])
    rank = len(kernel)
    pads = [(rng.randint(-1, 4), rng.randint(-1, 4)) for _ in kernel]
    size = [
        max(rng.randint(1, 11 - 2 * rank), k - sum(p), 1) for k, p in zip(kernel, pads, strict=True)
    ]
    options: dict[str, Any] = {"padding": pads}
    kind = rng.choice(["plain", "groups", "batch_groups", "mode", "layout"])
    N, C, K, G = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3), 1
    if kind in ("groups", "batch_groups"):
        G = options[kind] = 2
    if kind == "mode":
        options["padding_mode"] = "replicate"
    x, w = [N * G if kind == "batch_groups" else N, C * G, *size], [K * G, C, *kernel]
    if kind == "batch_groups":
        x[1] = C
    if kind == "layout":
        letters = "DHW"[-rank:]
        options |= {"layout": f"N{letters}C", "kernel_layout": f"{letters}IO"}
        x, w = [x[0], *x[2:], x[1]], [*w[2:], w[1], w[0]]
    return RandomProblem(tuple(x), tuple(w), options)


# Kernel, stride, dilation and holes along an axis: classes of one element and of two. Along two
# axes they are alike, for each pair of sizes of tiles has to be compiled.
ON_LATTICES = [
    *((3, 2, 1, 1), (3, 1, 2, 1), (3, 1, 1, 2), (3, 2, 3, 1), (4, 2, 1, 1)),
    *((4, 1, 1, 2), (2, 1, 1, 1), (6, 3, 1, 2), (6, 1, 1, 3)),
]


def windows_on_lattices(seed: int) -> RandomProblem:
    """Draw a stride, a dilation or holes, and classes of up to three kernel elements."""
    rng = random.Random(seed)
    rank = rng.choice([1, 2, 2, 2])
    size, *spread = rng.choice(ON_LATTICES)
    pads = [(rng.randint(-1, 4), rng.randint(-1, 4)) for _ in range(rank)]
    sizes = [rng.randint(6, 15) + max(0, spread[1] * (size - 1) - sum(p)) for p in pads]
    names = "stride", "dilation", "input_dilation"
    options: dict[str, Any] = {"padding": pads, **dict(zip(names, spread, strict=True))}
    N, C, K, G = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 2)
    if G == 2:
        options["groups"] = G
    if rng.random() < 0.2:
        options["padding_mode"] = "replicate"
    return RandomProblem((N, C * G, *sizes), (K * G, C, *(size,) * rank), options)
