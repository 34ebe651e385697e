"""PyTorch: the samples of its OpInfo database, on the CPU, in every dtype it lists.

Every sample is computed by both; where PyTorch differentiates, its gradients are compared
with npconv's; and what its error samples make PyTorch refuse, npconv must refuse. PyTorch
has no samples of fold, so each sample of unfold is one of fold too: its columns, turned back.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

from referees.operations import Array
from referees.pytorch_convs import ConvSample
from referees.pytorch_windows import AvgPoolSample, FoldSample, MaxPoolSample, UnfoldSample
from referees.verdict import Case, check_close, check_refused

FUNCTIONS = re.compile(
    r"nn\.functional\.((?P<conv>conv\w*)|max_pool(?P<max_rank>\d)d|"
    r"avg_pool(?P<avg_rank>\d)d|(?P<unfold>unfold))"
)
# The order of PyTorch's arguments by position.
UNFOLD = ("kernel_size", "dilation", "padding", "stride")
AVG_POOL = (
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)
Sample = ConvSample | MaxPoolSample | AvgPoolSample | UnfoldSample | FoldSample


def cases() -> Iterator[Case]:
    """Every sample in every dtype: forward, backward, and what is refused."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Using padding='same' with even kernel")
    for info in op_db:
        match = FUNCTIONS.fullmatch(info.name)
        if not match:
            continue
        name = info.name.removeprefix("nn.functional.")
        for dtype in sorted(info.supported_dtypes("cpu"), key=str):
            torch.manual_seed(0)
            graded = dtype in info.supported_backward_dtypes("cpu")
            samples = info.sample_inputs("cpu", dtype, requires_grad=graded)
            for i, sample in enumerate(samples):
                label = f"{name} {str(dtype).removeprefix('torch.')} {i}"
                yield from _sample_cases(label, info.op, pose(match, sample), sample, graded)
        if info.error_inputs_func is not None:
            for i, error in enumerate(info.error_inputs("cpu")):
                run = partial(_check_error, info.op, error, match)
                yield Case(f"{name} error {i} {describe(error.sample_input)}", run)


def _sample_cases(
    label: str, function: Callable[..., Any], ours: Sample, sample: Any, graded: bool
) -> Iterator[Case]:
    call = partial(function, sample.input, *sample.args, **sample.kwargs)
    label = f"{label} {describe(sample)}"
    yield Case(f"{label} forward", partial(_check_forward, call, ours))
    leaves = [t for t in (sample.input, *sample.args) if isinstance(t, torch.Tensor)]
    if graded:
        yield Case(f"{label} backward", partial(_check_backward, call, ours, leaves))
    if isinstance(ours, UnfoldSample):
        leaf = call().detach().requires_grad_(graded)
        fold = partial(torch.nn.functional.fold, leaf, sample.input.shape[2:], **ours.options)
        folded, label = FoldSample(ours, as_array(leaf)), label.replace("unfold", "fold", 1)
        if sample.input.dtype != torch.bool:  # which has no sum
            yield Case(f"{label} forward", partial(_check_forward, fold, folded))
        if graded:
            yield Case(f"{label} backward", partial(_check_backward, fold, folded, [leaf]))


def pose(match: re.Match[str], sample: Any) -> Sample:
    """Read a call as PyTorch's signature does."""
    arrays = [as_array(t) for t in (sample.input, *sample.args) if isinstance(t, torch.Tensor)]
    rest = [a for a in sample.args if not isinstance(a, torch.Tensor | None)]
    if match["conv"]:
        bias = arrays[2] if len(arrays) > 2 else None
        return ConvSample(match["conv"], arrays[0], arrays[1], bias, sample.kwargs)
    if match["unfold"]:
        options = {**dict(zip(UNFOLD, rest, strict=False)), **sample.kwargs}
        return UnfoldSample(arrays[0], {"dilation": 1, "padding": 0, "stride": 1, **options})
    if match["max_rank"]:
        return MaxPoolSample(int(match["max_rank"]), arrays[0], dict(sample.kwargs))
    if sample.args and len(sample.args) == len(AVG_POOL):
        rest = list(sample.args)  # a None among them is a value
    options = {**dict(zip(AVG_POOL, rest, strict=False)), **sample.kwargs}
    if options.get("divisor_override", 0) is None:
        del options["divisor_override"]
    return AvgPoolSample(int(match["avg_rank"]), arrays[0], options)


def _check_forward(call: Callable[[], Any], ours: Sample) -> None:
    theirs = call()
    theirs = [as_array(t) for t in (theirs if isinstance(theirs, tuple) else (theirs,))]
    mine = ours.forward()
    limits = [ours.forward_allowed(theirs[0].dtype), 0.0]  # indices are exact
    for a, b, limit in zip(mine, theirs, limits, strict=False):
        check_close(a, b, limit)


def _check_backward(call: Callable[[], Any], ours: Sample, leaves: list[torch.Tensor]) -> None:
    y = call()
    y = y[0] if isinstance(y, tuple) else y
    torch.manual_seed(1)
    dy = torch.randn(y.shape, dtype=y.dtype)
    theirs = torch.autograd.grad(y, leaves, dy)
    mine = ours.backward(as_array(dy))
    for a, b, limit in zip(mine, theirs, ours.backward_allowed(as_array(dy)), strict=True):
        check_close(a, as_array(b), limit)


def _check_error(function: Callable[..., Any], error: Any, match: re.Match[str]) -> None:
    sample = error.sample_input
    try:
        function(sample.input, *sample.args, **sample.kwargs)
    except error.error_type as refusal:
        check_refused(lambda: pose(match, sample).forward()[0], str(refusal).splitlines()[0])


def as_array(tensor: torch.Tensor) -> Array:
    """Take a tensor's values, in its dtype."""
    tensor = tensor.detach().resolve_conj()
    if tensor.dtype == torch.bfloat16:  # which NumPy knows by ml_dtypes only
        array: Array = tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return array
    return np.asarray(tensor.numpy())


def describe(sample: Any) -> str:
    """Name a sample by its shapes and options."""
    parts = [
        str(tuple(a.shape)) if isinstance(a, torch.Tensor) else repr(a)
        for a in (sample.input, *sample.args)
    ]
    return " ".join(parts + [f"{name}={value!r}" for name, value in sample.kwargs.items()])
