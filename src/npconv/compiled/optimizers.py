"""Steps of optimisers by the compiled engine: arrays that lie in one piece.

NumPy takes a dozen passes, and as many calls, for each parameter; here it is one. The bits
are NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npconv.compiled.channels import threads
from npconv.compiled.elementwise import in_chunks
from npconv.compiled.prepared import address
from npconv.problem import Array


def descend(
    rule: str,
    numbers: Sequence[float],
    parameter: Array,
    gradient: Array,
    average: Array,
    second: Array | None = None,
) -> bool:
    """Change a parameter and its averages by a rule; False, and no change, where it cannot.

    ``numbers`` are those of the rule, in the order of `npconv.compiled.kernels.optimizers`.
    """
    run = in_chunks("optimizers", rule, parameter.size, parameter.dtype, threads())
    # A number of NumPy's own may have a dtype that takes part in the arithmetic.
    if run is None or not all(type(number) is float for number in numbers):
        return False
    shape, dtype = parameter.shape, parameter.dtype
    for array in (parameter, average) if second is None else (parameter, average, second):
        if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
            return False
        if not array.flags.carray:  # in one piece, aligned, writable
            return False
    flags = gradient.flags
    if type(gradient) is not np.ndarray or gradient.shape != shape or gradient.dtype != dtype:
        return False
    # NumPy forms all of the step before it changes what the gradient may be part of.
    if not (flags.c_contiguous and flags.aligned) or np.may_share_memory(parameter, gradient):
        return False
    told = np.array(numbers)
    run.run(gradient, average, parameter, second, address(told))
    return True
