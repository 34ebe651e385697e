"""ONNX Runtime: a model of one `Conv` node whose weights are a constant, so packed once."""

from __future__ import annotations

from npconv import conv_output_shape
from npconv.bench.adapters import Call
from npconv.bench.tasks import Task, operands


def version() -> str:
    """Tell ONNX Runtime's version."""
    import onnxruntime

    return str(onnxruntime.__version__)


def prepare(task: Task, threads: int) -> Call:
    """Make the model and a session of so many threads."""
    import onnxruntime
    from onnx import TensorProto, checker, helper, numpy_helper

    x, w = operands(task)
    shape = conv_output_shape(task.input, task.kernel, **task.options)
    rank = x.ndim - 2
    padding, stride = task.options.get("padding", 0), task.options.get("stride", 1)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=[stride] * rank, pads=[padding] * (2 * rank),
        group=task.options.get("groups", 1),
    )  # fmt: skip
    graph = helper.make_graph(
        [node], "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(w, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return Call(lambda: session.run(None, {"x": x}), list)
