"""What counts take, in nanoseconds: written by ``benchmarks/fit_cost.py``, not by hand.

Intel(R) Xeon(R) Processor, one thread, NumPy 2.4.6, 2026-11-25.
But winograd: AMD EPYC, one thread, NumPy 2.4.6, 2026-11-30, scaled.
"""

VECTOR_BYTES = 64  # of its vector registers

# (algorithm, direction): a product, a byte moved, a call, a number of the kernel packed,
# a run; in float32.
RATES: dict[tuple[str, str], tuple[float, float, float, float, float]] = {
    ("im2col", "forward"): (0.0138, 0.0605, 306.0, 0.0, 55100.0),
    ("flat", "forward"): (0.0157, 0.0375, 222.0, 0.0, 49600.0),
    ("fft", "forward"): (0.0458, 0.0754, 376.0, 4.19, 302000.0),
    ("direct", "forward"): (0.0131, 0.0281, 180.0, 1.27, 6620.0),
    ("im2col", "input_grad"): (0.0154, 0.0795, 480.0, 0.0, 73700.0),
    ("flat", "input_grad"): (0.0148, 0.0354, 570.0, 0.179, 56100.0),
    ("fft", "input_grad"): (0.0485, 0.078, 355.0, 4.42, 316000.0),
    ("direct", "input_grad"): (0.0129, 0.0492, 150.0, 0.922, 6400.0),
    ("im2col", "kernel_grad"): (0.0141, 0.0993, 39.2, 0.0, 70400.0),
    ("flat", "kernel_grad"): (0.0186, 0.0413, 516.0, 0.0, 52000.0),
    ("fft", "kernel_grad"): (0.0107, 0.217, 316.0, 0.0, 190000.0),
    ("direct", "kernel_grad"): (0.0134, 0.0318, 0.0, 0.0, 9040.0),
    ("winograd", "forward"): (0.0251, 0.0446, 3930.0, 1.28, 244000.0),
    ("winograd_fused", "forward"): (0.0131, 0.0208, 0.0, 0.0, 21900.0),
    ("winograd", "input_grad"): (0.0306, 0.0429, 4340.0, 0.802, 240000.0),
    ("winograd_fused", "input_grad"): (0.0133, 0.0208, 0.0, 0.0195, 22100.0),
    ("winograd", "kernel_grad"): (0.0439, 0.0317, 5110.0, 0.0, 114000.0),
    ("winograd_fused", "kernel_grad"): (0.018, 0.00904, 0.0, 0.0, 13900.0),
    ("slices", "forward"): (0.132, 0.0761, 0.0, 0.0, 67100.0),
    ("depthwise", "forward"): (0.0322, 0.022, 586.0, 0.0, 0.0),
    ("slices", "input_grad"): (0.136, 0.075, 0.0, 0.0, 76800.0),
    ("depthwise", "input_grad"): (0.0316, 0.0269, 583.0, 0.0, 0.0),
    ("slices", "kernel_grad"): (0.0687, 0.0556, 0.0, 0.0, 56800.0),
    ("depthwise", "kernel_grad"): (0.0348, 0.0145, 908.0, 0.0, 0.0),
    ("naive", "forward"): (0.0, 0.0, 1730.0, 0.0, 35000.0),
    ("naive", "input_grad"): (3.41, 0.0, 1200.0, 0.0, 42600.0),
    ("naive", "kernel_grad"): (0.0, 0.0, 1540.0, 0.0, 32000.0),
}
