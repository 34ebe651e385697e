"""What counts take, in nanoseconds: written by ``benchmarks/fit_cost.py``, not by hand.

Intel(R) Xeon(R) Processor, one thread, NumPy 2.4.6, 2026-11-23.
"""

# (algorithm, direction): a product, a byte moved, a call; in float32.
RATES: dict[tuple[str, str], tuple[float, float, float]] = {
    ("im2col", "forward"): (0.0175, 0.0704, 1930.0),
    ("fft", "forward"): (0.0166, 0.267, 1310.0),
    ("direct", "forward"): (0.0164, 0.0352, 4390.0),
    ("im2col", "input_grad"): (0.0155, 0.112, 1840.0),
    ("fft", "input_grad"): (0.0187, 0.268, 1410.0),
    ("direct", "input_grad"): (0.0198, 0.0173, 5480.0),
    ("im2col", "kernel_grad"): (0.021, 0.0811, 2040.0),
    ("fft", "kernel_grad"): (0.0167, 0.216, 920.0),
    ("direct", "kernel_grad"): (0.0185, 0.0896, 4820.0),
    ("winograd", "forward"): (0.0289, 0.055, 5590.0),
    ("winograd", "input_grad"): (0.0257, 0.0622, 5760.0),
    ("winograd", "kernel_grad"): (0.0515, 0.0462, 4660.0),
    ("naive", "forward"): (0.0, 0.0, 1470.0),
    ("naive", "input_grad"): (0.0, 0.0, 1230.0),
    ("naive", "kernel_grad"): (0.0, 0.0, 1350.0),
}
