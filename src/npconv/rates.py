"""What counts take, in nanoseconds: written by ``benchmarks/fit_cost.py``, not by hand.

Intel(R) Xeon(R) Processor, one thread, NumPy 2.4.6, 2026-11-23.
"""

# (algorithm, direction): a product, a byte moved, a call; in float32.
RATES: dict[tuple[str, str], tuple[float, float, float]] = {
    ("im2col", "forward"): (0.0193, 0.0802, 2010.0),
    ("fft", "forward"): (0.0149, 0.268, 1270.0),
    ("im2col", "input_grad"): (0.0166, 0.118, 1780.0),
    ("fft", "input_grad"): (0.0182, 0.273, 1360.0),
    ("im2col", "kernel_grad"): (0.0224, 0.0845, 1810.0),
    ("fft", "kernel_grad"): (0.0172, 0.21, 910.0),
    ("winograd", "forward"): (0.029, 0.0583, 5130.0),
    ("winograd", "input_grad"): (0.0211, 0.0729, 5130.0),
    ("winograd", "kernel_grad"): (0.046, 0.0478, 4210.0),
    ("naive", "forward"): (0.0, 0.0, 1490.0),
    ("naive", "input_grad"): (0.0, 0.0, 1230.0),
    ("naive", "kernel_grad"): (0.0, 0.0, 1350.0),
}
