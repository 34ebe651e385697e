"""ONNX: its backend's node tests of convolution and pooling, and those made from PyTorch's.

A small adapter reads a node's attributes as the operator's specification defines them. It is
no runtime: models of one node, inputs and constants by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case import node as node_tests
from onnx.backend.test.loader import load_model_tests

from referees.onnx_operators import OPERATORS
from referees.operations import Array
from referees.verdict import Case, check_close

DataSet = tuple[Sequence[Array], Sequence[Array]]


def cases() -> Iterator[Case]:
    """Every backend test whose model is one of our operators."""
    # Importing a module makes its cases. Only ours: those of all operators take a minute.
    for operator in OPERATORS:
        importlib.import_module(f"{node_tests.__name__}.{operator.lower()}")
    tests = list(node_tests._NodeTestCases)
    for kind in ("pytorch-converted", "pytorch-operator", "simple"):
        tests += load_model_tests(kind=kind)
    for test in tests:
        model = test.model or onnx.load(str(Path(test.model_dir) / "model.onnx"))
        nodes = [n for n in model.graph.node if n.op_type != "Constant"]
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS:
            for i, data in enumerate(test.data_sets or _read_data_sets(test.model_dir)):
                name = f"{nodes[0].op_type} {test.name} {i}"
                yield Case(name, partial(_check, model, nodes[0], data, test.rtol, test.atol))


def _check(
    model: onnx.ModelProto, node: onnx.NodeProto, data: DataSet, rtol: float, atol: float
) -> None:
    inputs, expected = data
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    fed = [i.name for i in model.graph.input if i.name not in constants]
    values = {**constants, **dict(zip(fed, inputs, strict=False))}
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    operands = [values[name] if name else None for name in node.input]
    run: Callable[..., tuple[Array, ...]] = OPERATORS[node.op_type]
    for ours, theirs in zip(run(*operands, **attributes), expected, strict=False):
        # The test's own tolerances: its expected values were made by unknown means.
        limit = rtol * np.abs(theirs) + atol if theirs.dtype.kind == "f" else 0.0
        check_close(ours, theirs, limit)


def _read_data_sets(model_dir: str) -> Iterator[DataSet]:
    for folder in sorted(Path(model_dir).glob("test_data_set_*")):
        yield _read_tensors(folder, "input"), _read_tensors(folder, "output")


def _read_tensors(folder: Path, kind: str) -> list[Array]:
    count = len(list(folder.glob(f"{kind}_*.pb")))
    tensors = []
    for i in range(count):
        tensor = onnx.TensorProto()
        tensor.ParseFromString((folder / f"{kind}_{i}.pb").read_bytes())
        tensors.append(numpy_helper.to_array(tensor))
    return tensors
