"""What vector registers this machine has: known without Numba, as planning needs it."""

from __future__ import annotations

from functools import cache


@cache
def vector_bytes() -> int:
    """Say how many bytes a vector register has."""
    features = _features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


@cache
def accumulators() -> int:
    """Say how many registers may hold sums, a row of factors and a broadcast beside them."""
    features = _features()
    sixteen = features.get("sse2") and not features.get("avx512f")
    return 12 if sixteen else 24  # of 32


@cache
def _features() -> dict[str, bool]:
    try:
        from llvmlite import binding
    except ImportError:  # nothing is compiled here, but planned and printed
        return {}
    return dict(binding.get_host_cpu_features())
