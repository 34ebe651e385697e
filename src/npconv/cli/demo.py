"""`npconv demo`: proof, photograph, digits, and the report of all three."""

from __future__ import annotations

import time
from typing import Any

from npconv.cli import values
from npconv.cli.check import print_proof
from npconv.cli.parser import Parser, typed
from npconv.cli.terminal import Terminal
from npconv.demo.kernels import KERNELS
from npconv.demo.proof import prove
from npconv.messages import Messages
from npconv.nn.digits import EPOCHS

EXAMPLES = (
    ("npconv demo", "example_demo"),
    ("npconv demo --lang ko --out my-report", "example_demo_ko"),
)


def add_arguments(parser: Parser, say: Messages) -> None:
    """Add the options of this command."""
    add = parser.add_argument
    add("--out", default="npconv-demo", metavar="DIR", help=say("help_demo_out"))
    epochs = say("help_demo_epochs", n=EPOCHS)
    add("--epochs", type=typed(say, values.count), default=EPOCHS, metavar="N", help=epochs)
    add("--seed", type=typed(say, values.seed), default=0, metavar="N", help=say("help_seed"))


def run(options: Any, terminal: Terminal) -> int:
    """Do all of it; give 1 if a check of the proof failed."""
    from npconv.demo import pictures
    from npconv.demo.extras import PACKAGES, need
    from npconv.demo.learning import learn
    from npconv.demo.report import Findings, make_folder, write_report
    from npconv.nn.digits import digits_model, load_digits

    # What could stop it later stops it now.
    for module in PACKAGES:
        need(module)
    make_folder(options.out)
    say, began = terminal.say, time.perf_counter()

    terminal.line(say("demo_step_proof"))
    proof = prove()
    if proof.holds:
        seconds = f"{proof.seconds:.1f}"
        terminal.line(say("demo_proof_done", count=len(proof.checks), seconds=seconds))
    else:
        print_proof(proof, terminal)

    terminal.line(say("demo_step_photo", count=len(KERNELS)))
    photo_began, photo = time.perf_counter(), pictures.photograph()
    panels = pictures.filtered(photo)
    seconds = f"{time.perf_counter() - photo_began:.1f}"
    height, width = photo.shape[:2]
    terminal.line(say("demo_photo_done", width=width, height=height, seconds=seconds))

    data = load_digits(options.seed)
    sizes = {"train": f"{len(data.train[0]):,}", "test": f"{len(data.test[0]):,}"}
    terminal.line(say("demo_step_train", **sizes))
    model = digits_model(rng=options.seed)
    result = learn(model, data, epochs=options.epochs, seed=options.seed)
    terminal.line(
        say(
            "demo_train_done",
            accuracy=f"{100 * result.accuracy:.2f}",
            right=result.right,
            count=len(result.labels),
            seconds=f"{result.seconds:.1f}",
        )
    )

    terminal.line(say("demo_step_report"))
    drawn = {
        "photograph": pictures.photo_panel(panels),
        "curve": pictures.learning_curve(result),
        "kernels": pictures.learned_kernels(result),
        "maps": pictures.feature_maps(result, pictures.clear_example(result)),
        "confusion": pictures.confusion_matrix(result),
        "hardest": pictures.hardest_digits(result),
    }
    pages = write_report(options.out, Findings(proof, result, drawn))
    whole = time.perf_counter() - began
    terminal.line(say("demo_report_done", count=len(drawn), seconds=f"{whole:.1f}"))
    terminal.line()
    terminal.line(say("demo_open", path=pages[options.lang].resolve()))
    terminal.data({
        "command": "demo", "holds": proof.holds, "seconds": whole, "proof": proof.as_dict(),
        "training": result.as_dict(), "report": str(pages[options.lang].resolve()),
        "pages": {language: str(path) for language, path in pages.items()},
        "pictures": [f"{name}.png" for name in drawn],
    })  # fmt: skip
    return 0 if proof.holds else 1
