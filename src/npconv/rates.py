"""What counts take, in nanoseconds: written by ``benchmarks/fit_cost.py``, not by hand.

Intel(R) Xeon(R) Processor, one thread, NumPy 2.4.6, 2026-11-24.
"""

# (algorithm, direction): a product, a byte moved, a call, a run; in float32.
RATES: dict[tuple[str, str], tuple[float, float, float, float]] = {
    ("im2col", "forward"): (0.0159, 0.0563, 2030.0, 32800.0),
    ("flat", "forward"): (0.0175, 0.0349, 513.0, 50600.0),
    ("fft", "forward"): (0.0204, 0.254, 647.0, 217000.0),
    ("direct", "forward"): (0.0129, 0.0414, 28800.0, 0.0),
    ("im2col", "input_grad"): (0.0181, 0.0498, 3530.0, 34800.0),
    ("flat", "input_grad"): (0.0174, 0.0367, 627.0, 63000.0),
    ("fft", "input_grad"): (0.0224, 0.265, 906.0, 143000.0),
    ("direct", "input_grad"): (0.0138, 0.0369, 50200.0, 0.0),
    ("im2col", "kernel_grad"): (0.0145, 0.0905, 524.0, 63500.0),
    ("flat", "kernel_grad"): (0.0188, 0.0423, 377.0, 59300.0),
    ("fft", "kernel_grad"): (0.00677, 0.282, 165.0, 237000.0),
    ("direct", "kernel_grad"): (0.0133, 0.0331, 10600.0, 0.0),
    ("winograd", "forward"): (0.0345, 0.0438, 4910.0, 258000.0),
    ("winograd_fused", "forward"): (0.018, 0.0138, 2930.0, 0.0),
    ("winograd", "input_grad"): (0.0322, 0.0528, 5550.0, 194000.0),
    ("winograd_fused", "input_grad"): (0.0175, 0.0169, 0.0, 28600.0),
    ("winograd", "kernel_grad"): (0.0459, 0.0514, 2300.0, 272000.0),
    ("winograd_fused", "kernel_grad"): (0.0222, 0.00825, 0.0, 22500.0),
    ("slices", "forward"): (0.134, 0.0641, 2640.0, 18400.0),
    ("depthwise", "forward"): (0.032, 0.0255, 1280.0, 0.0),
    ("slices", "input_grad"): (0.14, 0.0755, 421.0, 74300.0),
    ("depthwise", "input_grad"): (0.0335, 0.0339, 2730.0, 0.0),
    ("slices", "kernel_grad"): (0.076, 0.0317, 2700.0, 14700.0),
    ("depthwise", "kernel_grad"): (0.0336, 0.0197, 1020.0, 0.0),
    ("naive", "forward"): (0.0, 0.0, 1740.0, 30000.0),
    ("naive", "input_grad"): (5.09, 0.0, 1100.0, 42200.0),
    ("naive", "kernel_grad"): (0.0, 0.0, 1540.0, 33700.0),
}
