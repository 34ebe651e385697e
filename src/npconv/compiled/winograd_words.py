"""What the kernels of Winograd's filtering are told of a problem: one integer for each field."""

from __future__ import annotations

from typing import NamedTuple

from npconv.compiled.blocks import CALL_WORDS


class Words(NamedTuple):
    """Where a panel of tiles lies, its products, its results. Strides are in bytes.

    Tiles are numbered through all images: those of a band of columns row by row, the bands
    of an image, the images. A panel is a range of these numbers.
    """

    operand: int  # which word of the block says where the input begins
    x_at: int  # bytes from there to what these tiles see of it
    x_image: int  # from one image of the input to the next, and so on
    x_group: int
    x_channel: int
    x_row: int
    x_pixel: int
    C: int
    H: int
    W: int
    top: int  # the low pads
    left: int
    rows: int  # of tiles
    columns: int  # of tiles in a band
    an_image: int  # tiles of an image
    tiles: int  # of all images
    first: int  # tile of the first panel
    panel: int  # tiles of a panel
    panels: int  # of each group
    channels: int  # vectors of input channels that one part transforms
    parts: int  # parts that transform a panel
    v: int  # where in scratch the first panel's transformed input begins
    v_panel: int  # from one panel's to the next; 0 where each thread has its own
    v_worker: int  # from one thread's to the next; 0 where they share all
    v_tile: int
    v_element: int
    strip_row: int
    own: int  # where in scratch the first thread's own memory begins
    own_bytes: int
    strip: int  # where in it rows of pixels begin, behind the products
    pixels: int
    y_at: int
    y_image: int
    y_group: int
    y_channel: int
    y_row: int
    y_pixel: int
    adds: int  # whether to what is there
    K: int
    P: int
    Q: int
    u_in: int  # which word of the block says where the transformed kernel lies
    u: int  # bytes from there to where it begins
    u_group: int
    vectors: int  # of output channels, up to the last of these blocks
    block: int  # vectors of output channels that are multiplied together
    first_block: int
    blocks: int
    m_tile: int
    m_element: int
    transform: int = 0  # addresses of the two kernels, for `fused`
    multiply: int = 0
    pack: int = 0  # and of the kernel's transform, for `alone`
    u_worker: int = 0  # from one thread's transformed kernels to the next
    watch: int = 0  # address of what a `winograd_watch` is told, or of what it writes


class KernelWords(NamedTuple):
    """A kernel to be transformed, and where to."""

    operand: int
    of_group: int
    of_out: int
    of_in: int
    at: int  # from where a kernel begins to the first of the elements that are meant
    of_row: int  # from one row of them to the next
    of_tap: int  # and from one to the next
    C: int
    K: int
    taps: int  # of the whole kernel
    turned: int
    block: int  # vectors of output channels that are multiplied together
    first: int  # vector of output channels
    vectors: int  # of output channels, from there on
    chunk: int  # input channels of a part
    result: int  # which word of the block says where results go
    u: int
    u_group: int
    most: int  # where in scratch the largest magnitudes go
    seen: int  # where behind `result` what the checks want to know goes
    seen_group: int


class GradientWords(NamedTuple):
    """The kernel's gradient: products of transformed inputs and transformed gradients."""

    C: int
    K: int
    tiles: int  # of this chunk
    v: int
    v_group: int
    v_tile: int
    v_element: int
    m: int
    m_group: int
    m_tile: int
    m_element: int
    rows: int  # output channels of a part
    row_parts: int
    columns: int  # vectors of input channels of a part
    column_parts: int
    own: int
    own_bytes: int
    u_row: int
    u_element: int
    w_group: int
    of_kernel: int  # bytes of all elements of one kernel
    at: int  # of them these are meant, as in `KernelWords`
    of_row: int
    of_tap: int
    adds: int  # whether to what is there


class StreamWords(NamedTuple):
    """A stream of the kernel's gradient: what its three kernels are told, and by whom."""

    inputs: int  # addresses of words: `Words` of both transforms, then `GradientWords`
    grads: int
    products: int
    input_words: int  # how many they are
    grad_words: int
    product_words: int
    transform: int  # addresses of the kernels
    transform_grads: int
    multiply: int
    chunks: int
    streams: int
    ranges: int
    tiles: int  # of a chunk
    all_tiles: int
    input_parts: int
    output_parts: int
    vectors: int  # of output channels in a range
    lanes: int
    w_row: int  # bytes of one output channel's gradient
    item: int
    each: int  # bytes of each thread
    sums_at: int
    sums: int  # bytes of a stream's sums
    adds: int
    squares: int  # where a thread's sums of squares lie in what it has of its own
    norms: int  # where in scratch those of all parts do: inputs, then a range of outputs
    of_part: int  # numbers of one part


class CheckWords(NamedTuple):
    """What the checks of a result look at; see `npconv.trust`."""

    x_at: int
    x_image: int
    x_group: int
    x_channel: int
    x_row: int
    x_pixel: int
    y_at: int
    y_image: int
    y_group: int
    y_channel: int
    y_row: int
    y_pixel: int
    N: int
    G: int
    C: int
    K: int
    H: int
    W: int
    P: int
    Q: int
    top: int
    left: int
    first_row: int  # inputs that are read
    stop_row: int
    first_column: int
    stop_column: int
    inner_row: int  # of these, the ones that meet the whole kernel
    outer_row: int
    inner_column: int
    outer_column: int
    R: int  # kernel elements: of the whole kernel, but for a kernel's gradient
    S: int
    seen_in: int  # which word of the block says where what is known of the kernel lies
    seen: int
    seen_group: int
    pieces: int  # into which the rows of an image are cut
    norms: int = 0  # where in scratch those of a kernel's gradient begin; see `StreamWords`
    streams: int = 1
    ranges: int = 1
    of_part: int = 0
    of_inputs: int = 0
    of_range: int = 0
    closer: int = 0  # where in scratch is room for a sum for each pair of channels
    # The whole problem, whose result is held against what strays in a part of it.
    held: int = 0  # the address of the kernel that does
    taps: int = 0
    tap: int = 0  # where behind the first one those of these R rows begin
    whole_at: int = 0
    of_row: int = 0
    of_pixel: int = 0
    size_h: int = 0
    size_w: int = 0
    out_h: int = 0
    out_w: int = 0
    low_h: int = 0
    low_w: int = 0
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    holes_h: int = 1
    holes_w: int = 1


# Room for the blocks of words that `alone` makes, or for each of those of `stream`.
ALONE_BYTES = 1024
WORDS = Words(*range(CALL_WORDS, CALL_WORDS + len(Words._fields)))
KERNEL = KernelWords(*range(CALL_WORDS, CALL_WORDS + len(KernelWords._fields)))
GRADIENT = GradientWords(*range(CALL_WORDS, CALL_WORDS + len(GradientWords._fields)))
STREAM = StreamWords(*range(CALL_WORDS, CALL_WORDS + len(StreamWords._fields)))
CHECK = CheckWords(*range(CALL_WORDS, CALL_WORDS + len(CheckWords._fields)))
