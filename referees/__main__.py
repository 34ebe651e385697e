"""Run the referees and print what became of their cases; see ``--help``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from itertools import chain

from referees.by_contract import RULES, Rule
from referees.verdict import Verdict, judge

# Modules with a function `cases`, by the name of their referee; none is imported unasked.
REFEREES = {
    "pytorch": "referees.pytorch",
    "gradcheck": "referees.pytorch_gradcheck",
    "jax": "referees.jax_lax",
    "onnx": "referees.onnx_nodes",
    "onnxruntime": "referees.onnx_runtime",
    "features": "referees.features",
    "scipy": "referees.scipy_signal",
}
WIDTHS = "{:<11} {:>7} {:>7} {:>12} {:>9} {:>8}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return 1 if anything is neither passed nor listed."""
    parser = argparse.ArgumentParser(prog="python -m referees", description=__doc__)
    parser.add_argument("referee", nargs="*", help=f"some of {', '.join(REFEREES)}; all by default")
    parser.add_argument("--without", metavar="REFEREE", nargs="+", default=[], help="not these")
    parser.add_argument("-k", metavar="TEXT", default="", help="only cases with this in their name")
    parser.add_argument("-v", action="store_true", help="list every case that stands by contract")
    parser.add_argument("--json", action="store_true", help="the same as data")
    given = parser.parse_args(arguments)
    unknown = {*given.referee, *given.without} - set(REFEREES)
    if unknown:
        parser.error(f"no referee {', '.join(sorted(unknown))}; there are {', '.join(REFEREES)}")
    names = [name for name in given.referee or REFEREES if name not in given.without]
    verdicts, seconds = {}, {}
    for name in names:
        start = time.perf_counter()
        cases = importlib.import_module(REFEREES[name]).cases()
        verdicts[name] = list(judge(name, (case for case in cases if given.k in case.name)))
        seconds[name] = time.perf_counter() - start
        print(f"{name}: {len(verdicts[name])} cases in {seconds[name]:.0f} s", file=sys.stderr)
    everything = list(chain.from_iterable(verdicts.values()))
    ruled = {v: rule_for(v) for v in everything if not v.passed}
    open_cases = [v for v, rule in ruled.items() if rule is None]
    # With a filter a rule may well have nothing to do.
    idle = [r for r in RULES if r.referee in names and r not in ruled.values() and not given.k]
    if given.json:
        print(json.dumps(as_data(everything, ruled, idle, seconds), indent=1, ensure_ascii=False))
    else:
        print_report(verdicts, ruled, idle, seconds, verbose=given.v)
    empty = not all(verdicts.values())
    return int(bool(open_cases) or bool(idle) or (empty and not given.k))


def rule_for(verdict: Verdict) -> Rule | None:
    """Find the rule that covers a case."""
    return next((rule for rule in RULES if rule.covers(verdict)), None)


def as_data(
    verdicts: Sequence[Verdict],
    ruled: dict[Verdict, Rule | None],
    idle: Sequence[Rule],
    seconds: dict[str, float],
) -> dict[str, object]:
    """Everything that is known about a run."""
    return {
        "referees": {name: {"seconds": round(s, 1)} for name, s in seconds.items()},
        "cases": [
            {
                "referee": v.referee,
                "case": v.case,
                "result": "passed" if v.passed else "by contract" if ruled[v] else "failed",
                "detail": v.detail,
                "contract": rule.contract if (rule := ruled.get(v)) else "",
            }
            for v in verdicts
        ],
        "rules without a case": [[r.referee, r.case, r.detail] for r in idle],
    }


def print_report(
    verdicts: dict[str, list[Verdict]],
    ruled: dict[Verdict, Rule | None],
    idle: Sequence[Rule],
    seconds: dict[str, float],
    *,
    verbose: bool,
) -> None:
    """Print what failed, what stands by contract, and the table."""
    for v, rule in ruled.items():
        if rule is None:
            print(f"FAILED {v.referee}: {v.case}\n    {v.detail}")
    for rule in RULES:
        covered = [v for v, own in ruled.items() if own is rule]
        if covered:
            print(f"\n{rule.referee}: {len(covered)} by contract, such as {covered[0].case}")
            print(f"    {covered[0].detail}\n    API.md: {rule.contract}")
        for v in covered if verbose else ():
            print(f"    - {v.case}: {v.detail}")
    for rule in idle:
        print(f"\nNo case needs the rule {rule.referee} {rule.case!r} {rule.detail!r} any more.")
    print("\n" + WIDTHS.format("referee", "cases", "passed", "by contract", "failed", "seconds"))
    for name, those in verdicts.items():
        passed = sum(v.passed for v in those)
        failed = sum(not v.passed and ruled[v] is None for v in those)
        contract = len(those) - passed - failed
        print(WIDTHS.format(name, len(those), passed, contract, failed, f"{seconds[name]:.0f}"))


if __name__ == "__main__":
    sys.exit(main())
