"""Every case in which npconv means to refuse, or to differ: the case, and API.md's sentence.

A rule names a referee, a pattern for its cases and a pattern for what happened, both searched
for with `re`. A rule that no case needs any more is an error, as is a case without a rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from referees.verdict import Verdict


@dataclass(frozen=True)
class Rule:
    """One kind of case that stands by contract."""

    referee: str
    case: str
    detail: str
    contract: str

    def covers(self, verdict: Verdict) -> bool:
        """Whether this rule is about that case and what happened to it."""
        return (
            self.referee == verdict.referee
            and re.search(self.case, verdict.case) is not None
            and re.search(self.detail, verdict.detail) is not None
        )


RULES: tuple[Rule, ...] = (
    Rule(
        "pytorch",
        r"^conv3d error .* padding='same'",
        "the peer refuses .*not supported for strided",
        '"same": out = ceil(L/stride), total = max((out-1)*stride + dilation*(k-1) + 1 - L, 0)',
    ),
    Rule(
        "pytorch",
        r"^avg_pool[23]d ",
        "unexpected keyword argument 'divisor_override'",
        "Unknown keywords are TypeErrors; avg_pool(input, kernel_size, stride=None, padding=0, "
        "dilation=1, ceil_mode=False, count_include_pad=True)",
    ),
    Rule(
        "pytorch",
        r"^avg_pool2d .* \(4, 4\) \(2, 2\) \(2,\) ",
        "refused: ShapeError: padding must be one integer or one for each of the 2 axes",
        "all are one value or one per axis",
    ),
    Rule(
        "pytorch",
        r"^avg_pool\dd int64 .* forward$",
        "different: dtype: npconv float64, peer int64",
        "the average of integers is float64",
    ),
    Rule(
        "pytorch",
        r"^max_pool[13]d error \d+ \(0, ",
        r"the peer refuses .*, npconv returns float32 of shape \(0, ",
        "N, C_in, C_out may be 0",
    ),
    Rule(
        "pytorch",
        r"^avg_pool3d error 5 \(0, 1, 49\) ",
        "the peer refuses .*expected for input",
        "any rank, every zero-padding form and layout",
    ),
    Rule(
        "jax",
        "^rhs_oob",
        "refused: ShapeError: kernel reaches beyond the padded input",
        "a kernel beyond the padded input (in every function)",
    ),
    Rule(
        "jax",
        "_int8_.*_preferred_int8_.* forward$",
        "refused: RangeError: ",
        "An integer call raises RangeError before writing anything exactly when n * max|input| * "
        "max|kernel| + max|bias| exceeds the result dtype",
    ),
    Rule(
        "jax",
        "dimensionnumbers_NCHW_HWIO_NHWC_",
        "refused: UnsupportedError: one layout for input and output",
        "grad_output, outputs and input_shape are in layout",
    ),
    Rule(
        "jax",
        "_complex(64|128)_.* vjp [lr]hs$",
        "different: ",
        "For complex operands gradients are the adjoint, as in PyTorch: the other operand is "
        "conjugated",
    ),
    Rule(
        "onnx",
        "^(MaxPool|AveragePool) test_.*_2d_pads",
        "refused: ShapeError: padding must be at most half the window",
        "pads up to half the effective kernel",
    ),
    Rule(
        "onnx",
        "^MaxPool test_maxpool_with_argmax_2d_precomputed_strides",
        "refused: UnsupportedError: indices in column-major order",
        "indices are flat over space",
    ),
    Rule(
        "onnxruntime",
        "^(MaxPool|AveragePool) ",
        "refused: ShapeError: kernel reaches beyond the padded input",
        "a kernel beyond the padded input (in every function)",
    ),
)
