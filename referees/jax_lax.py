"""JAX: every `conv_general_dilated` of its test harness, with vector-Jacobian products.

JAX ships the list of its primitives' test cases. Each is computed by both, with JAX at full
precision of its own choice (the harness' `precision`), in JAX's result dtype. JAX keeps
integers of 8 and 16 bits and lets them wrap round; npconv's int64 is cast to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from npconv import UnsupportedError
from referees.operations import Array, Convolution, allowed, unit_roundoff
from referees.verdict import Case, Different, check_close

NAMES = {"SAME": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


def cases() -> Iterator[Case]:
    """Every case of the harness: forward, and by the two gradients where JAX has them."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)  # without it, the harness leaves cases out
    jax.config.update("jax_disable_most_optimizations", True)  # compiling is all the time
    from jax._src.internal_test_util import test_harnesses  # after the settings above

    for harness in test_harnesses.all_harnesses:
        if harness.group_name != "conv_general_dilated":
            continue
        yield Case(f"{harness.name} forward", partial(_check_forward, harness))
        if jnp.issubdtype(harness.dtype, jnp.inexact):
            pull_back = cache(partial(_pull_back, harness))
            for conjugated in (False, True) if np.dtype(harness.dtype).kind == "c" else (False,):
                also = " of the conjugate" if conjugated else ""
                for i, operand in enumerate(("lhs", "rhs")):
                    run = partial(_check_vjp, harness, pull_back, i, conjugated)
                    yield Case(f"{harness.name} vjp {operand}{also}", run)


def _check_forward(harness: Any) -> None:
    x, w = _operands(harness)
    theirs = np.asarray(harness.dyn_fun(x, w))
    options = {**_geometry(harness), "dtype": harness.params["preferred_element_type"]}
    ours = Convolution(options).forward(x, w)
    limit = allowed(Convolution(_geometry(harness)), "forward", x, w, None, _coarser(x, theirs))
    check_close(_as_dtype(ours, theirs.dtype), theirs, limit)


def _pull_back(harness: Any) -> tuple[Array, Sequence[Array]]:
    """A gradient of the output, and what JAX makes of it."""
    y, pull_back = jax.vjp(harness.dyn_fun, *_operands(harness))
    dy = harness.rng_factory(np.random.RandomState(1))(y.shape, y.dtype)
    return dy, [np.asarray(gradient) for gradient in pull_back(dy)]


def _check_vjp(
    harness: Any,
    pull_back: Callable[[], tuple[Array, Sequence[Array]]],
    which: int,
    conjugated: bool,
) -> None:
    """Compare one gradient; JAX conjugates nothing, npconv the other operand."""
    x, w = _operands(harness)
    operation = Convolution(_geometry(harness))
    dy, gradients = pull_back()
    theirs = gradients[which]
    direction = ("input_grad", "kernel_grad")[which]
    other, shape = ((w, x.shape), (x, w.shape))[which]
    other = other.conj() if conjugated else other
    ours = getattr(operation, direction)(dy, other, shape)
    limit = allowed(operation, direction, dy, other, shape, _coarser(x, dy))
    check_close(_as_dtype(ours, theirs.dtype), theirs, limit)


def _operands(harness: Any) -> tuple[Array, Array]:
    x, w = harness.dyn_args_maker(np.random.RandomState(0))
    return np.asarray(x), np.asarray(w)


def _geometry(harness: Any) -> dict[str, Any]:
    """Rename JAX's parameters to npconv's."""
    given = harness.params
    layout, kernel_layout, output_layout = given["dimension_numbers"]
    if layout != output_layout:
        raise UnsupportedError(f"one layout for input and output, not {layout} and {output_layout}")
    padding = given["padding"]
    return {
        "stride": given["window_strides"],
        "padding": NAMES[padding] if isinstance(padding, str) else padding,
        "dilation": given["rhs_dilation"],
        "input_dilation": given["lhs_dilation"],
        "groups": given["feature_group_count"],
        "batch_groups": given["batch_group_count"],
        "layout": layout,
        "kernel_layout": kernel_layout,
    }


def _coarser(operand: Array, result: Array) -> np.dtype[Any]:
    """Of both dtypes the one that rounds more: JAX casts before or after, as it likes."""
    if not jnp.issubdtype(operand.dtype, jnp.inexact):
        return result.dtype
    return max(operand.dtype, result.dtype, key=unit_roundoff)


def _as_dtype(ours: Array, dtype: np.dtype[Any]) -> Array:
    """Cast within a kind of number; another kind is another result."""
    if ours.dtype.kind != dtype.kind and "V" not in (ours.dtype.kind, dtype.kind):
        raise Different(f"dtype: npconv {ours.dtype}, peer {dtype}")
    return ours.astype(dtype)
