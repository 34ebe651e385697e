"""The report: one page per language with everything in it, and the pictures beside it."""

from __future__ import annotations

import ast
import datetime
import inspect
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from npconv import core
from npconv._version import __version__
from npconv.demo import essence, markup
from npconv.demo.canvas import as_jpeg
from npconv.demo.extras import need
from npconv.demo.kernels import KERNELS
from npconv.demo.learning import Result, parameter_count
from npconv.demo.pictures import clear_example
from npconv.demo.proof import Proof
from npconv.messages import LANGUAGES, Messages, UserError
from npconv.nn.conv import Conv2d
from npconv.nn.files import whole_file
from npconv.nn.linear import Linear
from npconv.nn.pool import MaxPool2d

NAMES = {"en": "English", "ko": "한국어"}


@dataclass(frozen=True)
class Findings:
    """All that a report tells. ``pictures`` are PNGs by name."""

    proof: Proof
    result: Result
    pictures: Mapping[str, bytes]


def write_report(directory: str | Path, findings: Findings) -> dict[str, Path]:
    """Write the pictures and a page per language into a directory.

    Parameters
    ----------
    directory : path
        Made if it is not there.
    findings : Findings

    Returns
    -------
    dict of str to Path
        The page of each language.

    Raises
    ------
    UserError
        The directory or a file cannot be written.
    """
    folder = make_folder(directory)
    pages = {language: folder / page_name(language) for language in LANGUAGES}
    files = {folder / f"{name}.png": png for name, png in findings.pictures.items()}
    for language, path in pages.items():
        files[path] = page(findings, Messages(language)).encode()
    for path, contents in files.items():
        try:
            with whole_file(path) as file:
                file.write(contents)
        except OSError as error:
            raise UserError("unwritable", path=path, reason=error.strerror or error) from error
    return pages


def make_folder(directory: str | Path) -> Path:
    """Make a directory unless it is there."""
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        raise UserError("not_directory", path=folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("unwritable", path=folder, reason=error.strerror or error) from error
    return folder


def page_name(language: str) -> str:
    """Name the file of a language's page."""
    return f"report.{language}.html"


def page(findings: Findings, say: Messages) -> str:
    """Put the whole page together."""
    here = resources.files("npconv.demo")
    sections = (_idea, _proof, _photograph, _network, _again)
    return Template((here / "report.html").read_text("utf-8")).substitute(
        language=say.language,
        title=say("r_title"),
        style=(here / "report.css").read_text("utf-8"),
        skip=say("r_skip"),
        language_label=say("r_language"),
        languages=_languages(say.language),
        lead=say("r_lead"),
        facts=_facts(findings, say),
        sections="\n".join(make(number, findings, say) for number, make in enumerate(sections, 1)),
        made=_made(say),
        data=say("r_data"),
    )


def _languages(current: str) -> str:
    links = []
    for language, name in NAMES.items():
        if language == current:
            links.append(f'<span aria-current="page">{name}</span>')
        else:
            where = page_name(language)
            links.append(f'<a href="{where}" hreflang="{language}" lang="{language}">{name}</a>')
    return "".join(links)


def _facts(findings: Findings, say: Messages) -> str:
    checks, result = findings.proof.checks, findings.result
    good = sum(check.holds for check in checks)
    facts = {
        "r_fact_checks": say("r_count", n=good if good == len(checks) else f"{good}/{len(checks)}"),
        "r_fact_accuracy": f"{percent(result)} %",
        "r_fact_seconds": say("r_seconds", seconds=f"{result.seconds:.1f}"),
        "r_fact_parameters": f"{parameter_count(result.model):,}",
    }
    return "".join(
        f"<li><b>{figure}</b><span>{say(key)}</span></li>" for key, figure in facts.items()
    )


def percent(result: Result) -> str:
    """Write the accuracy on the held-out digits."""
    return f"{100 * result.accuracy:.1f}"


# ---- the sections --------------------------------------------------------------------------


def _idea(number: int, _findings: Findings, say: Messages) -> str:
    x, w = np.arange(1.0, 17.0).reshape(1, 1, 4, 4), np.array([[[[1.0, 2.0], [0.0, -1.0]]]])
    col, y = core.im2col(x, 2)[0], core.conv2d_im2col(x, w)[0, 0]
    # The window at the middle of the top: column 1 of the nine.
    window = [(0, 1), (0, 2), (1, 1), (1, 2)]
    sliding = markup.equation(
        markup.grid(x[0, 0], say("r_input"), window),
        "∗",
        markup.grid(w[0, 0], say("r_kernel"), kind="kernel"),
        "=",
        markup.grid(y, say("r_output"), [(0, 1)]),
    )
    product = markup.equation(
        markup.grid(w.reshape(1, 4), say("r_kernel_row"), kind="kernel"),
        "@",
        markup.grid(col, say("r_columns"), [(i, 1) for i in range(4)]),
        "=",
        markup.grid(y.reshape(1, 9), say("r_product"), [(0, 1)]),
    )
    return markup.section(
        number,
        say("r_idea"),
        markup.paragraph(say("r_idea_text")),
        f"<figure>{sliding}{product}<figcaption>{say('r_worked_caption')}</figcaption></figure>",
        f"<h3>{say('r_ten')}</h3>",
        markup.paragraph(say("r_ten_text")),
        markup.code(ten_lines()),
    )


def ten_lines() -> str:
    """Give the functions of `npconv.demo.essence` without annotations and docstrings."""
    functions = []
    for function in (essence.forward, essence.backward):
        lines = inspect.getsource(function).splitlines()
        tree = ast.parse("\n".join(lines)).body[0]
        if not isinstance(tree, ast.FunctionDef):
            raise AssertionError("essence holds functions")
        arguments = ", ".join(each.arg for each in tree.args.args)
        after_docstring = tree.body[0].end_lineno or 0
        functions.append("\n".join([f"def {tree.name}({arguments}):", *lines[after_docstring:]]))
    return "\n\n".join(functions) + "\n"


def _proof(number: int, findings: Findings, say: Messages) -> str:
    proof = findings.proof
    main = proof.main
    table = markup.proof_table(
        (
            (
                say("r_group_agreement"),
                [
                    (say("sums_of", count="27"), main.agreement),
                    (say("sums_of", count="1,000"), proof.long_sums),
                ],
            ),
            (say("r_group_shapes"), [(say(f"of_{c.name}"), c) for c in main.shapes]),
            (say("r_group_gradients"), [(say(f"by_{c.name}"), c) for c in main.gradients]),
            (say("r_group_essence"), [(say(f"of_{c.name}"), c) for c in proof.essence]),
        ),
        say,
    )
    heads = [say("column_options"), say("column_output"), say("column_agreement")]
    variants = markup.rows_table(
        [*heads, "dX", "dW", "db", ""],
        (
            [
                " ".join(f"<code>{option}</code>" for option in variant.case.listed),
                f'<td class="figure">{variant.shapes[0].value}</td>',
                *(
                    f'<td class="figure">{markup.scientific(check.number)}</td>'
                    for check in (variant.agreement, *variant.gradients)
                ),
                markup.verdict(variant.holds, say),
            ]
            for variant in proof.variants
        ),
    )
    caption = say("r_proof_caption", layer=main.case.call, shape=main.case.input_shape)
    return markup.section(
        number,
        say("r_proof"),
        markup.paragraph(say("r_proof_text")),
        f"<figure>{table}<figcaption>{caption}</figcaption></figure>",
        f"<figure>{variants}<figcaption>{say('r_variants_caption')}</figcaption></figure>",
    )


def _photograph(number: int, findings: Findings, say: Messages) -> str:
    rows = ([f"<code>{name}</code>", kernel.text(say.language)] for name, kernel in KERNELS.items())
    return markup.section(
        number,
        say("r_photo"),
        markup.paragraph(say("r_photo_text")),
        markup.picture(
            as_jpeg(findings.pictures["photograph"]),
            say("r_photo_alt"),
            say("r_photo_caption"),
            "photo",
        ),
        markup.rows_table([say("r_column_kernel"), say("r_column_does")], rows),
        f"<p></p>{markup.paragraph(say('r_photo_yours'))}",
        "<pre><code>npconv filter photo.jpg --kernel sobel-x -o edges.png\n"
        'npconv filter photo.jpg --weights "0 1 0; 1 -4 1; 0 1 0" -o mine.png</code></pre>',
    )


def _network(number: int, findings: Findings, say: Messages) -> str:
    result, count = findings.result, len(findings.result.labels)
    wrong = count - result.right
    example = clear_example(result)
    maps = sum(len(each) for each in result.feature_maps(example))
    values = {
        "train": f"{len(result.data.train[0]):,}",
        "test": f"{count:,}",
        **_layer_counts(result),
        "epochs": len(result.history),
        "seconds": f"{result.seconds:.1f}",
        "accuracy": percent(result),
        "right": result.right,
        "wrong": wrong,
    }
    counts = {"maps": maps, "kernels": len(result.kernels)}
    parts = [markup.paragraph(say("r_network_text", **values))]
    for name in ("curve", "kernels", "maps", "confusion", "hardest"):
        filled = {**values, "count": counts.get(name, count), "label": result.labels[example]}
        caption = (
            "r_hardest_caption_none" if name == "hardest" and not wrong else f"r_{name}_caption"
        )
        parts += [
            f"<h3>{say(f'r_{name}')}</h3>",
            markup.picture(
                findings.pictures[name],
                say(f"r_{name}_alt", **filled),
                say(caption, **filled),
                "narrow" if name == "confusion" else "",
            ),
        ]
    return markup.section(number, say("r_network"), *parts)


def _layer_counts(result: Result) -> dict[str, int]:
    kinds = {"convolutions": Conv2d, "poolings": MaxPool2d, "linear": Linear}
    return {
        name: sum(isinstance(layer, kind) for layer in result.model) for name, kind in kinds.items()
    }


def _again(number: int, _findings: Findings, say: Messages) -> str:
    commands = (
        ("npconv demo", "example_demo"),
        ("npconv check", "example_check"),
        ("npconv train --epochs 60", "example_train"),
        ("npconv plan 1,64,56,56 64,64,3,3 --padding 1", "example_plan"),
    )
    shown = [f'<span class="c"># {say(key)}</span>\n{line}' for line, key in commands]
    return markup.section(
        number,
        say("r_again"),
        f"<pre><code>{chr(10).join(shown)}</code></pre>",
        markup.paragraph(say("r_again_text")),
    )


def _made(say: Messages) -> str:
    return say(
        "r_made",
        npconv=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        sklearn=need("sklearn").__version__,
        system=f"{platform.system()} {platform.machine()}",
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    )


__all__ = ["Findings", "make_folder", "page", "percent", "ten_lines", "write_report"]
