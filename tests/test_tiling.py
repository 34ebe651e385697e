"""Tiling: large problems under small limits, the same results, and the same bits.

Small whole numbers make every sum exact, so that results must be equal bit for bit however they
are cut (by direct summation; Winograd has tests of its own).  Normals show that the bits do not
depend on company where they could.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import npconv
from checks import DEPTHWISE
from npconv.algorithms import REGISTRY
from npconv.problem import Direction
from npconv.tiling import blocks, tiles
from oracle import Array, Shape

KB, MB = 2**10, 2**20
NO_LIMIT = 2**40
DIRECTIONS = [direction.value for direction in Direction]
# What Python itself makes of a call (frames, tuples, the cache of plans), and of each band.
PYTHON_BYTES, BAND_BYTES = 64 * KB, KB


class Case(NamedTuple):
    """A problem too large for its limits."""

    input_shape: Shape
    kernel_shape: Shape
    options: dict[str, Any]
    limits: tuple[int, ...]
    dtypes: tuple[str, str] = ("f4", "f4")
    form: Callable[[Array], Array] = np.ascontiguousarray


CASES = {
    "vgg": Case((1, 64, 224, 224), (64, 64, 3, 3), {"padding": 1}, (64 * MB, 16 * MB, 4 * MB)),
    "casts": Case((2, 24, 56, 56), (32, 24, 3, 3), {"stride": 2}, (MB,), ("f4", "f8")),
    "channels_last": Case(
        (2, 50, 60, 32),
        (3, 3, 32, 24),
        {"layout": "NHWC", "kernel_layout": "HWIO", "padding": "same"},
        (4 * MB, 512 * KB),
    ),
    "large_kernel": Case((1, 192, 14, 14), (192, 192, 3, 3), {"padding": 1}, (2 * MB, 512 * KB)),
    "dilation_512": Case(
        (1, 4, 560, 16),
        (4, 4, 3, 3),
        {"dilation": (512, 1), "padding": (512, 1)},
        (MB,),
    ),
    "depthwise": Case((2, 64, 60, 60), (64, 1, 3, 3), {"groups": 64, "padding": 1}, (256 * KB,)),
    "groups": Case((2, 32, 48, 48), (48, 8, 5, 5), {"groups": 4, "stride": (2, 1)}, (512 * KB,)),
    "long": Case((2, 8, 20_000), (8, 8, 9), {"padding": "causal"}, (512 * KB,)),
    "rank_3": Case((1, 8, 20, 21, 22), (8, 8, 3, 3, 3), {"padding": [(2, 0)] * 3}, (512 * KB,)),
    "fortran": Case((3, 16, 40, 40), (16, 16, 3, 3), {}, (512 * KB,), form=np.asfortranarray),
    "backwards": Case(
        (2, 16, 40, 40), (16, 16, 3, 3), {}, (512 * KB,), form=lambda a: np.flip(np.flip(a).copy())
    ),
    "foreign_endian": Case((2, 16, 40, 40), (16, 16, 3, 3), {}, (512 * KB,), (">f4", ">f4")),
    "crops": Case((2, 16, 60, 60), (16, 16, 3, 3), {"padding": [(-9, 3), (4, -7)]}, (256 * KB,)),
    "modes": Case(
        (2, 8, 60, 60), (8, 8, 3, 3), {"padding": 20, "padding_mode": "circular"}, (512 * KB,)
    ),
    "replicated": Case(
        (2, 8, 9, 60), (8, 8, 3, 3), {"padding": 40, "padding_mode": "replicate"}, (512 * KB,)
    ),
    "holes": Case(
        (2, 8, 30, 30), (8, 8, 3, 3), {"input_dilation": (2, 3), "padding": 2}, (512 * KB,)
    ),
    "batch_groups": Case((6, 8, 40, 40), (12, 8, 3, 3), {"batch_groups": 3}, (256 * KB,)),
    "halves": Case((2, 16, 40, 40), (16, 16, 3, 3), {}, (512 * KB,), ("f2", "f2")),
    "complex": Case((2, 16, 40, 40), (16, 16, 3, 3), {}, (MB,), ("F", "F")),
    "integers": Case((2, 16, 40, 40), (16, 16, 3, 3), {}, (2 * MB,), ("i8", "i4")),
}
RUNS = [
    pytest.param(name, limit, id=f"{name}-{limit // KB}kB")
    for name, case in CASES.items()
    for limit in case.limits
]


def whole_numbers(shape: Shape, dtype: str, seed: int, most: int = 3) -> Array:
    """Sums of these are exact in every dtype and order."""
    rng = np.random.default_rng(seed)
    return rng.integers(-most, most + 1, shape, np.int8).astype(dtype)


def run(direction: str, case: Case, x: Array, w: Array, dy: Array) -> Array:
    if direction == "forward":
        return npconv.conv(x, w, **case.options)
    if direction == "input_grad":
        return npconv.conv_input_grad(dy, w, x.shape, **case.options)
    return npconv.conv_kernel_grad(dy, x, w.shape, **case.options)


def plan_of(case: Case, direction: str, dtype: Any) -> npconv.Plan:
    shapes = case.input_shape, case.kernel_shape
    return npconv.plan_conv(*shapes, dtype=dtype, direction=direction, **case.options)


def operands(case: Case, direction: str) -> tuple[Array, Array, Array]:
    """Input, kernel and `grad_output`; of float16 so few that sums stay exact."""
    first, second = case.dtypes
    # The larger sums of a kernel gradient need smaller numbers.
    most = 1 if direction == "kernel_grad" else 3
    geometry = {name: v for name, v in case.options.items() if name != "algorithm"}
    y_shape = npconv.conv_output_shape(case.input_shape, case.kernel_shape, **geometry)
    x_dtype, dy_dtype = (second, first) if direction == "kernel_grad" else (first, first)
    return (
        case.form(whole_numbers(case.input_shape, x_dtype, 1, most)),
        case.form(whole_numbers(case.kernel_shape, second, 2)),
        case.form(whole_numbers(y_shape, dy_dtype, 3, most)),
    )


def bands(plan: npconv.Plan) -> int:
    """How many bands the axes are cut into, each of which is listed."""
    problem = plan.choice.problem
    whole = problem.size if plan.choice.direction is Direction.INPUT_GRAD else problem.out
    return sum(-(-n // m) for n, m in zip(whole, plan.choice.cut.positions, strict=True))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("name", "limit"), RUNS)
def test_workspace_is_kept_and_results_are_the_same(name: str, limit: int, direction: str) -> None:
    case = CASES[name]
    x, w, dy = operands(case, direction)
    with npconv.settings(workspace_limit=NO_LIMIT, accuracy="strict"):
        whole = run(direction, case, x, w, dy)
    with npconv.settings(workspace_limit=limit, accuracy="strict"):
        plan = plan_of(case, direction, np.result_type(*case.dtypes))
        if name != "vgg":
            run(direction, case, x, w, dy)  # so that what Python keeps for later calls is there
        tracemalloc.start()
        try:
            result = run(direction, case, x, w, dy)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert plan.workspace_bytes <= limit
    assert plan.algorithm != "naive"
    listed = PYTHON_BYTES + BAND_BYTES * bands(plan)
    assert peak - result.nbytes <= plan.workspace_bytes + listed
    assert result.dtype == whole.dtype == np.result_type(*case.dtypes)
    np.testing.assert_array_equal(result, whole)


@pytest.mark.parametrize("limit", [64 * KB, MB])
def test_a_bias_is_cast_block_by_block(limit: int) -> None:
    channels = 2**15
    x, w = np.ones((1, channels, 4), "f4"), np.ones((channels, 1, 2), "f4")
    bias = np.arange(channels, dtype=float)
    with npconv.settings(workspace_limit=limit):
        npconv.conv(x, w, bias, groups=channels)
        tracemalloc.start()
        try:
            y = npconv.conv(x, w, bias, groups=channels)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None] + 2, (1, channels, 3)))
    assert peak - y.nbytes <= limit + PYTHON_BYTES


# --- what the cut depends on ---------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("limit", [64 * MB, 4 * MB, 512 * KB])
@pytest.mark.parametrize("name", ["vgg", "channels_last", "groups", "long", "rank_3", "modes"])
def test_the_cut_is_the_problems_and_the_limits(name: str, limit: int, direction: str) -> None:
    """The algorithm, its tiles and their bytes are the same for any N and any threads.

    Threads only say how many tiles there are at once, as far as the limit allows.
    """
    case, found = CASES[name], set()
    for N in (1, 2, 7, 1000, 2**40):
        for threads in (1, 2, 64):
            with npconv.settings(workspace_limit=limit, threads=threads):
                plan = plan_of(
                    case._replace(input_shape=(N, *case.input_shape[1:])), direction, "f4"
                )
            best = plan.choice.best
            found.add((best.name, best.cut, best.workspace))
            assert plan.choice.threads <= threads
            assert plan.workspace_bytes <= limit
    assert len(found) == 1


def test_a_smaller_limit_gives_no_larger_tiles() -> None:
    case, sizes = CASES["vgg"]._replace(options={"padding": 1, "algorithm": "im2col"}), []
    for limit in (256 * MB, 64 * MB, 16 * MB, 4 * MB, MB, 256 * KB):
        with npconv.settings(workspace_limit=limit):
            cut = plan_of(case, "forward", "f4").choice.cut
        sizes.append(cut.K * cut.C * math.prod(cut.positions))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


# --- the same bits -------------------------------------------------------------------------

BATCHES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "plain": ((5, 12, 24, 25), (20, 12, 3, 3), {"padding": 1}),
    "one_output_channel": ((5, 12, 24, 25), (1, 12, 3, 3), {}),
    "one_input_channel": ((5, 1, 24, 25), (20, 1, 3, 3), {}),
    "one_position": ((5, 12, 5, 5), (20, 12, 5, 5), {}),
    "one_of_each": ((5, 1, 3, 3), (1, 1, 3, 3), {}),
    "one_by_one": ((5, 64, 9, 9), (40, 64, 1, 1), {}),
    "stride": ((5, 12, 24, 25), (20, 12, 3, 3), {"stride": 2, "dilation": 2}),
    "depthwise": ((5, 16, 24, 25), (16, 1, 3, 3), {"groups": 16, "padding": "same"}),
    "groups": ((5, 12, 24, 25), (20, 3, 3, 3), {"groups": 4}),
    "signal": ((5, 8, 1000), (8, 8, 31), {"padding": "causal"}),
    "circular": ((5, 6, 20, 20), (8, 6, 3, 3), {"padding": 2, "padding_mode": "circular"}),
}


def normals(shape: Shape, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


@pytest.mark.parametrize("limit", [64 * MB, 64 * KB])
@pytest.mark.parametrize("name", BATCHES)
def test_an_images_bits_do_not_depend_on_its_batch(name: str, limit: int) -> None:
    x_shape, w_shape, options = BATCHES[name]
    y_shape = npconv.conv_output_shape(x_shape, w_shape, **options)
    x, w, dy = normals(x_shape, 1), normals(w_shape, 2), normals(y_shape, 3)

    def forward(images: Array) -> Array:
        return npconv.conv(images, w, **options)

    def input_grad(images: Array) -> Array:
        return npconv.conv_input_grad(images, w, (len(images), *x_shape[1:]), **options)

    with npconv.settings(workspace_limit=limit, accuracy="strict"):
        for function, batch in ((forward, x), (input_grad, dy)):
            alone = [function(batch[n : n + 1].copy())[0].tobytes() for n in range(5)]
            for order in ([0, 1, 2, 3, 4], [4, 2, 0], [1, 1, 1, 1, 1, 1]):
                together = function(batch[order])
                assert [image.tobytes() for image in together] == [alone[n] for n in order]
            larger = np.full((11, *batch.shape[1:]), np.nan, "f4")
            larger[7], larger[10] = batch[3], batch[0]
            together = function(larger)
            assert (together[7].tobytes(), together[10].tobytes()) == (alone[3], alone[0])


@pytest.mark.parametrize("limit", [64 * MB, 200 * KB, 64 * KB])
@pytest.mark.parametrize("name", ["plain", "stride", "signal", "one_position"])
def test_a_kernel_gradient_adds_fixed_chunks_in_a_fixed_order(name: str, limit: int) -> None:
    x_shape, w_shape, options = BATCHES[name]
    y_shape = npconv.conv_output_shape(x_shape, w_shape, **options)
    x, dy = normals(x_shape, 1), normals(y_shape, 3)
    # A part alone is another problem, for which another algorithm may be the fastest.
    options = {**options, "algorithm": "im2col"}
    with npconv.settings(workspace_limit=limit, threads=1):
        case = Case(x_shape, w_shape, options, ())
        choice = plan_of(case, "kernel_grad", "f4").choice
        dw = npconv.conv_kernel_grad(dy, x, w_shape, **options)
        again = npconv.conv_kernel_grad(dy.copy(), x.copy(), w_shape, **options)
    with npconv.settings(workspace_limit=limit, threads=2):
        threaded = npconv.conv_kernel_grad(dy, x, w_shape, **options)
    assert again.tobytes() == threaded.tobytes() == dw.tobytes()

    total = np.zeros_like(dw)
    for block in blocks(choice.problem, choice.cut):
        for tile in tiles(block.problem(choice.problem), Direction.KERNEL_GRAD, choice.cut):
            pads = [(axis.low, axis.high) for axis in tile.problem.axes]
            for n in range(*tile.images.indices(len(x))):
                part = dy[(slice(n, n + 1), block.K, *tile.outputs)]
                seen = x[(slice(n, n + 1), block.C, *tile.inputs)]
                total[block.K, block.C] += npconv.conv_kernel_grad(
                    part,
                    seen,
                    total[block.K, block.C].shape,
                    **{**options, "padding": pads},
                )
    np.testing.assert_array_equal(dw, total)


# --- limits that are too small -------------------------------------------------------------

# One input pixel of this is read by so many windows that even one kernel row's columns take 100 kB.
WIDE = Case((1, 2, 60, 60), (2, 2, 31, 31), {}, ())


def named_limit(error: pytest.ExceptionInfo[BaseException]) -> int:
    text = str(error.value).split("the smallest workspace_limit that works is ")[1]
    return int(text.split(" bytes")[0].replace(",", ""))


def test_only_naive_left_is_refused_with_the_limit_that_works() -> None:
    x, w, dy = operands(WIDE, "input_grad")
    with (
        npconv.settings(workspace_limit=128 * KB),
        pytest.raises(
            npconv.UnsupportedError, match="only 'naive' fits the workspace limit"
        ) as error,
    ):
        run("input_grad", WIDE, x, w, dy)
    assert "its loops would form 3,459,600 products" in str(error.value)
    assert "ask for algorithm='naive'" in str(error.value)
    enough = named_limit(error)
    with npconv.settings(workspace_limit=enough):
        assert plan_of(WIDE, "input_grad", "f4").algorithm != "naive"
        assert plan_of(WIDE, "input_grad", "f4").workspace_bytes <= enough
    with (
        npconv.settings(workspace_limit=enough - 1),
        pytest.raises(npconv.UnsupportedError, match="only 'naive'"),
    ):
        plan_of(WIDE, "input_grad", "f4")
    with npconv.settings(workspace_limit=128 * KB):  # who asks for the loops gets them
        forced = npconv.conv_input_grad(dy[..., :2, :2], w, (1, 2, 32, 32), algorithm="naive")
    wanted = npconv.conv_input_grad(dy[..., :2, :2], w, (1, 2, 32, 32))
    np.testing.assert_array_equal(forced, wanted)


COMPILED = [name for name, algorithm in REGISTRY.items() if algorithm.engine == "compiled"]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", [WIDE, CASES["vgg"], CASES["rank_3"]])
def test_nothing_fits_and_the_limit_named_works(case: Case, direction: str) -> None:
    with (
        npconv.settings(workspace_limit=1),
        pytest.raises(npconv.UnsupportedError, match="no algorithm can serve") as error,
    ):
        plan_of(case, direction, "f4")
    for name in npconv.algorithms():
        if (name == "winograd" and case is not CASES["vgg"]) or name in (*COMPILED, *DEPTHWISE):
            continue  # that is not what keeps it from serving
        assert f"{name}: its smallest tile needs" in str(error.value)
    assert "workspace_limit=1" in str(error.value)
    enough = named_limit(error)
    with npconv.settings(workspace_limit=enough):
        assert plan_of(case, direction, "f4").workspace_bytes <= enough
    with npconv.settings(workspace_limit=enough - 1), pytest.raises(npconv.UnsupportedError):
        plan_of(case, direction, "f4")


@pytest.mark.parametrize("name", [n for n in npconv.algorithms() if n not in DEPTHWISE])
def test_a_forced_algorithm_that_cannot_serve_says_why(name: str) -> None:
    forced = CASES["vgg"]._replace(options={"padding": 1, "algorithm": name})
    with (
        npconv.settings(workspace_limit=100),
        pytest.raises(
            npconv.UnsupportedError,
            match=rf"algorithm='{name}' cannot serve here: its smallest tile needs [\d,]+ bytes of "
            "workspace, but workspace_limit=100",
        ),
    ):
        plan_of(forced, "forward", "f4")


def test_naive_in_tiles() -> None:
    case = Case((1, 2, 20, 20), (2, 2, 3, 3), {"padding": 1, "algorithm": "naive"}, ())
    for direction in DIRECTIONS:
        x, w, dy = operands(case, direction)
        whole = run(direction, case, x, w, dy)
        with npconv.settings(workspace_limit=4 * KB):
            assert plan_of(case, direction, "f4").workspace_bytes <= 4 * KB
            np.testing.assert_array_equal(run(direction, case, x, w, dy), whole)


def test_a_gradient_that_is_not_needed_needs_no_workspace() -> None:
    x, w, dy = np.ones((1, 2, 6, 6)), np.ones((3, 2, 3, 3)), np.ones((1, 3, 4, 4))
    with npconv.settings(workspace_limit=1):
        gradients = npconv.conv_backward(dy, x, w, needs="bias")
        np.testing.assert_array_equal(gradients.bias, 16.0)
        transposed = npconv.conv_transpose_backward(x, dy, w, needs=["bias"])
        np.testing.assert_array_equal(transposed.bias, 36.0)
        for needs in ("input", "kernel"):
            with pytest.raises(npconv.UnsupportedError, match="smallest workspace_limit"):
                npconv.conv_backward(dy, x, w, needs=needs)
