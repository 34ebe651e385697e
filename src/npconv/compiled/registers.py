"""What vector registers this machine has: known without Numba, as planning needs it."""

from __future__ import annotations

from functools import cache

# Bytes of a number; and the dtype sums are formed in, where it is another one. Integers are
# summed as floats where that is exact.
ITEMSIZES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int64": 8}
SUMS = {"float16": "float32", "bfloat16": "float32", "int64": "float64"}


# Bytes of a line of the cache, as its sets and prefetches see it.
CACHE_LINE = 64
# Bytes of a shifted tile's row at least: where blocks are narrower, those that share lines of
# the result are written one after the other, before the lines leave the cache.
TILE_BYTES = 192
# Rows of the blocks of sums whose vectors run along an image.
HEIGHTS = (8, 6, 4, 3, 2, 1)


def sum_bytes(dtype: str) -> int:
    """Say how many bytes a number of a sum has."""
    return ITEMSIZES[SUMS.get(dtype, dtype)]


@cache
def halves() -> bool:
    """Whether the processor turns halves into floats by itself."""
    features = _features()
    return bool(features.get("f16c") or features.get("neon") or features.get("fullfp16"))


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
    return 24 if _thirty_two() else 12


@cache
def block_rows() -> int:
    """Say how many rows of two vectors registers hold, with two more and a broadcast."""
    return 14 if _thirty_two() else 6


@cache
def masks() -> bool:
    """Whether some lanes of a vector are loaded and stored as fast as all of them."""
    return bool(_features().get("avx512f"))


def _thirty_two() -> bool:
    """Whether there are as many vector registers, not only 16."""
    features = _features()
    return bool(features.get("avx512f") or not features.get("sse2"))


@cache
def _features() -> dict[str, bool]:
    try:
        from llvmlite import binding
    except ImportError:  # nothing is compiled here, but planned and printed
        return {}
    return dict(binding.get_host_cpu_features())
