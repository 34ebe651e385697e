"""`npconv plan`: which algorithm would run, and why, from shapes alone."""

from __future__ import annotations

from typing import Any

from npconv.blas import can_hold
from npconv.cli import values
from npconv.cli.parser import Parser, typed
from npconv.cli.terminal import Terminal
from npconv.functional import plan_conv
from npconv.messages import Messages
from npconv.plan import Plan
from npconv.settings import settings

EXAMPLES = (
    ("npconv plan 1,64,56,56 64,64,3,3 --padding 1", "example_plan"),
    (
        "npconv plan 8,64,56,56 64,64,3,3 --stride 2 --direction input_grad --workspace 16MiB",
        "example_plan_more",
    ),
    ("npconv plan 1,3,100 8,3,9 --padding 0:8 --dtype float64 --json", "example_plan_padding"),
)

# Options handed to `plan_conv` as they are.
_GEOMETRY = (
    "stride",
    "padding",
    "dilation",
    "input_dilation",
    "groups",
    "batch_groups",
    "padding_mode",
    "layout",
    "kernel_layout",
)


def add_arguments(parser: Parser, say: Messages) -> None:
    """Add the arguments of this command."""
    shape, per_axis = typed(say, values.shape), typed(say, values.per_axis)
    count = typed(say, values.count)
    parser.add_argument("input_shape", type=shape, metavar="INPUT", help=say("help_plan_input"))
    parser.add_argument("kernel_shape", type=shape, metavar="KERNEL", help=say("help_plan_kernel"))
    add = parser.add_argument
    add("--stride", type=per_axis, default=1, metavar="N", help=say("help_stride"))
    padding = typed(say, values.padding)
    add("--padding", type=padding, default=0, metavar="P", help=say("help_padding"))
    add("--dilation", type=per_axis, default=1, metavar="N", help=say("help_dilation"))
    add("--input-dilation", type=per_axis, default=1, metavar="N", help=say("help_input_dilation"))
    add("--groups", type=count, default=1, metavar="N", help=say("help_groups"))
    add("--batch-groups", type=count, default=1, metavar="N", help=say("help_batch_groups"))
    add("--padding-mode", default="zeros", metavar="NAME", help=say("help_padding_mode"))
    add("--layout", metavar="NCHW", help=say("help_layout"))
    add("--kernel-layout", metavar="OIHW", help=say("help_kernel_layout"))
    add("--direction", default="forward", metavar="NAME", help=say("help_direction"))
    add("--dtype", default="float32", metavar="NAME", help=say("help_dtype"))
    add("--algorithm", default="auto", metavar="NAME", help=say("help_algorithm"))
    workspace = typed(say, values.byte_count)
    add("--workspace", type=workspace, metavar="BYTES", help=say("help_workspace"))
    add("--accuracy", metavar="NAME", help=say("help_accuracy"))


def run(options: Any, terminal: Terminal) -> int:
    """Plan and print it."""
    with settings(workspace_limit=options.workspace, accuracy=options.accuracy):
        plan = plan_conv(
            options.input_shape,
            options.kernel_shape,
            dtype=options.dtype,
            direction=options.direction,
            algorithm=options.algorithm,
            **{name: getattr(options, name) for name in _GEOMETRY},
        )
    _print_plan(plan, terminal)
    terminal.data(_as_dict(plan))
    return 0


def _print_plan(plan: Plan, terminal: Terminal) -> None:
    """Print what ``str(plan)`` tells, in the reader's language."""
    say, choice = terminal.say, plan.choice
    problem, cut = choice.problem, choice.cut
    terminal.line(
        f"{choice.direction.value}: {problem.input_shape} * {problem.kernel_shape} -> "
        f"{problem.output_shape}, {choice.numbers.result}"
    )
    terminal.line(
        say(
            "plan_chosen",
            algorithm=plan.algorithm,
            engine=plan.engine,
            accuracy=choice.settings.accuracy,
        )
    )
    positions = " x ".join(map(str, cut.positions))
    terminal.line(
        say("plan_tiles", images=cut.images, groups=cut.groups, K=cut.K, C=cut.C, size=positions)
    )
    terminal.line()
    rows = [["", *(say(f"column_{n}") for n in ("algorithm", "time", "products")),
             say("column_workspace"), say("column_growth")]]  # fmt: skip
    reasons = []
    for candidate in choice.candidates:
        mark = "->" if candidate is choice.best else ""
        cost = candidate.cost
        if candidate.refusal:
            rows.append([mark, candidate.name, say("plan_unable"), "", "", ""])
            reasons.append(f"  {candidate.name}: {candidate.refusal}")
        else:
            rows.append([
                mark, candidate.name, f"{1e3 * candidate.time:.3g}", f"{cost.multiplications:,}",
                f"{candidate.workspace / 2**20:.2f} MiB", f"{choice.growth_of(candidate):.4g}",
            ])  # fmt: skip
    terminal.table(rows, right=(2, 3, 4, 5))
    for line in reasons:
        terminal.line(line)
    terminal.line()
    limit = f"{choice.settings.workspace_limit / 2**20:g}"
    unless = "" if can_hold() else say("plan_not_held")
    terminal.line(say("plan_notes", unless=unless, limit=limit, tiles=choice.threads))


def _as_dict(plan: Plan) -> dict[str, Any]:
    choice = plan.choice
    problem = choice.problem
    return {
        "command": "plan",
        "direction": choice.direction.value,
        "input_shape": problem.input_shape,
        "kernel_shape": problem.kernel_shape,
        "output_shape": problem.output_shape,
        "dtype": str(choice.numbers.result),
        "algorithm": plan.algorithm,
        "engine": plan.engine,
        "accuracy": choice.settings.accuracy,
        "workspace_limit": choice.settings.workspace_limit,
        "workspace_bytes": plan.workspace_bytes,
        "error_growth": plan.error_growth,
        "candidates": [
            {
                "algorithm": candidate.name,
                "able": not candidate.refusal,
                "refusal": candidate.refusal,
                "milliseconds_per_image": 1e3 * candidate.time,
                "multiplications": candidate.cost.multiplications,
                "workspace_bytes": candidate.workspace,
                "error_growth": choice.growth_of(candidate),
            }
            for candidate in choice.candidates
        ],
    }
