"""The pictures of the report, each one function from results to a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from npconv.demo.canvas import BLUE, DIVERGING, INK, ORANGE, RULE, SEQUENTIAL, SOFT, blank, draw
from npconv.demo.extras import need
from npconv.demo.kernels import KERNELS, Kernel
from npconv.demo.learning import Result
from npconv.demo.photo import make_visible, natural_view, respond
from npconv.problem import Array


def photograph() -> Array:
    """Load scikit-learn's photograph of a Chinese temple, ``(427, 640, 3)``.

    Raises
    ------
    MissingExtraError
        scikit-learn, or the Pillow it needs, is not installed.
    """
    need("PIL")
    picture: Array = need("sklearn.datasets").load_sample_image("china.jpg")
    return picture


def filtered(photo: Array) -> dict[str, Array]:
    """Put a photograph through every named kernel, and both Sobels together."""
    panels = {}
    for name, kernel in KERNELS.items():
        response = respond(photo, kernel.weights)
        panels[name] = make_visible(response, natural_view(kernel.weights), 255).pixels
    slopes = [respond(photo, KERNELS[name].weights) for name in ("sobel-x", "sobel-y")]
    panels["sobel magnitude"] = make_visible(np.hypot(*slopes), "magnitude", 255).pixels
    return panels


def photo_panel(panels: Mapping[str, Array]) -> bytes:
    """Show the photograph under each kernel, with the kernel's weights."""

    def paint(figure: Any) -> None:
        rows = -(-len(panels) // 2)
        axes = figure.subplots(rows, 2, gridspec_kw={"hspace": 0.13, "wspace": 0.04})
        for place, (name, pixels) in zip(axes.flat, panels.items(), strict=True):
            place.imshow(pixels.astype(np.uint8), interpolation="antialiased")
            blank(place)
            place.set_title(name, loc="left", fontweight="bold", pad=5)
            weights = _weights_text(KERNELS[name]) if name in KERNELS else "sqrt(x ** 2 + y ** 2)"
            place.set_title(weights, loc="right", fontsize=8, color=SOFT, pad=5,
                            family="DejaVu Sans Mono")  # fmt: skip

    return draw(10, 13.6, paint, dpi=130)


def _weights_text(kernel: Kernel) -> str:
    if len(kernel.rows) > 3:
        return f"[1 4 6 4 1]^T x [1 4 6 4 1] / {kernel.divisor}"
    return " | ".join(" ".join(f"{weight:2d}" for weight in row) for row in kernel.rows)


def learning_curve(result: Result) -> bytes:
    """Draw loss and accuracy over the epochs, of training and of the held-out part."""

    def paint(figure: Any) -> None:
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.28})
        history = result.history
        epochs = history.column("number")
        for axes, kind, title in ((left, "loss", "loss"), (right, "metric", "accuracy")):
            scale = 100 if kind == "metric" else 1
            seen = scale * np.array(history.column(kind))
            held_out = scale * np.array(history.column(f"validation_{kind}"))
            axes.plot(epochs, seen, color=ORANGE, lw=1.6, label="training")
            axes.plot(epochs, held_out, color=BLUE, lw=2, label="held out")
            axes.set_title(title + (", %" if scale == 100 else ""), loc="left")
            axes.set_xlabel("epoch")
            axes.grid(axis="y", color=RULE, lw=0.6)
            axes.set_axisbelow(True)
            axes.legend()
        left.set_yscale("log")
        left.yaxis.set_major_locator(need("matplotlib.ticker").LogLocator(subs=(1, 3)))
        left.yaxis.set_major_formatter("{x:g}")
        left.yaxis.set_minor_locator(need("matplotlib.ticker").NullLocator())
        right.set_ylim(top=100.4)
        low = right.get_ylim()[0]
        right.set_ylim(bottom=max(low, 80.0) if epochs[-1:] > [5] else low)

    return draw(9, 3.2, paint)


def learned_kernels(result: Result) -> bytes:
    """Show the first layer's kernels before and after training, and the change."""
    before, after = result.first_kernels[:, 0], result.kernels[:, 0]
    blocks = {"before training": before, "after training": after, "change": after - before}
    limit = max(float(np.abs(kernels).max()) for kernels in blocks.values())

    def paint(figure: Any) -> None:
        rows = figure.subplots(len(blocks), 1, gridspec_kw={"hspace": 0.16})
        for axes, (title, kernels) in zip(rows, blocks.items(), strict=True):
            shown = _tiles(axes, kernels, 8, DIVERGING, -limit, limit)
            axes.set_title(title, loc="left")
        bar = figure.colorbar(shown, ax=rows, fraction=0.02, pad=0.02, aspect=40)
        bar.outline.set_visible(False)

    return draw(9, 7.3, paint)


def _tiles(axes: Any, images: Array, columns: int, colors: str, low: float, high: float) -> Any:
    """Lay small images of one size out in rows; one pair of axes is enough for all."""
    rows = -(-len(images) // columns)
    for i, image in enumerate(images):
        left, top = (i % columns) * 1.1, (i // columns) * 1.1
        place = (left, left + 1, top + 1, top)
        shown = axes.imshow(image, cmap=colors, vmin=low, vmax=high, extent=place)
        axes.plot(*_OUTLINE + np.array([[left], [top]]), color=RULE, lw=0.6)
    axes.set(xlim=(-0.02, columns * 1.1 - 0.08), ylim=(rows * 1.1 - 0.08, -0.02))
    blank(axes)
    return shown


_OUTLINE = np.array([[0, 1, 1, 0, 0], [0, 0, 1, 1, 0]])


def clear_example(result: Result, label: int = 3) -> int:
    """Find the held-out picture of a class that the network is surest of."""
    of_class = np.flatnonzero(result.labels == label)
    if not len(of_class):
        return 0
    return int(of_class[result.probabilities[of_class, label].argmax()])


def feature_maps(result: Result, index: int) -> bytes:
    """Show a digit and the maps every convolution makes of it."""
    maps = result.feature_maps(index)
    picture = result.data.test[0][index]
    columns = 16
    heights = [2, *(-(-len(each) // columns) for each in maps)]

    def paint(figure: Any) -> None:
        rows = figure.subplots(
            len(heights), 1, gridspec_kw={"height_ratios": heights, "hspace": 0.25}
        )
        _tiles(rows[0], picture, 1, "gray_r", 0, 1)
        rows[0].set_anchor("W")
        rows[0].set_title(_size("input:", picture), loc="left")
        for number, (axes, each) in enumerate(zip(rows[1:], maps, strict=True), 1):
            _tiles(axes, each, columns, SEQUENTIAL, 0, float(each.max()) or 1.0)
            title = f"after convolution {number}: {len(each)} maps of"
            axes.set_title(_size(title, each), loc="left")

    return draw(9, 0.56 * sum(heights) + 0.45 * len(heights), paint)


def _size(before: str, images: Array) -> str:
    return f"{before} {images.shape[1]} x {images.shape[2]}"


def confusion_matrix(result: Result) -> bytes:
    """Show what each digit was taken for."""
    counts = result.confusion()

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.imshow(np.sqrt(counts), cmap=SEQUENTIAL)
        half = counts.max() / 3
        for i, j in np.argwhere(counts):
            wrong = i != j
            color = ORANGE if wrong else "white" if counts[i, j] > half else INK
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=color,
                      fontweight="bold" if wrong else "normal")  # fmt: skip
        axes.set_xticks(range(len(counts)))
        axes.set_yticks(range(len(counts)))
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)

    return draw(5.2, 5.2, paint)


def hardest_digits(result: Result, at_least: int = 12) -> bytes:
    """Show the digits it got wrong, and then those it was least sure of."""
    chosen = result.hardest(at_least)
    columns = 6

    def paint(figure: Any) -> None:
        axes = figure.subplots(-(-len(chosen) // columns), columns, squeeze=False,
                               gridspec_kw={"hspace": 0.5, "wspace": 0.15})  # fmt: skip
        for place in axes.flat:
            place.axis("off")
        for place, index in zip(axes.flat, chosen, strict=False):
            true, said = result.labels[index], result.predicted[index]
            sure = 100 * result.probabilities[index, said]
            place.axis("on")
            place.imshow(result.data.test[0][index, 0], cmap="gray_r")
            blank(place)
            right = true == said
            sign = "=" if right else "->"
            place.set_title(f"{true} {sign} {said}", color=INK if right else ORANGE,
                            fontweight="normal" if right else "bold")  # fmt: skip
            place.set_xlabel(f"{sure:.0f} %", fontsize=9, labelpad=3)

    return draw(8, 1.75 * -(-len(chosen) // columns), paint)
