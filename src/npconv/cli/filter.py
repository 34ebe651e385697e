"""`npconv filter`: a kernel over a picture of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from npconv.cli.parser import Parser, typed
from npconv.cli.terminal import Terminal
from npconv.cli.values import weights
from npconv.demo.kernels import KERNELS
from npconv.demo.photo import VIEWS, make_visible, natural_view, respond
from npconv.demo.picture_file import check_target, read_picture, write_picture
from npconv.messages import Messages, UserError
from npconv.problem import Array

EXAMPLES = (
    ("npconv filter photo.jpg --kernel sharpen -o sharp.jpg", "example_filter"),
    ('npconv filter photo.png --weights "0 1 0; 1 -4 1; 0 1 0" -o edges.png', "example_weights"),
    ("npconv filter --list", "example_list"),
)


def add_arguments(parser: Parser, say: Messages) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("image", nargs="?", metavar="IMAGE", help=say("help_image"))
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--kernel", metavar="NAME", help=say("help_kernel", names=", ".join(KERNELS))
    )
    which.add_argument("--weights", type=typed(say, weights), metavar="W", help=say("help_weights"))
    which.add_argument("--list", action="store_true", help=say("help_list"))
    add("-o", "--output", metavar="OUT", help=say("help_output"))
    add("--view", choices=VIEWS, default="auto", help=say("help_view"))


def run(options: Any, terminal: Terminal) -> int:
    """Filter a picture into a new file, or list the kernels."""
    if options.list:
        _list(terminal)
        return 0
    for name, option in (("image", "IMAGE"), ("output", "-o OUT")):
        if getattr(options, name) is None:
            raise UserError("missing_argument", option=option)
    kernel = _chosen(options)
    check_target(options.output)
    picture = read_picture(options.image)
    view = natural_view(kernel) if options.view == "auto" else options.view
    shown = make_visible(respond(picture.pixels, kernel), view, picture.peak)
    write_picture(options.output, replace(picture, pixels=shown.pixels))
    height, width = picture.pixels.shape[:2]
    say = terminal.say
    terminal.line(
        say("filter_done", path=options.output, width=width, height=height, kind=picture.kind)
    )
    terminal.line(say(f"view_{view}", scale=_short(shown.scale), peak=picture.peak))
    terminal.data({
        "command": "filter", "image": options.image, "output": options.output,
        "kernel": options.kernel, "weights": kernel.tolist(), "width": width,
        "height": height, "kind": picture.kind, "view": view, "scale": shown.scale,
    })  # fmt: skip
    return 0


def _chosen(options: Any) -> Array:
    if options.weights is not None:
        chosen: Array = options.weights
        return chosen
    if options.kernel is None:
        raise UserError("missing_argument", option="--kernel NAME")
    if options.kernel not in KERNELS:
        raise UserError("unknown_kernel", name=options.kernel, names=", ".join(KERNELS))
    return KERNELS[options.kernel].weights


def _short(scale: float) -> str:
    return f"{scale:,.0f}" if scale >= 1000 else f"{scale:.4g}"


def _list(terminal: Terminal) -> None:
    for name, kernel in KERNELS.items():
        terminal.line(f"{name}: {kernel.text(terminal.say.language)}")
        over = [f"/ {kernel.divisor}" if kernel.divisor > 1 else ""]
        over += [""] * (len(kernel.rows) - 1)
        rows = [[*map(str, row), end] for row, end in zip(kernel.rows, over, strict=True)]
        terminal.table(rows, right=range(len(kernel.rows[0])))
        if kernel.source:
            terminal.line(f"  {terminal.say('source')}: {kernel.source}")
        terminal.line()
    terminal.data(
        {
            "command": "filter",
            "kernels": {name: kernel.as_dict() for name, kernel in KERNELS.items()},
        }
    )
