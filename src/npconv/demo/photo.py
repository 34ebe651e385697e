"""A kernel over a photograph: every channel is convolved by itself, and made visible.

Values are filtered as they are stored (gamma-coded, as image editors do), in float32, in
which every 8-bit and 16-bit value is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npconv.functional import conv2d
from npconv.problem import Array

VIEWS = ("auto", "clip", "signed", "magnitude")

# Share of the pixels that a signed view shows without clipping.
SHOWN = 0.98


@dataclass(frozen=True, slots=True)
class Shown:
    """Responses made visible: values from 0 to the peak, how, and by what scale.

    ``scale`` is the response that is shown as full white (and its negative as black, in a
    signed view).
    """

    pixels: Array
    view: str
    scale: float


def respond(pixels: Array, weights: Array) -> Array:
    """Convolve each channel of a picture with one kernel.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C)
    weights : ndarray, shape (K_h, K_w)

    Returns
    -------
    ndarray of float32, shape (H, W, C)

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.demo.photo import respond
    >>> respond(np.array([[[1], [2], [4]]]), np.array([[-1.0, 1.0]])).ravel()
    array([1., 2., 0.], dtype=float32)
    """
    x = np.moveaxis(pixels, -1, 0)[:, np.newaxis].astype(np.float32)  # (C, 1, H, W)
    w = weights[np.newaxis, np.newaxis].astype(np.float32)  # (1, 1, K_h, K_w)
    # The edge is repeated outwards: zeros would draw a dark frame, and edges along it.
    around = [((k - 1) // 2, k // 2) for k in weights.shape]
    y = conv2d(x, w, padding=around, padding_mode="replicate")
    return np.moveaxis(y[:, 0], 0, -1)


def natural_view(weights: Array) -> str:
    """Choose the view: weights that cancel answer with both signs around zero.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.demo.photo import natural_view
    >>> natural_view(np.array([[-1.0, 1.0]])), natural_view(np.array([[0.5, 0.5]]))
    ('signed', 'clip')
    """
    cancel = abs(weights.sum()) <= 1e-9 * np.abs(weights).sum()
    return "signed" if cancel else "clip"


def make_visible(response: Array, view: str, peak: int) -> Shown:
    """Bring responses into the range of a picture.

    Parameters
    ----------
    response : ndarray
    view : {"clip", "signed", "magnitude"}
        "clip" cuts what is below 0 or above the peak. "signed" puts 0 at mid-grey and
        "magnitude" at black; both scale so that 98 % of the values fit.
    peak : int
        The value of white: 255, or 65,535.

    Returns
    -------
    Shown

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.demo.photo import make_visible
    >>> make_visible(np.array([-9.0, 0.0, 9.0]), "signed", 255).pixels
    array([  0., 128., 255.])
    """
    scale = float(peak)
    if view != "clip":
        scale = float(np.quantile(np.abs(response), SHOWN)) or scale
    if view == "signed":
        values = (response / scale + 1) * (peak / 2)
    elif view == "magnitude":
        values = np.abs(response) / scale * peak
    else:
        values = response
    return Shown(np.rint(np.clip(values, 0, peak)), view, scale)
