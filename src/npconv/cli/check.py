"""`npconv check`: the proof, line by line."""

from __future__ import annotations

from typing import Any

from npconv.cli.parser import Parser
from npconv.cli.terminal import Terminal
from npconv.cli.values import seed
from npconv.demo.proof import Check, Proof, prove
from npconv.messages import Messages

EXAMPLES = (("npconv check", "example_check"), ("npconv check --json", "example_json"))


def add_arguments(parser: Parser, say: Messages) -> None:
    """Add the options of this command."""
    from npconv.cli.parser import typed

    parser.add_argument(
        "--seed", type=typed(say, seed), default=0, metavar="N", help=say("help_check_seed")
    )


def run(options: Any, terminal: Terminal) -> int:
    """Prove, print, and give 1 if anything failed."""
    proof = prove(options.seed)
    print_proof(proof, terminal)
    terminal.data({"command": "check", **proof.as_dict()})
    return 0 if proof.holds else 1


def print_proof(proof: Proof, terminal: Terminal) -> None:
    """Print every figure, what it must be, and whether it is."""
    say, main = terminal.say, proof.main
    terminal.line(say("check_layer", layer=main.case.call, shape=main.case.input_shape))
    for key, checks in (
        ("check_agreement", _named(say, {"27": main.agreement, "1,000": proof.long_sums})),
        ("check_shapes", [(say(f"of_{check.name}"), check) for check in main.shapes]),
        ("check_gradients", [(say(f"by_{check.name}"), check) for check in main.gradients]),
        ("check_ten_lines", [(say(f"of_{check.name}"), check) for check in proof.essence]),
    ):
        terminal.line()
        terminal.line(say(key))
        terminal.table([_row(name, check, say) for name, check in checks])
    terminal.line()
    terminal.line(say("check_variants"))
    heading = [say(f"column_{name}") for name in ("options", "output", "agreement")]
    heading += ["dX", "dW", "db", ""]
    rows = [
        [
            variant.case.text,
            str(variant.shapes[0].value),
            *(f"{check.value:.1e}" for check in (variant.agreement, *variant.gradients)),
            verdict(variant.holds, say),
        ]
        for variant in proof.variants
    ]
    terminal.table([heading, *rows])
    failed = sum(not check.holds for check in proof.checks)
    terminal.line()
    terminal.line(
        say(
            "check_failed" if failed else "check_holds",
            count=len(proof.checks),
            failed=failed,
            seconds=f"{proof.seconds:.1f}",
        )
    )


def _named(say: Messages, checks: dict[str, Check]) -> list[tuple[str, Check]]:
    return [(say("sums_of", count=count), check) for count, check in checks.items()]


def _row(name: str, check: Check, say: Messages) -> list[str]:
    if isinstance(check.value, tuple):
        figures = [str(check.value), "==", str(check.needed)]
    else:
        figures = [f"{check.value:.1e}", "<=", f"{check.needed:.0e}"]
    return [name, *figures, verdict(check.holds, say)]


def verdict(holds: bool, say: Messages) -> str:
    """Say in a word whether it holds."""
    return say("holds" if holds else "fails")
