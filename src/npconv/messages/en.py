"""English: what the command line says."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    # ---- the program -----------------------------------------------------------------
    "about": "Convolution for NumPy arrays, forward and backward.",
    "commands": "commands",
    "common_options": "common options",
    "examples": "examples:",
    "help_help": "show this help and exit",
    "help_json": "print data (JSON) instead of text",
    "help_lang": "language: English or Korean (by default the locale's)",
    "help_version": "show the version and exit",
    # ---- errors ----------------------------------------------------------------------
    "error": "npconv: {text}",
    "warning": "npconv: warning: {text}",
    "interrupted": "interrupted",
    "no_memory": "there is not enough memory for this",
    "missing_extra": '{package} is needed but not installed; run: pip install "npconv[demo]"',
    "bad_arguments": "{message} (see {program} --help)",
    "unknown_command": "there is no command {name!r}; there are: {commands}",
    "missing_argument": "{option} is missing (see npconv filter --help)",
    "no_file": "there is no file {path}",
    "no_directory": "there is no directory {path}",
    "is_directory": "{path} is a directory, where a file is needed",
    "not_directory": "{path} is a file, where a directory is needed",
    "unreadable": "{path} cannot be read: {reason}",
    "unwritable": "{path} cannot be written: {reason}",
    "bad_shape": "{text!r} is no shape; write sizes as in 1,64,56,56",
    "bad_whole": "{text!r} must be made of whole numbers, such as 2 or 2,1",
    "bad_padding": "{text!r} is no padding; write 1, or 1,2, or 0:1,2:1 (low:high), or same",
    "bad_count": "{text!r} must be a whole number of at least 1",
    "bad_seed": "{text!r} must be a whole number of at least 0",
    "bad_rate": "{text!r} must be a number above 0",
    "bad_bytes": "{text!r} is no number of bytes; write 16MiB, 1.5GB or 4096",
    "bad_weights": ('{text!r} must be rows of equally many numbers, as in "0 1 0; 1 -4 1; 0 1 0"'),
    "bad_number": "{text!r} is no finite number or fraction",
    # ---- check -----------------------------------------------------------------------
    "check_brief": "prove that it computes what it says",
    "check_about": (
        "Compare the two algorithms, check the layer's shapes, and check its gradients\n"
        "against finite differences. Each line shows a figure, what it must be, and whether\n"
        "it is. The exit status is 0 only when everything holds. Needs NumPy alone."
    ),
    "help_check_seed": "seed of the random data (default 0)",
    "example_check": "the proof, line by line",
    "example_json": "the same figures as data",
    "check_layer": "{layer} on an input of shape {shape}, standard normal data, float64",
    "check_agreement": "conv2d_naive against conv2d_im2col: largest difference",
    "check_shapes": "Shapes after forward and backward",
    "check_gradients": (
        "Gradients of sum(y**2), analytic against numeric: max|analytic - numeric| / max|analytic|"
    ),
    "check_ten_lines": (
        "The ten lines of the report against the layer: largest relative difference"
    ),
    "check_variants": "The same with other options",
    "check_holds": "All {count} checks hold ({seconds} s).",
    "check_failed": "{failed} of {count} checks FAILED ({seconds} s).",
    "sums_of": "sums of {count} terms",
    "of_output": "output",
    "of_input": "gradient of input",
    "of_weight": "gradient of weight",
    "of_bias": "gradient of bias",
    "by_input": "by input",
    "by_weight": "by weight",
    "by_bias": "by bias",
    "column_options": "options",
    "column_output": "output",
    "column_agreement": "naive-im2col",
    "holds": "holds",
    "fails": "FAILS",
    # ---- filter ----------------------------------------------------------------------
    "filter_brief": "put a picture of yours through a kernel",
    "filter_about": (
        "Convolve a picture with a named kernel, or with weights of your own, and write the\n"
        "result to a new file. Grey, RGB, palette and 16-bit grey pictures stay what they\n"
        "are; transparency is kept. The result is written whole or not at all."
    ),
    "help_image": "the picture: PNG, JPEG, TIFF, WebP, ...",
    "help_kernel": "one of {names}",
    "help_weights": "a kernel of your own: rows with semicolons between them",
    "help_list": "list the named kernels",
    "help_output": "the file to write; its ending decides the format",
    "help_view": (
        "how responses become a picture: clip cuts what is below black or above white; signed"
        " puts 0 at mid-grey; magnitude shows the size without the sign; auto is signed for"
        " weights that sum to 0, else clip"
    ),
    "example_filter": "sharpen a photograph",
    "example_weights": "a kernel of your own",
    "example_list": "the named kernels with their weights",
    "filter_done": "Written: {path} ({width} x {height}, {kind})",
    "view_clip": "Responses below 0 are black, those above {peak} white.",
    "view_signed": "Mid-grey is a response of 0; black is -{scale}, white {scale}.",
    "view_magnitude": "Black is a response of 0; white is {scale} or more, of either sign.",
    "source": "source",
    "unknown_kernel": "there is no kernel {name!r}; there are: {names}",
    "no_picture": "{path} is no picture that Pillow can read",
    "picture_too_large": "{path} has too many pixels; at most {limit} are read",
    "picture_kind": "{path} is of a kind that is not handled: {kind}",
    "picture_format": "{path}: {suffix!r} is no picture format to write; try .png",
    "picture_loses": "{path}: {format} cannot hold this picture ({kind}); .png can",
    # ---- plan ------------------------------------------------------------------------
    "plan_brief": "show which algorithm would run, and why",
    "plan_about": (
        "Plan a convolution or one of its gradients from shapes alone: every algorithm with\n"
        "its cost, workspace and error growth, or the reason why it cannot serve."
    ),
    "help_plan_input": "shape of the input, such as 1,64,56,56",
    "help_plan_kernel": "shape of the kernel, such as 64,64,3,3",
    "help_stride": "step of the window, one or one per axis (default 1)",
    "help_padding": (
        "2, or one per axis 1,2, or low:high 0:1,2:1, or valid, same, ... (default 0)"
    ),
    "help_dilation": "spacing of the kernel's elements (default 1)",
    "help_input_dilation": "spacing of the input's elements (default 1)",
    "help_groups": "groups of channels (default 1)",
    "help_batch_groups": "groups of the batch (default 1)",
    "help_padding_mode": "zeros, reflect, replicate or circular (default zeros)",
    "help_layout": "order of the input's axes (default NCHW and the like)",
    "help_kernel_layout": "order of the kernel's axes (default OIHW and the like)",
    "help_direction": "forward, input_grad or kernel_grad (default forward)",
    "help_dtype": "float32, float64, ... (default float32)",
    "help_algorithm": "a name, or auto (default)",
    "help_workspace": "limit of the working memory, such as 16MiB (default 64MiB)",
    "help_accuracy": "standard or strict",
    "example_plan": "a layer of a well-known network",
    "example_plan_more": "the gradient of its input, in little memory",
    "example_plan_padding": "a causal convolution of a signal, as data",
    "plan_chosen": "{algorithm} on the {engine} engine, accuracy {accuracy}",
    "plan_tiles": (
        "tiles of up to {images} images, {groups} groups, {K} output and {C} input channels,"
        " {size} positions"
    ),
    "plan_unable": "not able",
    "plan_notes": (
        "workspace: at most {limit} MiB; tiles computed at a time: {tiles}\n"
        "bits: an image's result depends neither on the batch it is in nor on threads{unless}"
    ),
    "plan_not_held": (
        ";\nbut BLAS, which nothing holds to one thread, may add in another order with more\n"
        "of them (pip install threadpoolctl)"
    ),
    "column_algorithm": "algorithm",
    "column_time": "ms/image",
    "column_products": "products",
    "column_workspace": "workspace",
    "column_growth": "growth",
    # ---- compile ---------------------------------------------------------------------
    "compile_brief": "compile the kernels of everyday problems before they are needed",
    "compile_about": (
        "The compiled engine makes machine code when a kind of problem first comes, which takes\n"
        "a second or so for each, once on a machine. This command does it beforehand, in a\n"
        "container's image for example. NPCONV_CACHE names another folder to keep it in. The\n"
        "exit status is 1 when nothing can be kept there."
    ),
    "help_compile_dtypes": "dtypes to compile for (by default all): {names}",
    "example_compile": "everything",
    "example_compile_one": "for one dtype",
    "compile_done": (
        "{compiled} kernels compiled, {found} were there already, in {seconds} s; kept in {folder}"
    ),
    "compile_not_kept": (
        "{compiled} kernels compiled in {seconds} s, but they cannot be kept in {folder}: it must"
        " be a folder that can be written to (NPCONV_CACHE names another)"
    ),
    # ---- train -----------------------------------------------------------------------
    "train_brief": "train a small network on the digits, or on pictures of yours",
    "train_about": (
        "Train a small convolutional network with a fifth of the pictures held out, and tell\n"
        "how many of those it gets right. With --checkpoint the run can be stopped at any\n"
        "moment and goes on with --resume, to the same result."
    ),
    "help_data": (
        "digits (scikit-learn's 1,797), or a .npz file of numpy.savez with x, (N, H, W) or"
        " (N, C, H, W), and integer labels y, (N,)"
    ),
    "help_epochs": "times all pictures are seen (default {n})",
    "help_batch_size": "pictures per step (default {n})",
    "help_lr": "learning rate (default {x})",
    "help_seed": "seed of the split, the weights and the order (default 0)",
    "help_checkpoint": "keep the state of the run in this file",
    "help_resume": "go on from the checkpoint, if it is there",
    "help_train_out": "write the learned weights to this file",
    "example_train": "the 1,797 handwritten digits",
    "example_resume": "a run that can be stopped; the same command goes on",
    "example_data": "pictures of your own; keep the weights",
    "train_begins": (
        "{train} pictures of {shape} to learn from, {test} held out; {classes} classes;\n"
        "values divided by {scale}; {parameters} parameters"
    ),
    "train_done": (
        "Held-out accuracy: {accuracy} % ({right} of {count}) after {epochs} epochs, {seconds} s."
    ),
    "train_saved": "Weights written to {path}",
    "resume_what": "--resume needs --checkpoint FILE.npz to go on from",
    "checkpoint_there": (
        "{path} is there already; --resume goes on from it, or choose another name"
    ),
    "data_missing": "{path} needs an array named {name!r}, but it holds: {found}",
    "data_x": (
        "{path}: x must be real numbers of shape (N, H, W) or (N, C, H, W), H and W at least"
        " {side}, but its shape is {shape}, its dtype {dtype}"
    ),
    "data_y": (
        "{path}: y must be {count} integers, one for each picture, but its shape is {shape},"
        " its dtype {dtype}"
    ),
    "data_finite": "{path}: x holds NaN or infinity",
    "data_classes": "{path}: y must hold at least two different labels",
    "data_few": "{path}: {count} pictures are too few to hold a fifth of them out",
    # ---- demo ------------------------------------------------------------------------
    "demo_brief": "everything at once, on real data, as a report with pictures",
    "demo_about": (
        "Prove the computation, filter a photograph, train a small network on handwritten\n"
        "digits, and put all of it into one page to open in a browser (English and Korean).\n"
        "Works without network; takes about half a minute."
    ),
    "help_demo_out": "directory for the report and its pictures (default npconv-demo)",
    "help_demo_epochs": "epochs of training (default {n})",
    "example_demo": "everything, as a report in npconv-demo/",
    "example_demo_ko": "the same in Korean, elsewhere",
    "demo_step_proof": "[1/4] The proof",
    "demo_step_photo": "[2/4] A photograph through {count} kernels",
    "demo_step_train": ("[3/4] A small network learns {train} handwritten digits, {test} held out"),
    "demo_step_report": "[4/4] The report",
    "demo_proof_done": "      all {count} checks hold ({seconds} s)",
    "demo_photo_done": "      {width} x {height} pixels, {seconds} s",
    "demo_train_done": (
        "      held-out accuracy {accuracy} % ({right} of {count}) after {seconds} s of training"
    ),
    "demo_report_done": "      {count} pictures, {seconds} s in all",
    "demo_open": "Open in a browser: {path}",
}
