"""Pieces of HTML: tables, figures, code. Whatever is not HTML already is escaped here."""

from __future__ import annotations

import base64
import html
import io
import keyword
import tokenize
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from npconv.demo.proof import Check
from npconv.messages import Messages

JPEG_START = b"\xff\xd8"


def picture(image: bytes, alt: str, caption: str, kind: str = "") -> str:
    """Make a figure of a PNG or JPEG, which the page then contains."""
    mime = "jpeg" if image.startswith(JPEG_START) else "png"
    data = base64.b64encode(image).decode("ascii")
    return (
        f'<figure class="{kind or "wide"}"><div class="picture {kind}">'
        f'<img src="data:image/{mime};base64,{data}" alt="{html.escape(alt)}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def section(number: int, title: str, *parts: str) -> str:
    """Make a numbered section of the page."""
    heading = f'<h2><span class="number">{number}</span>{title}</h2>'
    return "\n".join(["<section>", heading, *parts, "</section>"])


def paragraph(text: str) -> str:
    """Make a paragraph of a text that is HTML."""
    return f"<p>{text}</p>"


def proof_table(groups: Iterable[tuple[str, Sequence[tuple[str, Check]]]], say: Messages) -> str:
    """Make a table of checks: figure, what is needed, and a tick."""
    heads = (say("r_column_check"), say("r_column_figure"), say("r_column_needed"), "")
    body = []
    for title, checks in groups:
        body.append(f'<tr><th scope="rowgroup" colspan="4">{title}</th></tr>')
        for name, check in checks:
            if isinstance(check.needed, tuple):
                figures = (str(check.value), str(check.needed))
            else:
                figures = (scientific(check.number), f"≤ {scientific(check.needed, 0)}")
            cells = "".join(f'<td class="figure">{text}</td>' for text in figures)
            body.append(f'<tr><th scope="row">{name}</th>{cells}{verdict(check.holds, say)}</tr>')
    return _table(heads, body)


def rows_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table of rows whose cells are HTML; a cell may be a whole ``<td>`` itself."""
    body = []
    for first, *others in rows:
        cells = (text if text.startswith("<td") else f"<td>{text}</td>" for text in others)
        body.append(f'<tr><th scope="row">{first}</th>{"".join(cells)}</tr>')
    return _table(heads, body)


def _table(heads: Sequence[str], body: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{chr(10).join(body)}</tbody></table></div>"
    )


def verdict(holds: bool, say: Messages) -> str:
    """Make a cell with a tick or a cross, and the word for it."""
    sign, word, kind = ("✓", "r_yes", "yes") if holds else ("✗", "r_no", "no")
    return f'<td class="{kind}">{sign} {say(word)}</td>'


def scientific(value: float, digits: int = 1) -> str:
    """Write a small number as people write it: 2.4 × 10⁻¹⁰.

    Examples
    --------
    >>> from npconv.demo.markup import scientific
    >>> scientific(2.4e-10), scientific(1e-6, 0), scientific(0.0)
    ('2.4 × 10<sup>−10</sup>', '10<sup>−6</sup>', '0')
    """
    if value == 0 or value != value:
        return f"{value:g}"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    power = f"10<sup>{int(exponent)}</sup>".replace("-", "−")
    return power if mantissa == "1" else f"{mantissa} × {power}"


def equation(*parts: str) -> str:
    """Put matrices and the signs between them on one line."""
    signs = (f'<span class="sign">{part}</span>' if len(part) == 1 else part for part in parts)
    return f'<div class="equation">{"".join(signs)}</div>'


def grid(values: Any, label: str, marked: Collection[tuple[int, int]] = (), kind: str = "") -> str:
    """Make a small matrix with a label and some of its cells marked."""
    rows = []
    for i, row in enumerate(values):
        cells = (
            f"<td{' class=m' if (i, j) in marked else ''}>{value:g}</td>".replace("-", "−")
            for j, value in enumerate(row)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div>{label}<table class="grid {kind}"><tbody>{"".join(rows)}</tbody></table></div>'


def code(source: str) -> str:
    """Show Python with its keywords and comments told apart."""
    out, at = [], (1, 0)
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER, tokenize.INDENT):
            continue
        out.append(html.escape(_between(lines, at, token.start), quote=False))
        kind = "c" if token.type == tokenize.COMMENT else ""
        kind = "k" if keyword.iskeyword(token.string) else kind
        text = html.escape(token.string, quote=False)
        out.append(f'<span class="{kind}">{text}</span>' if kind else text)
        at = token.end
    return f"<pre><code>{''.join(out).strip()}</code></pre>"


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Give the white space between two places of a text."""
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]] if start[0] <= len(lines) else ""
    middle = "".join(lines[start[0] : end[0] - 1])
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return lines[start[0] - 1][start[1] :] + middle + last
