"""One case of a referee, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from npconv import ConvError
from referees.operations import Array

MOST_DETAIL = 400  # characters of a message that are kept


class Different(Exception):
    """npconv and the peer disagree."""


@dataclass(frozen=True)
class Case:
    """A case: ``run`` returns where npconv agrees with the peer, and raises where not."""

    name: str
    run: Callable[[], None]


@dataclass(frozen=True)
class Verdict:
    """What became of a case; ``detail`` is empty where it passed."""

    referee: str
    case: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether npconv and the peer agreed."""
        return not self.detail


def judge(referee: str, cases: Iterable[Case]) -> Iterator[Verdict]:
    """Run cases one by one; nothing that one of them raises stops the others."""
    for case in cases:
        try:
            case.run()
            detail = ""
        except Different as error:
            detail = f"different: {error}"
        except ConvError as error:
            detail = f"refused: {type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 # whatever it is, it is a finding
            detail = f"crashed: {type(error).__name__}: {error}"
        yield Verdict(referee, case.name, " ".join(detail.split())[:MOST_DETAIL])


def check_close(ours: Array, theirs: Array, allowed: Array | float = 0.0) -> None:
    """Compare two results of one dtype, element by element; exactly where nothing is allowed.

    Raises
    ------
    Different
        Of another shape or dtype, or further apart than allowed.
    """
    if ours.dtype != theirs.dtype:
        raise Different(f"dtype: npconv {ours.dtype}, peer {theirs.dtype}")
    if ours.shape != theirs.shape:
        raise Different(f"shape: npconv {ours.shape}, peer {theirs.shape}")
    if ours.dtype.kind in "buiO":
        agree = ours == theirs
    else:
        wide = np.complex128 if ours.dtype.kind == "c" else np.float64
        a, b = ours.astype(wide), theirs.astype(wide)
        with np.errstate(invalid="ignore"):  # inf - inf: those are equal, or not close
            agree = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= allowed)
    if not agree.all():
        where = tuple(int(i) for i in np.argwhere(~agree)[0])
        raise Different(
            f"{np.count_nonzero(~agree)} of {agree.size} values, the first at {where}: "
            f"npconv {ours[where]}, peer {theirs[where]}"
        )


def check_refused(call: Callable[[], Array], why: str) -> None:
    """Check that npconv refuses what the peer refuses.

    Raises
    ------
    Different
        It does not.
    """
    try:
        result = call()
    except ConvError:
        return
    raise Different(
        f"the peer refuses ({why}), npconv returns {result.dtype} of shape {result.shape}"
    )
