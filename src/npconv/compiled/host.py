"""What this processor has: asked without Numba, which later processes need not import."""

from __future__ import annotations

from functools import cache

from npconv.compiled import why_missing


@cache
def vector_bytes() -> int:
    """Say how wide its vectors are."""
    if why_missing():
        return 64
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


@cache
def block_rows() -> int:
    """Say how many rows of two vectors its registers hold, with two more and a broadcast."""
    if why_missing():
        return 14
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    wide = features.get("avx512f") or not binding.get_process_triple().startswith("x86")
    return 14 if wide else 6  # of 32 registers, or of 16
