"""How Winograd's filtering is cut into panels of tiles, and what its kernels are told."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from npconv.algorithms.protocol import DType
from npconv.algorithms.winograd_matrices import BY_TILE, Filtering
from npconv.compiled.blocks import FIRST, SECOND
from npconv.compiled.registers import block_rows, vector_bytes
from npconv.compiled.winograd_pictures import Picture, filtering, in_bytes, tile_axes
from npconv.compiled.winograd_words import Words
from npconv.problem import ConvProblem

# Bytes of a panel's transformed tiles and of their products with one block of the kernels:
# they should stay in the second cache.
PANEL_BYTES = 3 * 2**19
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
    columns: int  # of a band
    bands: int
    tiles: int  # of all images
    panel: int
    panels: int
    block: int  # vectors of output channels in a block of the kernels

    @property
    def elements(self) -> int:
        """Products of a tile for each pair of channels."""
        return self.h.t * self.w.t

    @property
    def variant(self) -> str:
        """Name the kernels for tiles of this size."""
        return f"{self.h.t}x{self.w.t}"

    @property
    def inputs(self) -> int:
        """How many vectors hold the input channels."""
        return -(-self.C // self.lanes)

    @property
    def outputs(self) -> int:
        """How many hold the output channels."""
        return -(-self.K // self.lanes)

    @property
    def v_tile(self) -> int:
        """From one tile's transformed input to the next's."""
        return odd_lines(self.inputs * self.lanes * self.item)

    @property
    def m_tile(self) -> int:
        """The same of its products."""
        return odd_lines(self.block * self.lanes * self.item)

    @property
    def v_element(self) -> int:
        """All tiles of a panel for one element."""
        return odd_lines(self.panel * self.v_tile)

    @property
    def m_element(self) -> int:
        """The same of its products."""
        return odd_lines(self.panel * self.m_tile)

    @property
    def v_panel(self) -> int:
        """All of a panel's transformed input."""
        return self.elements * self.v_element

    @property
    def m_panel(self) -> int:
        """A panel's products with a block of the kernels."""
        return self.elements * self.m_element

    @property
    def strip_row(self) -> int:
        """Pixels read by the tiles of one row, in whole vectors from any pixel on."""
        pixels = self.w.m * (self.columns - 1) + self.w.t
        vectors = -(-pixels // self.lanes) + 1
        return (vectors * self.lanes + 1) * self.lanes * self.item

    @property
    def strip(self) -> int:
        """All rows that a tile reads."""
        return self.h.t * self.strip_row

    @property
    def pixels(self) -> int:
        """Pixels of a few tiles, and a vector of biases."""
        return (self.h.m * max(self.w.m, self.lanes) + 1) * self.lanes * self.item

    @property
    def own(self) -> int:
        """What each thread needs beside V."""
        return whole_lines(self.m_panel + self.strip + self.pixels)

    @property
    def blocks(self) -> int:
        """How many blocks of the kernels there are."""
        return -(-self.outputs // self.block)

    @property
    def u_block(self) -> int:
        """A block's transformed kernels."""
        return self.elements * odd_lines(self.block * self.C * self.lanes * self.item)

    @property
    def u_bytes(self) -> int:
        """All of one group's."""
        return self.blocks * self.u_block


def odd_lines(nbytes: int) -> int:
    """Round up to an odd number of cache lines, so that what lies so far apart shares no set."""
    return (-(-nbytes // 64) | 1) * 64


def pairs_of(vectors: int, width: int) -> int:
    """Count the pairs that vectors make in blocks of so many; the last of one may be alone."""
    of_block = (width + 1) // 2
    return vectors // width * of_block + (vectors % width + 1) // 2


def whole_lines(nbytes: int) -> int:
    """Round up to whole pairs of cache lines, so that threads do not share one."""
    return -(-nbytes // 128) * 128


@lru_cache(maxsize=1024)
def tiling(
    problem: ConvProblem,
    dtype: DType,
    tile: tuple[int, ...] | None = None,
    block: int = BLOCK,
) -> Tiling:
    """Cut a forward problem into tiles and panels; ``tile`` as a kernel was packed for."""
    h_axis, w_axis = tile_axes(problem)
    axes = h_axis, w_axis
    tile = tile or tuple(filtering(axis.kernel, axis.out).t for axis in axes)
    h, w = (BY_TILE[t] for t in tile)
    rows, columns = -(-h_axis.out // h.m), -(-w_axis.out // w.m)
    bands = max(1, -(-columns // BAND))
    columns, lanes = -(-columns // bands), vector_bytes() // dtype.itemsize
    tiles = problem.N * rows * columns * bands
    block = max(1, min(block, -(-problem.K // lanes)))
    one = Tiling(
        h, w, lanes, dtype.itemsize, problem.C, problem.K, rows, columns, bands, tiles, 1, 1, block
    )
    panel, most = PANEL_BYTES // (one.v_panel + one.m_panel), block_rows()
    panels = max(1, -(-tiles // max(most, panel // most * most)))
    return one._replace(panel=-(-tiles // panels), panels=panels)


def dealt(cut: Tiling, groups: int, threads: int) -> Tiling:
    """Cut into more panels where that lets each thread do as many of its own.

    What one thread has transformed comes slowly to another. But each panel reads all of the
    kernel, and should be worth it.
    """
    if threads == 1 or not is_shared(cut, groups, threads):
        return cut
    parts = FEW_PANELS * threads if cut.u_bytes <= PANEL_BYTES else threads
    parts = -(-max(parts, cut.panels * groups) // threads) * threads
    panels = min(cut.tiles // block_rows(), -(-parts // groups))
    panels -= panels * groups % threads and panels % threads
    if panels < cut.panels:
        return cut
    panel = -(-cut.tiles // panels)
    return cut._replace(panel=panel, panels=-(-cut.tiles // panel))


def is_shared(cut: Tiling, groups: int, threads: int) -> bool:
    """Whether threads share the parts of a panel; if not, each does panels of its own.

    A single thread would rather multiply all panels by a block of the kernel while it is there.
    """
    panels = cut.panels * groups
    return panels < FEW_PANELS * threads and (threads == 1 or panels % threads != 0)


def scratch_bytes(cut: Tiling, groups: int, threads: int) -> int:
    """Count the bytes of V, and of what threads have of their own."""
    kept = cut.panels * groups if is_shared(cut, groups, threads) else threads
    return kept * cut.v_panel + threads * cut.own


def words(one: Picture, cut: Tiling, u_group: int, threads: int) -> Words:
    """Tell the kernels of a forward problem."""
    problem, shared = one.problem, is_shared(cut, one.problem.G, threads)
    h_axis, w_axis = tile_axes(problem)
    x_image, x_group, x_channel, x_row, x_pixel = in_bytes(problem, one.x, cut.item)
    y_image, y_group, y_channel, y_row, y_pixel = in_bytes(problem, one.y, cut.item)
    channels = max(1, cut.inputs // 16)
    # What no output sees (behind a crop) is padding to the tiles: its rounding errors, too,
    # would be in the results.
    (_, height), (_, width) = (axis.reads(0, axis.out) for axis in (h_axis, w_axis))
    return Words(
        operand=FIRST,
        x_at=one.x_at * cut.item,
        x_image=x_image,
        x_group=x_group,
        x_channel=x_channel,
        x_row=x_row,
        x_pixel=x_pixel,
        C=problem.C,
        H=height if one.is_there else 0,
        W=width,
        top=h_axis.low,
        left=w_axis.low,
        rows=cut.rows,
        columns=cut.columns,
        an_image=cut.rows * cut.columns * cut.bands,
        tiles=cut.tiles,
        first=0,
        panel=cut.panel,
        panels=cut.panels,
        channels=channels,
        parts=-(-cut.inputs // channels),
        v=0 if shared else cut.own,
        v_panel=cut.v_panel if shared else 0,
        v_worker=0 if shared else cut.own + cut.v_panel,
        v_tile=cut.v_tile,
        v_element=cut.v_element,
        strip_row=cut.strip_row,
        own=cut.panels * problem.G * cut.v_panel if shared else 0,
        own_bytes=cut.own if shared else cut.own + cut.v_panel,
        strip=cut.m_panel,
        pixels=cut.m_panel + cut.strip,
        y_at=one.y_at * cut.item,
        y_image=y_image,
        y_group=y_group,
        y_channel=y_channel,
        y_row=y_row,
        y_pixel=y_pixel,
        adds=0,
        K=problem.K,
        P=h_axis.out,
        Q=w_axis.out,
        u_in=SECOND,
        u=0,
        u_group=u_group,
        vectors=cut.outputs,
        block=cut.block,
        first_block=0,
        blocks=cut.blocks,
        m_tile=cut.m_tile,
        m_element=cut.m_element,
    )
