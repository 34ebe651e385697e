"""The command line: `npconv demo | check | train | filter | plan | bench`.

`program` holds `main`; each command is a module of its own with `EXAMPLES`,
`add_arguments(parser, say)` and `run(options, terminal)`, which gives the exit status.
"""

from npconv.cli.program import main

__all__ = ["main"]
