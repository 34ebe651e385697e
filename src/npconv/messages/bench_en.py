"""English: what `npconv bench` says."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "bench_brief": "time npconv beside the peers that are installed",
    "bench_about": (
        "Time layers of well-known networks, forward with packed weights and backward, in both\n"
        "engines of npconv and in every peer that is installed: PyTorch, ONNX Runtime, ncnn,\n"
        "OpenVINO, JAX. Each library runs in a process of its own, in turn, in alternating\n"
        "rounds; medians count, and results are compared. The exit status is 1 when results\n"
        "differ or a library fails, not when npconv is slower: that the tables tell."
    ),
    "help_bench_layers": "layers to time (by default all): {names}",
    "help_bench_peers": "peers to time (by default all installed; none after it: none): {names}",
    "help_bench_directions": "{names}; the latter means all three gradients (default both)",
    "help_bench_engines": "engines of npconv: {names} (default both)",
    "help_bench_threads": "numbers of threads (default 1 2)",
    "help_bench_rounds": "alternating rounds (default 7)",
    "help_bench_others": "also other dtypes, groups, ranks and pooling, against PyTorch",
    "help_bench_training": "also whole training steps, against PyTorch",
    "help_bench_examine": (
        "also npconv alone: its choices, errors and memory on every layer, and the machine's rates"
    ),
    "help_bench_all": "all of these",
    "help_bench_quick": "one short round: to see that it works, not what is faster",
    "help_bench_output": "write bench.json, bench.txt and the picture bench.png here",
    "help_bench_show": "measure nothing; show this record (and write it anew with --output)",
    "example_bench": "every layer, in every library there is",
    "example_bench_quick": "a first look at two layers",
    "example_bench_all": "everything, against PyTorch alone, into files",
    "example_bench_show": "what was measured before",
    # ---- what was not done -------------------------------------------------------------
    "bench_nobody": "nothing can be timed: what {names} need is not installed",
    "bench_missing": "{library} is left out, for it is not installed; it needs: {packages}",
    "bench_trouble_refused": "{library} does not do {text}",
    "bench_trouble_failed": "{library} FAILED: {text}",
    "bench_trouble_differs": "{library} gives ANOTHER RESULT: {text}",
    "bench_no_record": "{path} is no record of npconv bench, or of another version's",
    "bench_no_picture": "without {package} there is no picture (pip install 'npconv[bench]')",
    "bench_written": "Written: {path}",
    # ---- tables ------------------------------------------------------------------------
    "bench_title": "npconv bench",
    "bench_machine": "{cpu}, {cores} cores, {system}; Python {python}, NumPy {numpy}; {date}",
    "bench_rounds": "medians of {rounds} alternating rounds, {minutes} minutes in all",
    "bench_busy": "not idle while others were timed (share of a processor): {shares}",
    "bench_others": (
        "NOT IDLE: {busy} processors were busy with something else, which slows two threads most"
    ),
    "bench_figures": "What was to be reached, on {count} of {all} layers",
    "bench_figure": "figure",
    "bench_threads": "threads",
    "bench_reached": "reached",
    "bench_needed": "needed",
    "bench_verdict": "",
    "bench_where": "where",
    "bench_holds": "holds",
    "bench_misses": "MISSED",
    "bench_not_measured": "not measured",
    "bench_layers": "Layers, {direction}, threads: {threads} (milliseconds)",
    "bench_everyday": "Other problems, {direction}, threads: {threads} (milliseconds)",
    "bench_training": "Training, {direction}, threads: {threads} (milliseconds)",
    "bench_forward": "forward",
    "bench_backward": "backward",
    "bench_step": "a whole step",
    "bench_problem": "problem",
    "bench_over_torch": "PyTorch/{engine}",
    "bench_over_best": "best peer/{engine}",
    "bench_mean": "geometric mean",
    "bench_least": "least",
    "bench_engine": "engine",
    "bench_microseconds": "microseconds",
    "bench_held": "demo.8x8 through a held plan whose kernel is not packed",
    "bench_choice": "What auto chose for a packed kernel, {engine} engine, threads: {threads}",
    "bench_call": "What auto chose for calls that pack, {engine} engine, threads: {threads}",
    "bench_choice_columns": (
        "problem|direction|auto|fastest|auto/fastest|largest error|of its bound"
    ),
    "bench_memory": (
        "MiB beyond operands, packed kernel and result, {engine} engine, threads: {threads}"
    ),
    "bench_memory_columns": "problem|direction|algorithm|arrays|stated|resident",
    # ---- figures -----------------------------------------------------------------------
    "bench_figure_numpy_forward": "NumPy engine, forward, PyTorch's time over ours, mean",
    "bench_figure_numpy_backward": "NumPy engine, backward, PyTorch's time over ours, mean",
    "bench_figure_compiled_forward": "compiled, forward, best peer's time over ours, mean",
    "bench_figure_compiled_forward_worst": "compiled, forward, best peer's over ours, worst",
    "bench_figure_compiled_backward": "compiled, backward, PyTorch's time over ours, mean",
    "bench_figure_compiled_backward_worst": "compiled, backward, PyTorch's over ours, worst",
    "bench_figure_direct_share": "compiled, direct: share of the sgemm rate, worst of three",
    "bench_figure_compiled_everyday": "compiled, other problems, PyTorch's over ours, mean",
    "bench_figure_compiled_everyday_worst": "compiled, other problems, worst",
    "bench_figure_numpy_everyday": "NumPy engine, other problems, PyTorch's over ours, mean",
    "bench_figure_numpy_everyday_worst": "NumPy engine, other problems, worst",
    "bench_figure_held": "compiled, small call through a held plan, microseconds",
    "bench_figure_scaling_forward": "compiled, forward, from one thread to more, large layers",
    "bench_figure_scaling_backward": "compiled, backward, from one thread to more, large layers",
    "bench_figure_compiled_memory": "compiled, memory beyond operands and result, MiB",
    "bench_figure_numpy_memory": "NumPy engine, memory beyond operands and result, MiB",
    "bench_figure_compiled_regret": "compiled, auto's time over the fastest's, median",
    "bench_figure_compiled_regret_p95": "compiled, auto's over the fastest's, 95th percentile",
    "bench_figure_numpy_regret": "NumPy engine, auto's time over the fastest's, median",
    "bench_figure_numpy_regret_p95": "NumPy engine, auto's over the fastest's, 95th percentile",
    "bench_figure_training": "compiled, training step, PyTorch's time over ours",
    "bench_figure_compiled_errors": "compiled, largest error over the largest output",
    "bench_figure_compiled_of_bound": "compiled, largest error over its stated bound",
    "bench_figure_numpy_errors": "NumPy engine, largest error over the largest output",
    "bench_figure_numpy_of_bound": "NumPy engine, largest error over its stated bound",
}
