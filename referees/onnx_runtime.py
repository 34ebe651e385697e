"""ONNX Runtime: random models of one convolution or pooling, computed by both.

It has no list of cases to take from Python, so they are drawn here from fixed seeds, over all
attributes of the operators: `auto_pad`, uneven pads, strides, dilations, groups, output
padding and shape, zero points, ceil_mode. What it refuses to compute is drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from referees.onnx_operators import OPERATORS
from referees.operations import Array
from referees.verdict import Case, check_close

PROBLEMS = 120  # of each operator
ATTEMPTS = 50
OPSET, IR = 19, 9
SIZES = {1: (5, 16), 2: (4, 10), 3: (3, 6)}
OUTPUTS = {"ConvInteger": TensorProto.INT32}


def cases() -> Iterator[Case]:
    """The same number for every operator."""
    for operator in ("Conv", "ConvTranspose", "ConvInteger", "MaxPool", "AveragePool"):
        for seed in range(PROBLEMS):
            yield Case(f"{operator} {seed}", partial(_check, operator, seed))


def _check(operator: str, seed: int) -> None:
    rng = np.random.default_rng([seed, *operator.encode()])
    for attempts_left in reversed(range(ATTEMPTS)):
        operands, attributes = _draw(operator, rng)
        try:
            (theirs,) = run_node(operator, operands, attributes)
        except Exception:  # it has no exceptions of its own; no problem, then
            if not attempts_left:
                raise
            continue
        break
    encoded = {k: v.encode() if isinstance(v, str) else v for k, v in attributes.items()}
    ours = OPERATORS[operator](*operands, **encoded)[0]
    limit: Array | float = 0.0
    if operator.startswith("Conv") and ours.dtype.kind == "f":
        sizes = OPERATORS[operator](*(np.abs(a) for a in operands), **encoded)[0]
        # Both round at most once for each product of a sum, and so many are none of these.
        limit = 2 * np.finfo(np.float32).eps * 500 * sizes.max(initial=0)
    elif operator == "AveragePool":
        limit = 4 * np.finfo(np.float32).eps * np.abs(operands[0]).max()
    check_close(ours, theirs, limit)


def run_node(operator: str, operands: list[Array], attributes: dict[str, Any]) -> list[Array]:
    """Compute a model of one node."""
    names = [f"x{i}" for i in range(len(operands))]
    node = helper.make_node(operator, names, ["y"], **attributes)
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, operands, strict=True)
    ]
    kind = OUTPUTS.get(operator, TensorProto.FLOAT)
    graph = helper.make_graph(
        [node], operator, inputs, [helper.make_tensor_value_info("y", kind, None)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    silent = onnxruntime.SessionOptions()
    silent.log_severity_level = 4  # what it cannot do it raises, too
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), silent, providers=["CPUExecutionProvider"]
    )
    found: list[Array] = session.run(None, dict(zip(names, operands, strict=True)))
    return found


def _draw(operator: str, rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    """Draw operands and attributes; not every draw makes a valid model."""
    rank = int(rng.integers(1, 4))
    size = rng.integers(*SIZES[rank], rank)
    kernel = [int(rng.integers(1, min(4, n) + 1)) for n in size]
    attributes: dict[str, Any] = {"kernel_shape": kernel}
    if rng.random() < 0.6:
        attributes["strides"] = [int(s) for s in rng.integers(1, 4, rank)]
    else:
        attributes["strides"] = [1] * rank
    if rng.random() < 0.4:
        attributes["dilations"] = [int(d) for d in rng.integers(1, 3, rank)]
    if rng.random() < 0.3 and "dilations" not in attributes:
        attributes["auto_pad"] = str(rng.choice(["VALID", "SAME_UPPER", "SAME_LOWER"]))
    elif rng.random() < 0.7:
        most = [(k - 1) // 2 for k in kernel] if operator.endswith("Pool") else [2] * rank
        attributes["pads"] = [int(rng.integers(0, m + 1)) for m in most * 2]
    N, G = (int(n) for n in rng.integers(1, 4, 2))
    if operator.endswith("Pool"):
        if rng.random() < 0.4 and "auto_pad" not in attributes:
            attributes["ceil_mode"] = 1
        if operator == "AveragePool":
            attributes["count_include_pad"] = int(rng.integers(0, 2))
        return [rng.standard_normal((N, G, *size)).astype(np.float32)], attributes
    C, K = G * int(rng.integers(1, 4)), G * int(rng.integers(1, 4))
    attributes["group"] = G
    if operator == "ConvInteger":
        x = rng.integers(0, 256, (N, C, *size), np.uint8)
        w = rng.integers(0, 256, (K, C // G, *kernel), np.uint8)
        return [x, w, np.array(rng.integers(0, 256), np.uint8)], attributes
    x = rng.standard_normal((N, C, *size)).astype(np.float32)
    if operator == "Conv":
        w = rng.standard_normal((K, C // G, *kernel)).astype(np.float32)
    else:
        w = rng.standard_normal((C, K // G, *kernel)).astype(np.float32)
        strides = attributes["strides"]
        if any(s > k for s, k in zip(strides, kernel, strict=True)):
            # By the specification SAME gives input * stride; here pads would be below 0 for
            # that, which ONNX Runtime does not do.
            attributes.pop("auto_pad", None)
        if rng.random() < 0.4 and "auto_pad" not in attributes:
            attributes["output_padding"] = [int(rng.integers(0, s)) for s in strides]
    bias = rng.standard_normal(K).astype(np.float32)
    return [x, w, bias][: 2 + int(rng.integers(0, 2))], attributes
