"""Matplotlib without a window: one look for all pictures, PNG bytes out.

Only ASCII goes into a picture, because matplotlib's own font has no Hangul; the report
explains each picture in its caption.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from npconv.demo.extras import need

INK, SOFT, RULE = "#1d2733", "#66727f", "#d5dade"
BLUE, ORANGE = "#1f5f8b", "#c8641f"
DIVERGING = "RdBu_r"
SEQUENTIAL = "Blues"

_LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


@contextmanager
def look() -> Iterator[None]:
    """Set the look, whatever the user's own settings of matplotlib are."""
    need("matplotlib")
    from matplotlib import style

    with style.context(["default", _LOOK]):
        yield


def draw(width: float, height: float, paint: Callable[[Any], None], dpi: int = 160) -> bytes:
    """Give a figure of so many inches, painted by ``paint``, as a PNG.

    The figure is drawn by the Agg canvas directly; pyplot, which would look for a screen,
    is not involved.
    """
    with look():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), facecolor="white")
        FigureCanvasAgg(figure)
        paint(figure)
        buffer = io.BytesIO()
        # Without the software's name and address the file depends on the picture alone.
        figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight",
                       pad_inches=0.02, metadata={"Software": None})  # fmt: skip
    return buffer.getvalue()


def as_jpeg(png: bytes) -> bytes:
    """Give a PNG of photographs as a JPEG, a fifth as large, for embedding."""
    buffer = io.BytesIO()
    with need("PIL.Image").open(io.BytesIO(png)) as image:
        image.convert("RGB").save(buffer, format="JPEG", quality=88, subsampling=0)
    return buffer.getvalue()


def blank(axes: Any) -> None:
    """Take ticks and frame away: only the image is left."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
