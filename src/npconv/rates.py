"""What counts take, in nanoseconds: written by ``benchmarks/fit_cost.py``, not by hand.

Intel(R) Xeon(R) Processor, one thread, NumPy 2.4.6, 2026-11-23.
"""

# (algorithm, direction): a product, a byte moved, a call; in float32.
RATES: dict[tuple[str, str], tuple[float, float, float]] = {
    ("im2col", "forward"): (0.0167, 0.0674, 2010.0),
    ("fft", "forward"): (0.0163, 0.256, 1330.0),
    ("direct", "forward"): (0.0156, 0.0375, 4320.0),
    ("im2col", "input_grad"): (0.0151, 0.111, 1800.0),
    ("fft", "input_grad"): (0.0192, 0.254, 1420.0),
    ("direct", "input_grad"): (0.019, 0.0182, 5550.0),
    ("im2col", "kernel_grad"): (0.0203, 0.0773, 2000.0),
    ("fft", "kernel_grad"): (0.0183, 0.197, 938.0),
    ("direct", "kernel_grad"): (0.0181, 0.0835, 4860.0),
    ("winograd", "forward"): (0.0328, 0.0489, 5550.0),
    ("winograd", "input_grad"): (0.0277, 0.0587, 5650.0),
    ("winograd", "kernel_grad"): (0.0458, 0.0467, 4710.0),
    ("winograd_fused", "forward"): (0.0125, 0.015, 300.0),
    ("winograd_fused", "input_grad"): (0.0125, 0.015, 300.0),
    ("winograd_fused", "kernel_grad"): (0.014, 0.02, 300.0),
    ("depthwise", "forward"): (0.027, 0.0601, 5410.0),
    ("depthwise", "input_grad"): (0.028, 0.0904, 6200.0),
    ("depthwise", "kernel_grad"): (0.106, 0.0909, 5450.0),
    ("naive", "forward"): (0.0, 0.0, 1470.0),
    ("naive", "input_grad"): (0.0, 0.0138, 1220.0),
    ("naive", "kernel_grad"): (0.0, 0.0, 1350.0),
    ("flat", "forward"): (0.0158, 0.0299, 1140.0),
    ("flat", "input_grad"): (0.0157, 0.0345, 1370.0),
    ("flat", "kernel_grad"): (0.0176, 0.0328, 1270.0),
    ("slices", "forward"): (0.126, 0.0389, 2740.0),
    ("slices", "input_grad"): (0.133, 0.0355, 3310.0),
    ("slices", "kernel_grad"): (0.0599, 0.0281, 2710.0),
}
