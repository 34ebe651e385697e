"""What a measurement was made on."""

import datetime
import os
import platform
import time
from pathlib import Path

import numpy

import npconv


def machine() -> dict[str, str | int | None]:
    """Describe it: processor, cores, versions and date."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "npconv": npconv.__version__,
        "date": datetime.date.today().isoformat(),
    }


class Others:
    """How busy the machine is with something else, from now on; on Linux only.

    Two threads that wait for each other lose milliseconds whenever one of them has to
    share its processor: figures from a machine that was not idle say little.

    Examples
    --------
    >>> from npconv.bench.machine import Others
    >>> busy = Others().share()
    >>> busy is None or busy < 1000
    True
    """

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.perf_counter(), _busy(), _own()

    def share(self) -> float | None:
        """Tell how many processors were busy with others, on average."""
        busy = _busy()
        if busy is None or self._busy is None:
            return None
        others = (busy - self._busy) - (_own() - self._own)
        return max(0.0, others / max(time.perf_counter() - self._began, 0.01))


def _busy() -> float | None:
    """Seconds that all processors have worked, for whomever."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _waiting, *more = map(
        int, stat.read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds of processor that this process and its ended children took."""
    return sum(os.times()[:4])
