"""Convolution as the sparse matrix it is: a linear map, written out.

For those who solve with it, take its singular values, or simply want to see it: a banded
matrix whose diagonals repeat the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import DTypeLike

from npconv.arrays import as_array
from npconv.axis import Axis
from npconv.errors import DTypeError, MissingExtraError
from npconv.functional import Geometry
from npconv.memory import check_capacity
from npconv.numbers import numbers_for
from npconv.options import spelled_out
from npconv.padding import source
from npconv.problem import Array, ConvProblem

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Row, column and value of an entry, and as much again while SciPy sorts them.
BYTES_PER_ENTRY = 48


@spelled_out(Geometry)
def conv_matrix(
    input_shape: Sequence[int],
    kernel: Any,
    *,
    dtype: DTypeLike | None = None,
    **geometry: Unpack[Geometry],
) -> csr_array:
    """Write a convolution with this kernel as a sparse matrix.

    ``M @ x.ravel()`` is ``conv(x, kernel, ...).ravel()``, and ``M.T @ dy.ravel()`` the
    gradient of the input, for real kernels. Products with padding zeros are no entries:
    NaN or Inf in a kernel does not reach them here.

    Parameters
    ----------
    input_shape : sequence of int
        Of the input, in ``layout``.
    kernel : array_like, shape (C_out, C_in // groups, *kernel_size)
        In ``kernel_layout``.
    dtype : dtype, optional
        Of the entries; by default that of ``conv`` for an input of the kernel's dtype.
        SciPy's sparse arrays know neither float16 nor bfloat16, and no objects.
    stride, padding, ...
        As for `conv`, every padding mode included.

    Returns
    -------
    scipy.sparse.csr_array, shape (prod(output), prod(input))
        In canonical format: sorted indices, no entry twice.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        As for `conv`.
    CapacityError
        More entries than memory holds.
    MissingExtraError
        SciPy is not installed.

    Notes
    -----
    A doubly blocked Toeplitz matrix in two dimensions; see section 9.1 of Goodfellow, Bengio
    and Courville, "Deep Learning", 2016.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> M = npconv.conv_matrix((1, 1, 4), np.array([[[1.0, -2.0, 1.0]]]), padding=1)
    >>> M.toarray()
    array([[-2.,  1.,  0.,  0.],
           [ 1., -2.,  1.,  0.],
           [ 0.,  1., -2.,  1.],
           [ 0.,  0.,  1., -2.]])
    """
    w = as_array("kernel", kernel)
    problem = ConvProblem.of(input_shape, w.shape, **geometry)
    result = numbers_for(w.dtype, w.dtype, dtype).result
    if result.kind not in "iufc" or result == np.float16:
        raise DTypeError(
            f"SciPy has no sparse arrays of {result}; ask for another dtype, such as "
            "dtype='float32'"
        )
    csr, coo = _scipy()
    w = problem.view_kernel(w.astype(result, copy=False))
    shape = math.prod(problem.output_shape), math.prod(problem.input_shape)
    if not w.size or 0 in shape:
        return csr(shape, dtype=result)
    p, r, h = _spatial_terms(problem)
    count = problem.N * problem.G * problem.K * problem.C * len(p)
    check_capacity("a matrix with its entries", (count, BYTES_PER_ENTRY), np.uint8)
    rows = problem.view_output(np.arange(shape[0]).reshape(problem.output_shape))
    columns = problem.view_input(np.arange(shape[1]).reshape(problem.input_shape))
    entries = np.broadcast_arrays(
        _flat(w, problem.rank)[..., r],  # (G, K, C, terms)
        _flat(rows, problem.rank)[:, :, :, np.newaxis, p],  # (N, G, K, 1, terms)
        _flat(columns, problem.rank)[:, :, np.newaxis, :, h],  # (N, G, 1, C, terms)
    )
    value, row, column = (entry.ravel() for entry in entries)
    return coo((value, (row, column)), shape=shape).tocsr()  # adds up what a mode repeats


def _scipy() -> tuple[Any, Any]:
    try:
        from scipy.sparse import coo_array, csr_array
    except ImportError as error:
        raise MissingExtraError(
            "conv_matrix returns SciPy's sparse arrays: pip install 'npconv[matrix]'"
        ) from error
    return csr_array, coo_array


def _flat(a: Array, rank: int) -> Array:
    """Run all spatial axes into one."""
    return a.reshape(*a.shape[: a.ndim - rank], -1)


def _spatial_terms(problem: ConvProblem) -> tuple[Array, Array, Array]:
    """List output, kernel element and input of every product of one channel, flat over space."""
    each = [_axis_terms(axis, problem.padding_mode) for axis in problem.axes]
    check_capacity("a list of terms", (3, math.prod(len(p) for p, _, _ in each)), np.int64)
    p, r, h = zip(*each, strict=True)
    return _all_pairs(p, problem.out), _all_pairs(r, problem.kernel), _all_pairs(h, problem.size)


def _all_pairs(places: Sequence[Array], size: Sequence[int]) -> Array:
    """Combine the places along each axis of an array of this size, to places in all of it."""
    flat: Array = np.ravel_multi_index(np.ix_(*places), tuple(size))
    return flat.ravel()


def _axis_terms(axis: Axis, mode: str) -> tuple[Array, Array, Array]:
    """List output, kernel element and input along one axis; padding and holes are no terms."""
    check_capacity("a list of terms", (5, axis.out, axis.kernel), np.int64)
    p, r = (index.ravel() for index in np.indices((axis.out, axis.kernel)))
    padded = p * axis.stride + r * axis.dilation
    if mode != "zeros":
        return p, r, source(axis, mode, 0, axis.padded)[padded]
    h, between = np.divmod(padded - axis.low, axis.input_dilation)
    seen = (between == 0) & (h >= 0) & (h < axis.size)
    return p[seen], r[seen], h[seen]
