"""OpenVINO: a compiled model of one convolution with constant weights, in float32."""

from __future__ import annotations

from npconv.bench.adapters import Call
from npconv.bench.tasks import Task, operands


def version() -> str:
    """Tell OpenVINO's version, without its build."""
    import openvino

    return str(openvino.__version__).partition("-")[0]


def prepare(task: Task, threads: int) -> Call:
    """Compile the model for so many threads."""
    import openvino
    from openvino import opset13 as ops

    x, w = operands(task)
    groups, rank = task.options.get("groups", 1), x.ndim - 2
    padding = [task.options.get("padding", 0)] * rank
    strides, ones = [task.options.get("stride", 1)] * rank, [1] * rank
    parameter = ops.parameter(x.shape)  # of float32
    if groups == 1:
        node = ops.convolution(parameter, ops.constant(w), strides, padding, padding, ones)
    else:
        grouped = ops.constant(w.reshape(groups, len(w) // groups, *w.shape[1:]))
        node = ops.group_convolution(parameter, grouped, strides, padding, padding, ones)
    model = openvino.Model([node], [parameter], "layer")
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",  # where there is AMX it would take bfloat16
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return Call(
        lambda: request.infer({0: x}, share_inputs=True, share_outputs=True)[0], lambda y: [y]
    )
