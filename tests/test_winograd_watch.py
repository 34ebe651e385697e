"""Winograd's checks, made while operands are transformed: nothing escapes them anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from npconv import trust
from npconv.compiled import why_missing, winograd, winograd_gradient, winograd_steps
from npconv.problem import ConvProblem, Direction
from oracle import Array
from winograd_runs import cut_otherwise, operands, prepared_run, run_and_keep

pytestmark = pytest.mark.skipif(why_missing() is not None, reason="without Numba")
SHAPES = (5, 20, 13, 14), (18, 20, 3, 3)
OF_IMAGES = [Direction.FORWARD, Direction.INPUT_GRAD]  # whose images are checked one by one
CUTS = [3, 4, 64]  # tiles of a chunk: about a row of them, more than an image


def ways(problem: ConvProblem) -> Iterator[tuple[int, bool]]:
    """Cut into one panel and into many, which threads share, or each does some of its own."""
    seen = set()
    for nbytes in (winograd.PANEL_BYTES, 1):
        with cut_otherwise(winograd, PANEL_BYTES=nbytes):
            for threads in (1, 2, 3):
                cut = winograd.tiling(problem, np.dtype("f4"))
                cut = winograd.dealt(cut, problem.G, threads)
                seen.add(winograd.is_shared(cut, problem.G, threads))
                yield from ((threads, packed) for packed in (True, False))
    assert seen == {True, False}


def border(height: int, width: int) -> list[tuple[int, int]]:
    places = product(range(height), range(width))
    return [(h, w) for h, w in places if h in (0, height - 1) or w in (0, width - 1)]


@pytest.mark.parametrize("direction", OF_IMAGES)
def test_one_heavy_pixel_at_a_border_is_flagged_wherever_it_is(direction: Direction) -> None:
    problem, data = ConvProblem.of(*SHAPES, padding=1), operands(*SHAPES, padding=1)
    operand = data[0 if direction is Direction.FORWARD else 2]
    places = border(*operand.shape[2:])
    for threads, packed in ways(problem):
        for i, place in enumerate(places):
            at = (i % operand.shape[0], 7 * i % operand.shape[1], *place)
            was, operand[at] = operand[at], 1e8
            _, flags = prepared_run(problem, direction, data, threads, packed=packed)
            operand[at] = was
            wanted = [n == at[0] for n in range(operand.shape[0])]
            assert flags.astype(bool).tolist() == wanted, (at, threads, packed)


@pytest.mark.parametrize("padding", [0, 1, ((1, -3), (-1, 2)), ((-1, 1), (2, 2))])
def test_the_verdict_is_the_same_to_the_last_bit(padding: Any) -> None:
    shapes = (5, 20, 25, 14), SHAPES[1]
    problem, data = ConvProblem.of(*shapes, padding=padding), operands(*shapes, padding=padding)
    x, first = data[0].copy(), problem.axes[0].reads(0, problem.axes[0].out)[0]

    def doubts(times: float, threads: int, packed: bool) -> list[bool]:
        data[0][:, :, first] = x[:, :, first] * np.float32(times)
        _, flags = prepared_run(problem, Direction.FORWARD, data, threads, packed=packed)
        return [bool(flag) for flag in flags]

    low, high = 1.0, 1e6
    assert not doubts(low, 1, True)[0]
    assert doubts(high, 1, True)[0]
    while np.float32(low) < np.nextafter(np.float32(high), np.float32(0)):
        middle = (low + high) / 2
        low, high = (low, middle) if doubts(middle, 1, True)[0] else (middle, high)
    for threads, packed in ways(problem):
        for times in (low, high):
            assert doubts(times, threads, packed) == doubts(times, 1, True)
        assert not doubts(low, threads, packed)[0]
        assert doubts(high, threads, packed)[0]


@pytest.mark.parametrize("tiles", CUTS)
def test_one_heavy_pixel_of_either_operand_is_flagged(tiles: int) -> None:
    """It meets nothing but zeros, so nothing that the gradient holds is as heavy."""
    problem, data = ConvProblem.of(*SHAPES, padding=1), operands(*SHAPES, padding=1)
    with cut_otherwise(winograd_gradient, CHUNK_BYTES=1, FEW_TILES=tiles):
        for threads in (1, 2, 9):  # nine: ranges of output channels
            _, flags = prepared_run(problem, Direction.KERNEL_GRAD, data, threads, packed=True)
            assert not flags.any()
        for operand, other in ((data[0], data[2]), (data[2], data[0])):
            N, channels, height, width = operand.shape
            for i, (h, w) in enumerate(np.ndindex(height, width)):
                n, c = (0, N - 1, i % N)[i % 3], (0, channels - 1, 7 * i % channels)[i % 3]
                around = n, slice(None), slice(max(h - 1, 0), h + 2), slice(max(w - 1, 0), w + 2)
                was, met = operand[n, c, h, w], other[around].copy()
                operand[n, c, h, w], other[around] = 1e8, 0
                args = problem, Direction.KERNEL_GRAD, data, (1, 2, 9)[i % 3]
                _, flags = prepared_run(*args, packed=True)
                operand[n, c, h, w], other[around] = was, met
                assert flags[0], (n, c, h, w)


def test_gradients_of_few_numbers_are_looked_at_closely() -> None:
    """As behind a rectifier and a pooling: the product of all norms would be far too much."""
    x, w = (64, 16, 8, 8), (16, 16, 3, 3)
    problem, (a, kernel, dy) = ConvProblem.of(x, w, padding=1), operands(x, w, padding=1)
    rng = np.random.default_rng(0)
    for operand in (a, dy):
        weights = (rng.random(operand.shape) < 0.3) * rng.random((64, 16, 1, 1)) ** 8
        np.multiply(operand, weights, out=operand, casting="unsafe")
    of_x, of_dy = ((operand.astype("f8") ** 2).sum((0, 2, 3)) for operand in (a, dy))
    seen, grad = np.abs(a[:, of_x.argmax()]), np.abs(dy[:, of_dy.argmax()])
    padded = np.pad(seen, ((0, 0), (1, 1), (1, 1)))
    held = [(padded[:, r : r + 8, s : s + 8] * grad).sum() for r in range(3) for s in range(3)]
    assert np.sqrt(of_x.max() * of_dy.max()) / trust.ALLOWED_IN_KERNEL_GRAD > max(held)
    for threads in (1, 2):
        data = a, kernel, dy
        _, flags = prepared_run(problem, Direction.KERNEL_GRAD, data, threads, packed=True)
        assert not flags[0]


def norms(problem: ConvProblem, data: Any, threads: int) -> tuple[Array, Array, bool]:
    """Read the sums of squares where the check of a kernel's gradient finds them.

    And say whether chunks are cut within rows of tiles.
    """
    dtype = data[0].dtype
    cut = winograd.tiling(problem, dtype)
    of = winograd_gradient.chunks(problem, cut, threads)
    memory = run_and_keep(problem, Direction.KERNEL_GRAD, data, threads, packed=True)[2]
    shape = problem.G, of.streams, of.ranges, of.of_part
    count = int(np.prod(shape))
    sums = memory[of.norms_at :][: 8 * count].view("f8").reshape(shape).sum(axis=1)
    inputs, lanes = cut.inputs * cut.lanes, cut.lanes
    of_x = sums[:, 0, : problem.C]
    of_dy = sums[:, :, inputs:][..., : of.vectors * lanes].reshape(problem.G, -1)
    return of_x, of_dy[:, : problem.K], of.number > 1 and of.tiles % cut.columns > 0


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("padding", [0, 1, 2, ((2, -3), (-1, 0))])
@pytest.mark.parametrize("tiles", CUTS)
def test_every_pixel_is_in_its_norm_once(tiles: int, padding: Any, dtype: str) -> None:
    shapes = (5, 40, 13, 14), (70, 20, 3, 3)
    options: Any = {"padding": padding, "groups": 2}
    problem, rng = ConvProblem.of(*shapes, **options), np.random.default_rng(0)
    x, _, dy = operands(*shapes, **options)
    x, dy = (rng.integers(-3, 4, a.shape).astype(dtype) for a in (x, dy))  # so sums are exact
    read = [slice(*axis.reads(0, axis.out)) for axis in problem.axes]
    seen = x[:, :, read[0], read[1]]
    wanted_x = (seen**2).sum((0, 2, 3)).reshape(2, -1)
    wanted_dy = (dy**2).sum((0, 2, 3)).reshape(2, -1)
    w = np.zeros(shapes[1], dtype)
    with cut_otherwise(winograd_gradient, CHUNK_BYTES=1, FEW_TILES=tiles):
        first = norms(problem, (x, w, dy), 1)
        for threads in (1, 2, 9, 64):
            of_x, of_dy, cut = norms(problem, (x, w, dy), threads)
            np.testing.assert_array_equal(of_dy, wanted_dy)
            np.testing.assert_array_equal(of_x, first[0])
            assert (wanted_x <= of_x).all()
            assert (of_x <= (2 if cut else 1) * wanted_x).all()


def test_what_lies_behind_a_crop_is_not_even_read() -> None:
    x, w = (2, 20, 16, 18), (18, 20, 3, 3)
    for high, direction in product((-1, -2, -3, -5), (Direction.FORWARD, Direction.KERNEL_GRAD)):
        options: Any = {"padding": ((1, high), (-2, high))}
        problem, data = ConvProblem.of(x, w, **options), operands(x, w, **options)
        wanted, _ = prepared_run(problem, direction, data, 2, packed=True)
        data[0][:, :, high:] = data[0][..., high:] = data[0][..., :2] = np.nan
        got, flags = prepared_run(problem, direction, data, 2, packed=True)
        np.testing.assert_array_equal(got, wanted)
        assert not flags.any()


def test_a_bound_that_overflows_is_in_doubt() -> None:
    problem, data = ConvProblem.of(*SHAPES, padding=1), operands(*SHAPES, padding=1)
    x, w, _ = data
    x[1] *= np.float32(1e20)  # its squares are infinite
    _, flags = prepared_run(problem, Direction.KERNEL_GRAD, data, 1, packed=True)
    assert flags[0]
    x[1] *= np.float32(1e17)
    w *= np.float32(0.5)
    for threads, packed in ways(problem):
        _, flags = prepared_run(problem, Direction.FORWARD, data, threads, packed=packed)
        assert flags.tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("direction", OF_IMAGES)
def test_a_kernel_in_pieces_is_known_before_the_last_of_them(direction: Direction) -> None:
    shapes = (6, 70, 13, 14), (150, 70, 3, 3)
    problem, data = ConvProblem.of(*shapes, padding=1), operands(*shapes, padding=1)
    operand = data[0 if direction is Direction.FORWARD else 2]
    operand[3, 1, 0, 5] = 1e8
    with cut_otherwise(winograd_steps, U_BYTES=1, PIECE_BYTES=1, MANY_U_BYTES=1):
        for threads in (1, 2):
            _, flags = prepared_run(problem, direction, data, threads, packed=False)
            assert flags.tolist() == [0, 0, 0, 1, 0, 0]
