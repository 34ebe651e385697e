"""How Winograd's filtering is cut into panels of tiles, and what its kernels are told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from npconv.algorithms.protocol import DType
from npconv.algorithms.winograd_matrices import F_1_1, F_2_3, F_4_3, Filtering
from npconv.axis import Axis
from npconv.compiled.host import block_rows, vector_bytes
from npconv.compiled.winograd_words import KernelWords, Words
from npconv.problem import ConvProblem

# Bytes of a panel's transformed tiles and of their products with one block of the kernels:
# they should stay in the second cache.
PANEL_BYTES = 2**20
# Vectors of output channels that are multiplied, and transformed back, together.
BLOCK = 4
# Tiles of a row that are gathered together: the pixels they read stay in the first cache.
BAND = 16
# Where there are fewer panels for each thread, threads share the parts of a panel.
FEW_PANELS = 4


class Tiling(NamedTuple):
    """The tiles of one problem, and the panels they fall into. Sizes are in bytes or tiles."""

    h: Filtering
    w: Filtering
    lanes: int
    item: int
    C: int
    K: int
    rows: int
    columns: int
    bands: int
    panel: int
    panels: int

    @property
    def elements(self) -> int:
        """Products of a tile for each pair of channels."""
        return self.h.t * self.w.t

    @property
    def vectors(self) -> tuple[int, int]:
        """How many vectors hold the input and output channels."""
        return -(-self.C // self.lanes), -(-self.K // self.lanes)

    @property
    def block(self) -> int:
        """Vectors of output channels in a block of the kernels."""
        return max(1, min(BLOCK, self.vectors[1]))

    @property
    def v_tile(self) -> int:
        """From one tile's transformed input to the next's: odd, so that they share no set."""
        return (self.vectors[0] | 1) * self.lanes * self.item

    @property
    def m_tile(self) -> int:
        """The same of its products."""
        return (self.block | 1) * self.lanes * self.item

    @property
    def v_panel(self) -> int:
        """All of a panel's transformed input."""
        return self.elements * self.panel * self.v_tile

    @property
    def m_panel(self) -> int:
        """A panel's products with a block of the kernels."""
        return self.elements * self.panel * self.m_tile

    @property
    def strip_row(self) -> int:
        """Pixels read by the tiles of one row, in whole vectors."""
        pixels = self.w.m * (self.columns - 1) + self.w.t
        return (-(-pixels // self.lanes) * self.lanes + 1) * self.lanes * self.item

    @property
    def pixels(self) -> int:
        """Pixels of a few tiles, and a vector of biases."""
        return (self.h.m * max(self.w.m, self.lanes) + 1) * self.lanes * self.item

    @property
    def own(self) -> int:
        """What each thread needs beside V, in whole cache lines."""
        return -(-(self.m_panel + self.h.t * self.strip_row + self.pixels) // 128) * 128


def tile_axes(problem: ConvProblem) -> tuple[Axis, Axis]:
    """Give the two axes along which there are tiles; one of size 1 where there is but one."""
    h, w = ((Axis(1, 1),) * 2 + problem.axes)[-2:]
    return h, w


def filtering(axis: Axis) -> Filtering:
    """Choose how to filter along an axis: beyond two outputs, tiles of 4 take fewest products."""
    if axis.kernel == 1:
        return F_1_1
    return F_2_3 if axis.out <= F_2_3.m else F_4_3


@lru_cache(maxsize=1024)
def tiling(problem: ConvProblem, dtype: DType) -> Tiling:
    """Cut a forward problem into tiles and panels."""
    h_axis, w_axis = tile_axes(problem)
    h, w = filtering(h_axis), filtering(w_axis)
    rows, columns = -(-h_axis.out // h.m), -(-w_axis.out // w.m)
    bands = -(-columns // BAND)
    one = Tiling(
        h, w, vector_bytes() // dtype.itemsize, dtype.itemsize, problem.C, problem.K,
        rows, -(-columns // bands), bands, 1, 1,
    )  # fmt: skip
    tiles, most = problem.N * rows * one.columns * bands, block_rows()
    panel = PANEL_BYTES // max(1, one.v_panel + one.m_panel)
    panel = max(most, panel // most * most)
    panels = max(1, -(-tiles // panel))
    return one._replace(panel=-(-tiles // panels), panels=panels)


def is_shared(cut: Tiling, groups: int, threads: int) -> bool:
    """Whether threads share the parts of a panel; if not, each does panels of its own."""
    return cut.panels * groups < FEW_PANELS * threads


def scratch_bytes(cut: Tiling, groups: int, threads: int) -> int:
    """Count the bytes of working memory."""
    kept = cut.panels * groups if is_shared(cut, groups, threads) else threads
    return kept * cut.v_panel + threads * cut.own


def words(
    problem: ConvProblem,
    cut: Tiling,
    x: Sequence[int],
    y: Sequence[int],
    u_group: int,
    threads: int,
) -> Words:
    """Tell the kernels of a forward problem; ``x`` and ``y`` are strides in elements."""
    shared = is_shared(cut, problem.G, threads)
    h_axis, w_axis = tile_axes(problem)
    x_bytes, y_bytes = ([n * cut.item for n in _flat(strides)] for strides in (x, y))
    kept, own = (cut.panels * problem.G if shared else 0), cut.own
    own_bytes = own if shared else own + cut.v_panel
    channels = _channels(cut)
    return Words(
        *x_bytes, *y_bytes, problem.C, problem.K,
        h_axis.size, w_axis.size, h_axis.out, w_axis.out, h_axis.low, w_axis.low,
        cut.rows, cut.columns, cut.rows * cut.columns * cut.bands,
        problem.N * cut.rows * cut.columns * cut.bands, cut.panel, cut.panels,
        channels, -(-cut.vectors[0] // channels), cut.block, -(-cut.vectors[1] // cut.block),
        cut.v_tile, cut.panel * cut.v_tile, cut.v_panel if shared else 0,
        cut.m_tile, cut.panel * cut.m_tile, u_group * cut.item,
        kept * cut.v_panel, own_bytes, cut.m_panel, cut.m_panel + cut.h.t * cut.strip_row, own,
        cut.strip_row,
    )  # fmt: skip


def kernel_words(
    problem: ConvProblem, cut: Tiling, of_out: int, of_in: int, u_group: int
) -> KernelWords:
    """Tell the kernel's transform; its strides are in elements."""
    return KernelWords(
        problem.C * problem.K * problem.taps * cut.item, of_out * cut.item, of_in * cut.item,
        problem.C, problem.K, cut.block, kernel_chunk(problem.C), u_group * cut.item,
    )  # fmt: skip


def kernel_chunk(channels: int) -> int:
    """How many input channels of the kernel one part transforms."""
    return max(1, min(channels, 64))


def _channels(cut: Tiling) -> int:
    """How many vectors of input channels one part transforms: one, if there are few."""
    return max(1, cut.vectors[0] // 16)


def _flat(strides: Sequence[int]) -> tuple[int, int, int, int]:
    """Keep strides of images, groups, channels and rows; the last axis has stride 1."""
    image, group, channel, *spatial = strides
    return image, group, channel, math.prod(spatial[-2:-1])


__all__ = ["Tiling", "kernel_words", "scratch_bytes", "tiling", "words"]
