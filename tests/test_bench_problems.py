"""What `npconv bench` times: the calls do the tasks that their tables name."""

from __future__ import annotations

import numpy as np
import pytest

import npconv
from npconv.bench.adapters.ours import prepare
from npconv.bench.everyday import EVERYDAY
from npconv.bench.layers import LAYERS
from npconv.bench.networks import TRAINING, Residual
from npconv.bench.tasks import agree, fingerprint, layer_task, operands
from npconv.nn import Conv2d, ReLU, Sequential


def test_the_tables_are_as_large_as_they_should_be() -> None:
    assert len(LAYERS) == 22
    assert len(EVERYDAY) >= 20
    kinds = {task.kind for task in EVERYDAY.values()}
    assert kinds == {"conv", "transpose", "max_pool", "avg_pool"}
    dtypes = {task.dtype for task in EVERYDAY.values()}
    assert dtypes == {"float16", "float32", "float64", "int64"}
    assert {len(task.input) for task in EVERYDAY.values()} == {3, 4, 5}


@pytest.mark.parametrize(
    "name", ["i64.photo", "1d.dw31", "3d.1x1x1", "up.2x2s2", "max.1d", "avg.all"]
)
def test_the_call_that_is_timed_does_the_task(name: str) -> None:
    task = EVERYDAY[name]
    call = prepare(task, 1)
    (result,) = call.arrays(call.run())
    arrays = operands(task)
    function = getattr(npconv, task.kind.replace("transpose", "conv_transpose"))
    if task.kind.endswith("pool"):
        expected = function(*arrays, task.kernel, **task.options)
    else:
        expected = function(*arrays, algorithm="im2col", **task.options)
    assert agree(fingerprint([result]), fingerprint([expected]), task.dtype)


def test_backward_gives_all_three_gradients() -> None:
    call = prepare(layer_task("demo.8x8", "backward"), 1)
    shapes = [array.shape for array in call.arrays(call.run())]
    assert shapes == [(2, 3, 8, 8), (4, 3, 3, 3), (4,)]


def test_another_result_has_another_fingerprint() -> None:
    array = np.random.default_rng(0).standard_normal((1, 2, 5, 5))
    mine = fingerprint([array])
    assert agree(mine, fingerprint([array * (1 + 1e-6)]), "float32")
    for other in (array[..., ::-1], array.swapaxes(2, 3), 1.01 * array):
        assert not agree(mine, fingerprint([other]), "float32")
    assert not agree(mine, fingerprint([array, array]), "float32")


def test_a_training_step_trains() -> None:
    call = prepare(TRAINING["digits"], 1)
    first = call.run()
    assert min(call.run() for _ in range(10)) < first


def test_a_residual_block_has_the_gradients_of_both_ways() -> None:
    rng = np.random.default_rng(0)
    body = Sequential(Conv2d(2, 2, 3, padding=1, dtype="float64", rng=rng), ReLU())
    block = Residual(body, Sequential(Conv2d(2, 2, 1, dtype="float64", rng=rng)))
    x = rng.standard_normal((1, 2, 4, 4))
    dy = rng.standard_normal(block.forward(x).shape)
    dx = block.backward(dy)
    for array, gradient in [(x, dx)] + [
        (block.parameters()[name], block.gradients()[name]) for name in block.parameters()
    ]:
        numeric = npconv.numerical_gradient(lambda: float((block.forward(x) * dy).sum()), array)
        assert np.allclose(gradient, numeric, atol=1e-6)
