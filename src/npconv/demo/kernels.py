"""The named kernels: a few weights each, and what they do to a picture.

To add one is to add an entry. Weights are what is multiplied, position by position, with
the window: as everywhere in deep learning the kernel is not flipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npconv.problem import Array


@dataclass(frozen=True, slots=True)
class Kernel:
    """Integer weights over a common divisor, with words for them.

    Examples
    --------
    >>> from npconv.demo.kernels import KERNELS
    >>> KERNELS["sobel-x"].weights
    array([[-1.,  0.,  1.],
           [-2.,  0.,  2.],
           [-1.,  0.,  1.]])
    """

    rows: tuple[tuple[int, ...], ...]
    divisor: int
    source: str
    en: str
    ko: str

    @property
    def weights(self) -> Array:
        """The kernel as a float array."""
        return np.array(self.rows, np.float64) / self.divisor

    def text(self, language: str) -> str:
        """Say what it does."""
        return self.ko if language == "ko" else self.en

    def as_dict(self) -> dict[str, Any]:
        """Give it as data."""
        return {"weights": self.rows, "divisor": self.divisor, "source": self.source}


KERNELS: dict[str, Kernel] = {
    "identity": Kernel(
        ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
        1,
        "",
        en="Only the centre counts, so every pixel stays what it was.",
        ko="가운데 값만 곱하므로 모든 픽셀이 원래 값을 유지합니다.",
    ),
    "blur": Kernel(
        (
            (1, 4, 6, 4, 1),
            (4, 16, 24, 16, 4),
            (6, 24, 36, 24, 6),
            (4, 16, 24, 16, 4),
            (1, 4, 6, 4, 1),
        ),
        256,
        "Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, 1983",
        en="A weighted mean of 25 neighbours, close to a Gaussian: detail and noise fade.",
        ko="주변 25픽셀의 가중 평균으로, 가우시안에 가깝습니다. 세부와 잡음이 흐려집니다.",
    ),
    "sharpen": Kernel(
        ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
        1,
        "Rosenfeld and Kak, Digital Picture Processing, 1976",
        en="The picture minus its Laplacian: differences from the neighbours are doubled up.",
        ko="원본에서 라플라시안을 뺍니다. 이웃 픽셀과의 차이가 두드러져 선명해 보입니다.",
    ),
    "sobel-x": Kernel(
        ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
        1,
        "Sobel and Feldman, A 3x3 Isotropic Gradient Operator for Image Processing, 1968",
        en="Brightness gained from left to right: vertical edges answer.",
        ko="왼쪽에서 오른쪽으로 밝기가 변하는 정도입니다. 세로 방향 윤곽선이 드러납니다.",
    ),
    "sobel-y": Kernel(
        ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
        1,
        "Sobel and Feldman, A 3x3 Isotropic Gradient Operator for Image Processing, 1968",
        en="Brightness gained from top to bottom: horizontal edges answer.",
        ko="위에서 아래로 밝기가 변하는 정도입니다. 가로 방향 윤곽선이 드러납니다.",
    ),
    "laplacian": Kernel(
        ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
        1,
        "the five-point stencil of numerical analysis",
        en="Four neighbours minus four times the centre, a second derivative: all edges answer.",
        ko="이웃 넷의 합에서 가운데의 네 배를 뺀 이차 미분입니다. 모든 윤곽선에 반응합니다.",
    ),
    "emboss": Kernel(
        ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
        1,
        "",
        en="The picture plus its slope along the diagonal, as if lit from one corner.",
        ko="원본에 대각선 방향의 기울기를 더합니다. 한쪽에서 빛을 비춘 듯 입체감이 납니다.",
    ),
}
