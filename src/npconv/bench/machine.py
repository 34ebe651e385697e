"""What a measurement was made on."""

import datetime
import os
import platform
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
