"""What the kernels of Winograd's filtering are told of a problem: one integer for each field."""

from __future__ import annotations

from typing import NamedTuple

from npconv.compiled.blocks import CALL_WORDS


class Words(NamedTuple):
    """Sizes in elements and tiles; what begins with ``x_ y_ v_ m_ u_`` and ends so in bytes.

    Tiles are numbered through all images: those of a band of columns row by row, the bands
    of an image, the images. A panel is a range of these numbers.
    """

    x_image: int  # from one image of the input to the next, and so on
    x_group: int
    x_channel: int
    x_row: int
    y_image: int
    y_group: int
    y_channel: int
    y_row: int
    C: int
    K: int
    H: int
    W: int
    P: int
    Q: int
    top: int  # the low pads
    left: int
    rows: int  # of tiles
    columns: int  # of tiles in a band
    an_image: int  # tiles
    tiles: int  # in all images
    panel: int  # tiles
    panels: int  # for each group
    channels: int  # vectors of input channels that one part transforms
    parts: int  # parts that transform a panel
    block: int  # vectors of output channels that are multiplied together
    blocks: int
    v_tile: int  # from one tile's transformed input to the next
    v_element: int
    v_panel: int  # from one panel's to the next; 0 where each thread has its own
    m_tile: int
    m_element: int
    u_group: int
    own: int  # where in scratch the first thread's own memory begins
    own_bytes: int  # of each thread
    strip: int  # where in it these begin, behind the products
    pixels: int
    v_own: int
    strip_row: int


WORDS = Words(*range(CALL_WORDS, CALL_WORDS + len(Words._fields)))


class KernelWords(NamedTuple):
    """The same of a kernel to be transformed: ``of_`` is in bytes."""

    of_group: int
    of_out: int
    of_in: int
    C: int
    K: int
    block: int  # vectors of output channels that are multiplied together
    chunk: int  # input channels of a part
    u_group: int


KERNEL = KernelWords(*range(CALL_WORDS, CALL_WORDS + len(KernelWords._fields)))
