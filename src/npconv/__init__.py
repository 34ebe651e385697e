"""npconv: convolution for NumPy arrays, forward and backward.

Start with the core (`conv2d_naive`, `im2col`, `col2im`, `conv2d_im2col`, `Conv2dNumpy`,
`numerical_gradient`), go on to `conv` for any rank and every option, and to `npconv.nn`
for layers and training.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npconv._version import __version__
from npconv.algorithms import algorithms
from npconv.core import (
    Conv2dNumpy,
    col2im,
    conv2d_im2col,
    conv2d_naive,
    im2col,
    numerical_gradient,
)
from npconv.errors import (
    CapacityError,
    ConvError,
    DTypeError,
    FileFormatError,
    MissingExtraError,
    RangeError,
    ShapeError,
    StateError,
    UnsupportedError,
)
from npconv.functional import (
    conv,
    conv1d,
    conv2d,
    conv3d,
    conv_output_shape,
    plan_conv,
)
from npconv.gradients import (
    ConvGradients,
    conv_backward,
    conv_input_grad,
    conv_kernel_grad,
)
from npconv.plan import Plan
from npconv.settings import settings

if TYPE_CHECKING:
    from npconv.gradient_check import GradcheckReport, gradcheck
    from npconv.matrix import conv_matrix
    from npconv.pooling import (
        avg_pool,
        avg_pool_backward,
        max_pool,
        max_pool_backward,
        max_pool_with_indices,
    )
    from npconv.transposed import (
        conv_transpose,
        conv_transpose1d,
        conv_transpose2d,
        conv_transpose3d,
        conv_transpose_backward,
    )

__all__ = [
    "CapacityError",
    "Conv2dNumpy",
    "ConvError",
    "ConvGradients",
    "DTypeError",
    "FileFormatError",
    "GradcheckReport",
    "MissingExtraError",
    "Plan",
    "RangeError",
    "ShapeError",
    "StateError",
    "UnsupportedError",
    "__version__",
    "algorithms",
    "avg_pool",
    "avg_pool_backward",
    "col2im",
    "conv",
    "conv1d",
    "conv2d",
    "conv2d_im2col",
    "conv2d_naive",
    "conv3d",
    "conv_backward",
    "conv_input_grad",
    "conv_kernel_grad",
    "conv_matrix",
    "conv_output_shape",
    "conv_transpose",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "conv_transpose_backward",
    "gradcheck",
    "im2col",
    "max_pool",
    "max_pool_backward",
    "max_pool_with_indices",
    "numerical_gradient",
    "plan_conv",
    "settings",
]

# Loaded when first asked for: importing npconv should cost little more than NumPy does.
_LATER = {
    "gradient_check": ("GradcheckReport", "gradcheck"),
    "matrix": ("conv_matrix",),
    "pooling": (
        "avg_pool",
        "avg_pool_backward",
        "max_pool",
        "max_pool_backward",
        "max_pool_with_indices",
    ),
    "transposed": (
        "conv_transpose",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "conv_transpose_backward",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            loaded = import_module(f"npconv.{module}")
            globals().update({each: getattr(loaded, each) for each in names})
            return globals()[name]
    raise AttributeError(f"module 'npconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
