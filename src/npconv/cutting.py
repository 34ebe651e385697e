"""The largest worthwhile tile under the workspace limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TypeAlias

from npconv.algorithms.protocol import Algorithm
from npconv.cost import seconds
from npconv.numbers import Numbers
from npconv.padding import padded_problem
from npconv.problem import ConvProblem, Direction
from npconv.tiling import Cut

# What positions may add to a tile beyond what its channels take anyway. Columns as large as
# the limit allows would be fresh memory, read back from beyond the caches: of 1, 2, 4, 8, 16
# and 64 MiB, 8 was the fastest or close to it for im2col and winograd on seven layers.
ROOM_BYTES = 8 * 2**20
TRANSFORMED_BYTES = 16 * 2**20
# Several images or groups go into one tile up to this size; larger tiles leave the cache,
# unless an algorithm cuts them further.
CACHE_BYTES = 2 * 2**20
# What takes long enough is cut in four or two tiles, if each takes so many seconds and has so
# many positions; or else channels are cut, if they are enough. More and smaller tiles would be
# shared more evenly, but begin and end while others hold the interpreter.
SECONDS_A_TILE, FEWEST_POSITIONS, FEWEST_CHANNELS = {4: 1.5e-3, 2: 3e-4}, 384, {4: 256, 2: 64}
# Of several images a tile has as many as take so long: else there would be none for other threads.
# Those of a kernel's gradient are added up, and so stay together.
MOST_SECONDS = 6e-4
TILE = 4  # outputs along each axis that a transform gives at once
FEWEST_ROWS = 512  # of the kernel's gradient, if it is cut along these

Shared: TypeAlias = tuple[tuple[int, int], ...]


@lru_cache(maxsize=4096)  # whoever packs the kernel, and with whatever threads
def find_cut(
    algorithm: Algorithm,
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    limit: int,
) -> tuple[Cut | None, int]:
    """Find the largest worthwhile tile under ``limit`` bytes, for any number of images.

    Returns the cut and the bytes its tiles need; the cut is None where even the smallest
    tile needs more, and then the bytes are the smallest limit that works.
    """
    most = _numbers(_whole(problem, direction))
    images, groups, K, C, *positions = range(len(most))
    shared: Shared = ()
    time = _seconds(algorithm, problem, direction, numbers)
    if algorithm.bands:
        shared = _shared(algorithm, problem, direction, time)
    for i, pieces in shared:
        most[i] = -(-most[i] // pieces)
        if not algorithm.direct and i == positions[0]:  # transforms take tiles whole
            most[i] = -(-most[i] // TILE) * TILE

    @cache
    def bytes_of(*cut: int) -> int:
        return tile_bytes(algorithm, problem, direction, numbers, _cut(cut))

    def grow(i: int, limit: int) -> bool:
        """Raise number i of the cut as far as it fits; say whether that is all of it."""
        fitting = _largest(most[i], lambda n: bytes_of(*cut[:i], n, *cut[i + 1 :]) <= limit)
        cut[i] = max(cut[i], fitting)
        if cut[i]:  # make the pieces about equal
            cut[i] = -(-most[i] // -(-most[i] // cut[i])) if most[i] else cut[i]
        return cut[i] >= most[i]

    smallest = _numbers(_smallest(problem, direction))
    # A transformed kernel is larger than it was, and where channels are cut each thread may have
    # one of its own.
    half = limit // 2 if algorithm.direct else min(limit // 2, TRANSFORMED_BYTES)
    small = min(limit, CACHE_BYTES)
    if bytes_of(*most) <= min(half, small):  # as nearly always: there is nothing to look for
        cut, fits = list(most), True
    else:
        cut = list(smallest)
        if bytes_of(*cut) > limit:
            return None, bytes_of(*cut)
        # Channels first, as every band needs them all, but leave half of the room to bands;
        # then whole rows before many rows; `all` stops at the first axis that is cut.
        channels_whole = grow(K, half) and grow(C, half)
        room = min(limit, bytes_of(*cut) + ROOM_BYTES)
        fits = all(grow(i, room) for i in reversed(positions)) and channels_whole
        fits = fits and grow(groups, room if algorithm.bands else small)
    if fits and not shared:
        # Every further image takes the same again, so there is no need to search.
        one, two = bytes_of(*cut), bytes_of(2, *cut[1:])
        cut[images] = 1 + max(0, small - one) // max(two - one, 1)
        if direction is not Direction.KERNEL_GRAD:
            more = _seconds(algorithm, problem, direction, numbers, images=2) - time
            cut[images] = max(1, min(cut[images], int(MOST_SECONDS / max(more, 1e-9))))
    while bytes_of(*cut) > limit:
        # Equal pieces are smaller than what was seen to fit, but what works through bands
        # of its own may need more for them.
        i = max(range(K, len(cut)), key=lambda i: cut[i] - smallest[i])
        cut[images], cut[i] = 1, smallest[i] + (cut[i] - smallest[i]) // 2
    return _cut(cut), bytes_of(*cut)


def _seconds(
    algorithm: Algorithm,
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    images: int = 1,
) -> float:
    """Estimate what so many images take that are not cut."""
    dtype, some = numbers.accumulator, padded_problem(problem)._replace(N=images)
    return seconds(algorithm.name, direction.value, algorithm.cost(some, direction, dtype), dtype)


def _shared(
    algorithm: Algorithm, problem: ConvProblem, direction: Direction, time: float
) -> Shared:
    """Say which numbers of a cut are divided, and into how many, for threads to share an image.

    ``time`` is what an image takes.
    """
    _, groups, K, C, rows = range(5)
    written = problem.size if direction is Direction.INPUT_GRAD else problem.out
    apart = 1
    if direction is Direction.INPUT_GRAD:
        # What outputs give to the rows of two bands, both compute.
        apart = max(1, 2 * (problem.axes[0].reach - 1))
    channels = problem.C if direction is Direction.INPUT_GRAD else problem.K
    for parts, least in SECONDS_A_TILE.items():
        if time < parts * least:
            continue
        if parts <= problem.G:
            return ((groups, parts),)
        # Bands of the kernel's gradient would have to be added up; blocks of input channels
        # have columns of their own.
        if (
            direction is Direction.KERNEL_GRAD
            and problem.C >= parts <= problem.C * problem.taps // FEWEST_ROWS
        ):
            # Transforms: each block of channels goes through them with each of the other side's.
            half = problem.K // 2
            if not algorithm.direct and parts == 4 and half >= FEWEST_CHANNELS[2]:
                return (K, 2), (C, 2)
            return ((C, parts),)
        if written[0] >= parts * apart and math.prod(written) >= parts * FEWEST_POSITIONS:
            return ((rows, parts),)
        if channels >= parts * FEWEST_CHANNELS[parts]:
            return ((C if direction is Direction.INPUT_GRAD else K, parts),)
    return ()


def tile_bytes(
    algorithm: Algorithm,
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    cut: Cut,
) -> int:
    """Bound the bytes of working arrays that tiles of this cut take.

    Operands are cast tile by tile; whether they need it is not known to a plan, so the
    copies always count, twice where there is one on the way (a coarser result dtype, a
    conjugate). The kernel gradient has
    two accumulators besides, its own and that of all tiles.
    """
    tile = largest_tile(problem, direction, cut)
    x = tile.N * tile.G * tile.C * math.prod(tile.size)
    y = tile.N * tile.G * tile.K * tile.pixels
    w = tile.G * tile.K * tile.C * tile.taps
    bias = tile.G * tile.K
    copies = {
        Direction.FORWARD: x + w + bias,
        Direction.INPUT_GRAD: y + w,
        Direction.KERNEL_GRAD: x + y + 2 * w,
    }[direction]
    if numbers.result != numbers.accumulator or numbers.accumulator.kind == "c":
        copies *= 2
    if problem.padding_mode != "zeros":
        copies += 3 * x  # gathered axis by axis, or folded and added up
    if direction is Direction.INPUT_GRAD:
        copies += x  # where a transposed convolution adds its bias
    dtype, whole = numbers.accumulator, padded_problem(problem)
    needed = algorithm.cost(tile, direction, dtype, tile._replace(axes=whole.axes)).workspace
    return needed + copies * dtype.itemsize


def largest_tile(problem: ConvProblem, direction: Direction, cut: Cut) -> ConvProblem:
    """Pose the problem of a tile as large as any of this cut."""
    axes = []
    for axis, extent in zip(padded_problem(problem).axes, cut.positions, strict=True):
        outputs, inputs = extent, extent
        if direction is Direction.INPUT_GRAD:
            span = (extent - 1) * axis.input_dilation + axis.reach
            outputs = min(axis.out, (span - 1) // axis.stride + 1)
        else:
            span = (extent - 1) * axis.stride + axis.reach
            beyond = 3 if axis.input_dilation > 1 else 1  # see Axis.reads
            inputs = min(axis.size, (span - 1) // axis.input_dilation + beyond)
        axes.append(axis.tile((0, outputs), (0, inputs)))
    return problem.part(N=cut.images, G=cut.groups, K=cut.K, C=cut.C, axes=tuple(axes))


def _smallest(problem: ConvProblem, direction: Direction) -> Cut:
    """One of everything, but for the channels that are summed over."""
    K = problem.K if direction is Direction.INPUT_GRAD else min(1, problem.K)
    C = problem.C if direction is Direction.FORWARD else min(1, problem.C)
    return Cut(1, 1, K, C, (1,) * problem.rank)


def _whole(problem: ConvProblem, direction: Direction) -> Cut:
    positions = problem.size if direction is Direction.INPUT_GRAD else problem.out
    return Cut(1, problem.G, problem.K, problem.C, positions)


def _numbers(cut: Cut) -> list[int]:
    return [cut.images, cut.groups, cut.K, cut.C, *cut.positions]


def _cut(numbers: Sequence[int]) -> Cut:
    images, groups, K, C, *positions = numbers
    return Cut(images, groups, K, C, tuple(positions))


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Find the largest number up to ``most`` that fits, or 0; fitting is monotone."""
    if fits(most):  # as nearly always
        return most
    best, above = 0, most
    while above - best > 1:
        middle = (best + above) // 2
        if fits(middle):
            best = middle
        else:
            above = middle
    return best
