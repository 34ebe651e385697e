"""The registry: every algorithm there is, by name.

To register an algorithm is to have it planned for, tested against every named problem and
listed in the docs.
"""

from __future__ import annotations

from npconv.algorithms.depthwise import Depthwise
from npconv.algorithms.direct import Direct
from npconv.algorithms.fft import Fft
from npconv.algorithms.flat import FlatColumns
from npconv.algorithms.im2col import Im2col
from npconv.algorithms.naive import Naive
from npconv.algorithms.protocol import Algorithm
from npconv.algorithms.slices import Slices
from npconv.algorithms.winograd import Winograd
from npconv.algorithms.winograd_fused import WinogradFused

REGISTRY: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Naive(),
        Im2col(),
        FlatColumns(),
        Slices(),
        Winograd(),
        Fft(),
        Direct(),
        Depthwise(),
        WinogradFused(),
    )
}


def algorithms() -> tuple[str, ...]:
    """Names that ``algorithm=`` takes beside "auto".

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import npconv
    >>> npconv.algorithms()[:6]
    ('naive', 'im2col', 'flat', 'slices', 'winograd', 'fft')
    """
    return tuple(REGISTRY)
