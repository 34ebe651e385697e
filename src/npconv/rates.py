"""What counts take, in nanoseconds: written by ``benchmarks/fit_cost.py``, not by hand.

Intel(R) Xeon(R) Processor, one thread, NumPy 2.4.6, 2026-11-25.
"""

# (algorithm, direction): a product, a byte moved, a call, a number of the kernel packed,
# a run; in float32.
RATES: dict[tuple[str, str], tuple[float, float, float, float, float]] = {
    ("im2col", "forward"): (0.0136, 0.0585, 284.0, 0.0, 52900.0),
    ("flat", "forward"): (0.0155, 0.0358, 173.0, 0.0, 49300.0),
    ("fft", "forward"): (0.0428, 0.0738, 404.0, 2.02, 246000.0),
    ("direct", "forward"): (0.0127, 0.0325, 81.1, 1.92, 6270.0),
    ("im2col", "input_grad"): (0.0171, 0.0641, 541.0, 0.0, 65700.0),
    ("flat", "input_grad"): (0.014, 0.0349, 562.0, 0.242, 53200.0),
    ("fft", "input_grad"): (0.0484, 0.0714, 347.0, 1.85, 262000.0),
    ("direct", "input_grad"): (0.0124, 0.0526, 311.0, 0.961, 5680.0),
    ("im2col", "kernel_grad"): (0.0141, 0.0924, 43.2, 0.0, 71300.0),
    ("flat", "kernel_grad"): (0.0182, 0.0411, 441.0, 0.0, 54700.0),
    ("fft", "kernel_grad"): (0.0114, 0.209, 246.0, 0.0, 214000.0),
    ("direct", "kernel_grad"): (0.0132, 0.0329, 0.0, 0.0, 10800.0),
    ("winograd", "forward"): (0.0228, 0.0738, 4150.0, 0.954, 236000.0),
    ("winograd_fused", "forward"): (0.0137, 0.0225, 0.0, 0.0, 25800.0),
    ("winograd", "input_grad"): (0.0241, 0.0732, 4400.0, 0.864, 240000.0),
    ("winograd_fused", "input_grad"): (0.0139, 0.0226, 0.0, 0.0, 25900.0),
    ("winograd", "kernel_grad"): (0.0391, 0.0532, 2590.0, 0.0, 315000.0),
    ("winograd_fused", "kernel_grad"): (0.0205, 0.00909, 0.0, 0.0, 23400.0),
    ("slices", "forward"): (0.13, 0.0733, 0.0, 0.0, 62200.0),
    ("depthwise", "forward"): (0.0308, 0.0222, 579.0, 0.0, 0.0),
    ("slices", "input_grad"): (0.131, 0.0754, 0.0, 0.0, 78900.0),
    ("depthwise", "input_grad"): (0.0312, 0.03, 533.0, 0.0, 0.0),
    ("slices", "kernel_grad"): (0.0747, 0.0506, 209.0, 0.0, 57000.0),
    ("depthwise", "kernel_grad"): (0.0309, 0.026, 1090.0, 0.0, 0.0),
    ("naive", "forward"): (0.0, 0.0, 1710.0, 0.0, 30900.0),
    ("naive", "input_grad"): (4.59, 0.0, 1130.0, 0.0, 42300.0),
    ("naive", "kernel_grad"): (0.0, 0.0, 1560.0, 0.0, 35000.0),
}
