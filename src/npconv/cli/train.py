"""`npconv train`: a small network learns the digits, or pictures of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npconv.cli import values
from npconv.cli.parser import Parser, typed
from npconv.cli.terminal import Terminal
from npconv.demo.learning import learn, parameter_count
from npconv.demo.own_data import network_for, read_examples
from npconv.messages import Messages, UserError
from npconv.nn.digits import BATCH_SIZE, EPOCHS, LEARNING_RATE, digits_model, load_digits
from npconv.nn.optimizers import Adam

EXAMPLES = (
    ("npconv train", "example_train"),
    ("npconv train --epochs 60 --checkpoint run.npz --resume", "example_resume"),
    ("npconv train --data pictures.npz --out weights.npz", "example_data"),
)


def add_arguments(parser: Parser, say: Messages) -> None:
    """Add the options of this command."""
    add, count = parser.add_argument, typed(say, values.count)
    add("--data", default="digits", metavar="digits|FILE.npz", help=say("help_data"))
    add("--epochs", type=count, default=EPOCHS, metavar="N", help=say("help_epochs", n=EPOCHS))
    add(
        "--batch-size", type=count, default=BATCH_SIZE, metavar="N",
        help=say("help_batch_size", n=BATCH_SIZE),
    )  # fmt: skip
    rate = typed(say, values.rate)
    add("--lr", type=rate, default=LEARNING_RATE, metavar="X", help=say("help_lr", x=LEARNING_RATE))
    add("--seed", type=typed(say, values.seed), default=0, metavar="N", help=say("help_seed"))
    add("--checkpoint", metavar="FILE.npz", help=say("help_checkpoint"))
    add("--resume", action="store_true", help=say("help_resume"))
    add("--out", metavar="FILE.npz", help=say("help_train_out"))


def run(options: Any, terminal: Terminal) -> int:
    """Train, save what was asked for, and tell the held-out accuracy."""
    say = terminal.say
    _check_files(options)
    if options.data == "digits":
        data, scale, classes = load_digits(options.seed), 16.0, range(10)
        model = digits_model(rng=options.seed)
    else:
        data, scale, found = read_examples(options.data, options.seed)
        classes = found.tolist()
        model = network_for(data, len(classes), options.seed)
    images = data.train[0]
    terminal.line(
        say(
            "train_begins",
            train=f"{len(images):,}",
            test=f"{len(data.test[0]):,}",
            shape=" x ".join(map(str, images.shape[1:])),
            classes=len(classes),
            scale=f"{scale:g}",
            parameters=f"{parameter_count(model):,}",
        )
    )
    result = learn(
        model,
        data,
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=Adam(model, lr=options.lr),
        seed=options.seed,
        checkpoint=options.checkpoint,
        resume=options.resume,
    )
    if options.out:
        model.save(options.out)
        terminal.line(say("train_saved", path=options.out))
    terminal.line(
        say(
            "train_done",
            accuracy=f"{100 * result.accuracy:.2f}",
            right=result.right,
            count=len(result.labels),
            epochs=len(result.history),
            seconds=f"{result.seconds:.1f}",
        )
    )
    terminal.data({
        "command": "train", "data": options.data, "scale": scale, "classes": list(classes),
        "out": options.out, "checkpoint": options.checkpoint, **result.as_dict(),
    })  # fmt: skip
    return 0


def _check_files(options: Any) -> None:
    """Find out before the work, not after it, that a file cannot be written."""
    if options.resume and not options.checkpoint:
        raise UserError("resume_what")
    for path in filter(None, (options.checkpoint, options.out)):
        if Path(path).is_dir():
            raise UserError("is_directory", path=path)
        if not Path(path).parent.is_dir():
            raise UserError("no_directory", path=Path(path).parent)
    if options.checkpoint and Path(options.checkpoint).exists() and not options.resume:
        raise UserError("checkpoint_there", path=options.checkpoint)
