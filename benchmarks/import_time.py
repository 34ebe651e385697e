"""What ``import npconv`` costs, against ``import numpy``.

Each import runs in a fresh process of this interpreter and is timed inside it, so that
starting Python is not counted. The two take turns, so that whatever else the machine
does meets both alike. Compiled bytecode is used, as it is for users.

Run it with ``make bench-import``. It prints the ratio of the medians, writes
``benchmarks/results/import_time.json`` and exits with status 1 when the ratio is above
``LIMIT``. ``--json`` prints what it writes.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from npconv.bench.timing import machine

LIMIT = 1.25
RESULT = Path(__file__).parent / "results" / "import_time.json"
TIMED_IMPORT = """
import time
start = time.perf_counter()
import {}
print(time.perf_counter() - start)
"""


def import_seconds(module: str) -> float:
    """Seconds that a fresh process takes to import one module.

    Parameters
    ----------
    module : str
        The module's name.

    Returns
    -------
    float
        Seconds, without the start of the interpreter.
    """
    # -I: no PYTHON* variable and no current directory changes what is measured.
    command = [sys.executable, "-I", "-c", TIMED_IMPORT.format(module)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> int:
    """Measure, print, write; 0 when the ratio is within ``LIMIT``, else 1."""
    parser = argparse.ArgumentParser(description="import npconv against import numpy")
    parser.add_argument("--processes", type=int, default=20, help="of each module (20)")
    parser.add_argument("--json", action="store_true", help="print the result as data")
    arguments = parser.parse_args()

    modules = ("numpy", "npconv")
    for module in modules:
        import_seconds(module)  # writes the bytecode and fills the disk cache
    seconds: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(arguments.processes):
        for module in modules:
            seconds[module].append(import_seconds(module))

    median = {module: statistics.median(times) for module, times in seconds.items()}
    ratio = median["npconv"] / median["numpy"]
    result = {
        "milliseconds": {module: round(1e3 * median[module], 2) for module in modules},
        "ratio": round(ratio, 3),
        "limit": LIMIT,
        "processes": arguments.processes,
        "machine": machine(),
    }
    text = json.dumps(result, indent=2)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text + "\n", encoding="utf-8")
    if arguments.json:
        print(text)
    else:
        for module in modules:
            print(f"import {module:6} {1e3 * median[module]:7.1f} ms")
        verdict = "holds" if ratio <= LIMIT else "FAILS"
        print(f"ratio {ratio:.3f}, at most {LIMIT}: {verdict}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
