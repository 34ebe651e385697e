"""The compiled engine: tables of offsets are columns, and the product obeys every promise.

What any algorithm must keep (the oracle's sums, NaN and Inf, tiles) the tests of the registry
show of it too; here is what is its own.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import tracemalloc
from itertools import product
from typing import Any

import numpy as np
import pytest

import npconv
from checks import check_problem, check_specials, check_tiled, serves
from npconv.compiled.bands import Band, band
from npconv.compiled.direct import workspace
from npconv.compiled.phases import RANK, Phase, axes_of, phases
from npconv.problem import ConvProblem
from npconv.windows import im2col
from oracle import Array
from problems import FEATURES, NAMED, random_problem

DIRECTIONS = ("forward", "input_grad", "kernel_grad")
FORCED: dict[str, Any] = {"algorithm": "direct"}


@pytest.mark.parametrize("name", NAMED)
def test_named_problems(name: str) -> None:
    if not serves(NAMED[name], "direct"):
        with pytest.raises(npconv.UnsupportedError, match="3 axes at most, not 4"):
            npconv.plan_conv(
                NAMED[name].input_shape,
                NAMED[name].kernel_shape,
                algorithm="direct",
                **NAMED[name].options,
            )
        return
    check_problem(NAMED[name], 0, ["direct"])
    check_specials(NAMED[name], 0, ["direct"])
    check_tiled(NAMED[name], 0, ["direct"])


@pytest.mark.parametrize("number", range(8))
def test_random_problems(number: int) -> None:
    for seed in range(25 * number, 25 * number + 25):
        rng = random.Random(f"direct {seed}")
        problem = random_problem(rng, ranks=(1, 2, 3, 4), served=FEATURES)
        if serves(problem, "direct"):
            check_problem(problem, seed, ["direct"])
            check_specials(problem, seed, ["direct"])


@pytest.mark.parametrize("number", range(4))
def test_random_depthwise_problems(number: int) -> None:
    served = 0
    for seed in range(200 * number, 200 * number + 200):
        rng = random.Random(f"depthwise {seed}")
        problem = random_problem(rng, max_products=500, ranks=(1, 2, 3), served=FEATURES)
        if serves(problem, "depthwise"):
            served += 1
            check_problem(problem, seed, ["depthwise"])
            check_specials(problem, seed, ["depthwise"])
            if seed % 4 == 0:
                check_tiled(problem, seed, ["depthwise"])
    assert served > 20


def test_depthwise_keeps_its_workspace_and_bits() -> None:
    x, w = (3, 40, 61, 60), (40, 1, 5, 3)
    options: dict[str, Any] = {"groups": 40, "padding": 2, "stride": (1, 2)}
    y, rng = npconv.conv_output_shape(x, w, **options), np.random.default_rng(0)
    for direction in DIRECTIONS:
        shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
        operands = [rng.integers(-3, 4, shape).astype("f4") for shape in shapes]
        planned: dict[str, Any] = {"direction": direction, **options}
        right = npconv.plan_conv(x, w, algorithm="im2col", **planned)(*operands)
        for limit, threads in ((2**26, 1), (2**19, 1), (2**26, 4), (2**20, 2)):
            with npconv.settings(workspace_limit=limit, threads=threads):
                plan = npconv.plan_conv(x, w, algorithm="depthwise", **planned)
            assert plan.workspace_bytes <= limit
            np.testing.assert_array_equal(plan(*operands), right)
            tracemalloc.start()
            result = plan(*operands)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak - result.nbytes <= plan.workspace_bytes + 2**17
    with pytest.raises(npconv.UnsupportedError, match="one output channel for each group, not 2"):
        npconv.conv(np.ones((1, 2, 4)), np.ones((1, 2, 2)), algorithm="depthwise")


# ---- tables ------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbours", [False, True])
def test_bands_hold_columns(neighbours: bool) -> None:
    for seed in range(300):
        problem = plain_problem(seed)
        x = np.random.default_rng(seed).standard_normal(problem.size)
        columns = im2col(x, problem.axes)
        columns = columns.reshape(-1, *(1,) * (RANK - problem.rank), *problem.out)
        seen_by_all = np.zeros(columns.shape[1:], int)
        for phase in phases(problem):
            _, rows, width = (axis.number for axis in phase.axes)
            rows, width = -(-rows // (1 + seed % 2)), -(-width // (1 + seed % 3))
            here = band(phase, rows, width, neighbours=neighbours)
            bases, steps = here.offsets
            taps = [
                np.ravel_multi_index(
                    [axis.taps[i] for axis, i in zip(phase.axes, tap, strict=True)],
                    [axis.kernel for axis in axes_of(problem)],
                )
                for tap in phase.taps
            ]
            for first in corners(phase, rows, width):
                outputs = tuple(
                    slice(axis.first + p * axis.apart, None, axis.apart)
                    for axis, p in zip(phase.axes, first, strict=True)
                )
                right = columns[(slice(None), *outputs)][:, :1, :rows, :width]
                slots = gathered(
                    x.reshape([axis.size for axis in axes_of(problem)]), phase, here, first
                )
                found = slots[np.add.outer(steps.ravel(), bases.reshape(rows, width))]
                found = found[:, : right.shape[2], : right.shape[3]]
                np.testing.assert_array_equal(found, right[taps, 0], f"{problem}")
                # What a phase leaves out are holes, or padding: zeros in the columns.
                assert not np.delete(right, taps, axis=0).any()
                seen_by_all[outputs][:1, :rows, :width] += 1
        assert (seen_by_all == 1).all()


def plain_problem(seed: int) -> ConvProblem:
    drawn = random_problem(random.Random(seed), ranks=(1, 2, 3), served=FEATURES)
    oracle = drawn.oracle
    options = {k: v for k, v in drawn.options.items() if k not in ("layout", "kernel_layout")}
    x_shape = (oracle.x["N"], oracle.x["C"], *(oracle.x[s] for s in oracle.space))
    w_shape = (oracle.w["O"], oracle.w["I"], *(oracle.w[s] for s in oracle.space))
    return ConvProblem.of(x_shape, w_shape, **{**options, "padding_mode": "zeros"})


def corners(phase: Phase, rows: int, width: int) -> list[tuple[int, ...]]:
    planes, heights, widths = (axis.number for axis in phase.axes)
    return list(product(range(planes), range(0, heights, rows), range(0, widths, width)))


def gathered(x: Array, phase: Phase, here: Band, first: tuple[int, ...]) -> Array:
    """Fill a band's slots one by one, zeros where there is no input."""
    inputs = [
        slots.inputs + p * axis.step
        for slots, axis, p in zip(here.slots, phase.axes, first, strict=True)
    ]
    band_of = np.zeros([each.size for each in inputs])
    for index in np.ndindex(band_of.shape):
        at = [int(each[i]) for each, i in zip(inputs, index, strict=True)]
        if all(0 <= i < size for i, size in zip(at, x.shape, strict=True)):
            band_of[index] = x[tuple(at)]
    return band_of.ravel()


def test_a_strides_gradient_multiplies_no_zeros() -> None:
    problem = ConvProblem.of((1, 1, 12, 13), (1, 1, 3, 4), stride=(2, 3))
    found = phases(problem.turned)
    assert sum(phase.outputs for phase in found) == 12 * 13
    assert sum(len(phase.taps) * phase.outputs for phase in found) <= 1.4 * problem.products


def test_a_large_dilation_takes_no_room() -> None:
    problem = ConvProblem.of((1, 8, 1, 20_000), (8, 8, 1, 3), dilation=4096)
    assert workspace(problem, 4) < 2**17


# ---- promises ----------------------------------------------------------------------------

LARGE: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 40, 60, 61), (70, 40, 3, 3), {"padding": 1}),
    "strided": ((2, 16, 63, 64), (24, 16, 5, 3), {"stride": (2, 3), "padding": 2}),
    "pairs": ((2, 9, 30, 71), (17, 9, 3, 3), {"stride": 2, "padding": (2, 3)}),
    "far_pairs": ((1, 9, 40, 75), (17, 9, 3, 3), {"stride": 2, "dilation": 13, "padding": 5}),
    "dilated": ((1, 12, 70, 70), (9, 12, 3, 3), {"dilation": (9, 5), "padding": 3}),
    "groups": ((2, 24, 40, 41), (36, 8, 3, 3), {"groups": 3}),
    "signal": ((3, 30, 2000), (33, 30, 9), {"padding": "causal"}),
    "spread": ((1, 10, 30, 30), (17, 10, 4, 4), {"input_dilation": (2, 3), "padding": 3}),
    "one_by_one": ((2, 200, 20, 20), (90, 200, 1, 1), {"stride": 2}),
    "few_outputs": ((1, 300, 5, 5), (130, 300, 3, 3), {"padding": 1}),
    "channels_last": (
        (2, 30, 31, 20),
        (3, 3, 20, 40),
        {"layout": "NHWC", "kernel_layout": "HWIO", "padding": "same"},
    ),
    "3d": ((1, 8, 20, 21, 22), (9, 8, 3, 3, 3), {"padding": 1}),
}
# In the kernel's gradient it refuses input_dilation.
SERVED = [(n, d) for n in LARGE for d in DIRECTIONS if (n, d) != ("spread", "kernel_grad")]


def operands_of(name: str, direction: str, dtype: str) -> list[Array]:
    x, w, options = LARGE[name]
    y, rng = npconv.conv_output_shape(x, w, **options), np.random.default_rng(0)
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    return [rng.integers(-3, 4, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
@pytest.mark.parametrize(("name", "direction"), SERVED)
def test_large_problems_bit_for_bit(name: str, direction: str, dtype: str) -> None:
    x, w, options = LARGE[name]
    operands = operands_of(name, direction, dtype)
    planned = {"dtype": dtype, "direction": direction, **options}
    right = npconv.plan_conv(x, w, algorithm="im2col", **planned)(*operands)
    for limit in (2**26, 2**22):
        for threads in (1, 2, 4):
            with npconv.settings(workspace_limit=limit, threads=threads):
                plan = npconv.plan_conv(x, w, **FORCED, **planned)
            found = plan(*operands)
            np.testing.assert_array_equal(found, right)
            assert plan.engine == "compiled"
            if direction != "kernel_grad":
                packed = plan.pack(operands[1])
                assert plan(operands[0], packed).tobytes() == found.tobytes()


@pytest.mark.parametrize("limit", [2**26, 2**21])
@pytest.mark.parametrize(("name", "direction"), SERVED)
def test_the_workspace_bound_holds(name: str, limit: int, direction: str) -> None:
    x, w, options = LARGE[name]
    operands = operands_of(name, direction, "f4")
    with npconv.settings(workspace_limit=limit, threads=1):
        plan = npconv.plan_conv(x, w, direction=direction, **FORCED, **options)
    plan(*operands)
    tracemalloc.start()
    try:
        result = plan(*operands)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - result.nbytes <= plan.workspace_bytes + 2**16
    assert plan.workspace_bytes <= limit


def test_bits_depend_on_neither_batch_nor_threads() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((5, 20, 60, 61)), rng.standard_normal((30, 20, 3, 3))
    for dtype in ("f4", "f8"):
        images, kernel = x.astype(dtype), w.astype(dtype)
        alone = [npconv.conv(image[np.newaxis], kernel, **FORCED)[0] for image in images]
        for threads in (1, 2, 4):
            with npconv.settings(threads=threads):
                together = npconv.conv(images[::-1], kernel, **FORCED)
            assert [y.tobytes() for y in together[::-1]] == [y.tobytes() for y in alone]


def test_many_threads_call_at_once() -> None:
    rng = np.random.default_rng(0)
    problems = [
        (rng.standard_normal((2, c, 30, 30)), rng.standard_normal((k, c, 3, 3)))
        for c, k in ((3, 5), (8, 16), (17, 33), (1, 1))
    ]
    right = [npconv.conv(x, w, **FORCED).tobytes() for x, w in problems]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            x, w = problems[i % 4]
            if npconv.conv(x, w, **FORCED).tobytes() != right[i % 4]:
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_read_only_and_strange_arrays() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 6, 9, 10)), rng.standard_normal((7, 6, 1, 1))
    right = npconv.conv(x, w, algorithm="naive")
    x.flags.writeable = w.flags.writeable = False
    for image in (x, np.asfortranarray(x), x[:, :, ::-1][:, :, ::-1], x.astype(">f8")):
        np.testing.assert_allclose(npconv.conv(image, w, **FORCED), right, atol=1e-13)


# ---- the engine --------------------------------------------------------------------------


def test_auto_chooses_among_both_engines_where_it_is_in_force() -> None:
    shapes = (1, 64, 56, 56), (64, 64, 1, 1)
    plan = npconv.plan_conv(*shapes)  # the default, where Numba is
    assert (plan.engine, plan.algorithm) == ("compiled", "direct")
    assert npconv.plan_conv(*shapes, dtype="complex64").engine == "numpy"
    with npconv.settings(engine="numpy"):
        plan = npconv.plan_conv(*shapes)
        assert plan.engine == "numpy"
        assert re.search("direct +not able: it is of the compiled engine", str(plan))
        # Who asks for an algorithm asks for its engine.
        assert npconv.plan_conv(*shapes, **FORCED).engine == "compiled"


def test_what_it_refuses_and_says_so() -> None:
    x, w = np.ones((1, 1, 8, 8), complex), np.ones((1, 1, 3, 3), complex)
    with pytest.raises(npconv.UnsupportedError, match="float64 and int64, not complex128"):
        npconv.conv(x, w, **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="does not serve input_dilation"):
        npconv.conv_kernel_grad(
            np.ones((1, 1, 13)), np.ones((1, 1, 8)), (1, 1, 3), input_dilation=2, **FORCED
        )


def test_without_numba_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np, npconv\n"
        "try: npconv.settings(engine='compiled')\n"
        "except npconv.MissingExtraError as error: print(error)\n"
        "try: npconv.conv(np.ones((1, 1, 4)), np.ones((1, 1, 2)), algorithm='direct')\n"
        "except npconv.UnsupportedError as error: print(error)\n"
        "print(npconv.conv(np.ones((1, 1, 4)), np.ones((1, 1, 2))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.count("pip install 'npconv[fast]'") == 2
    assert "[[[2. 2. 2.]]]" in run.stdout


def test_importing_npconv_does_not_import_numba() -> None:
    code = "import sys, npconv; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_calls_do_not_import_masked_arrays() -> None:
    code = (
        "import sys, numpy as np, npconv\n"
        "npconv.conv([[[1.0, 2.0]]], np.ones((1, 1, 1)), out=np.empty((1, 1, 2)))\n"
        "npconv.numerical_gradient(lambda: 0.0, np.ones(2))\n"
        "print('numpy.ma' in sys.modules)"
    )
    for _ in range(2):  # the first may compile, and Numba imports them
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
    assert said.split() == ["False"]


def test_a_held_plan_takes_a_bias_forward_only() -> None:
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype("f4") for shape in ((2, 4, 9, 9), (4, 4, 3, 3), 4))
    plan = npconv.plan_conv(x.shape, w.shape, padding=1, **FORCED)
    packed = plan.pack(w)
    np.testing.assert_array_equal(plan(x, packed, b), plan(x, w, b))
    for wrong in (b[:3], b.astype("c8"), b[np.newaxis]):
        with pytest.raises(npconv.ConvError, match="bias"):
            plan(x, packed, wrong)
    back = npconv.plan_conv(x.shape, w.shape, padding=1, direction="input_grad", **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="bias is no part of"):
        back(x, back.pack(w), b)
