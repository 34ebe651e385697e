"""The pages run, quote what stands in the sources, link to what exists, and come in pairs."""

from __future__ import annotations

import difflib
import doctest
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import npconv
import requote
from npconv import problem
from requote import ROOT, Block, QuoteError, blocks, counterpart, pages, prose, read

LANGUAGES = ("en", "ko")
WORKED = ("naive.md", "im2col.md", "gradients.md", "winograd.md", "fft.md", "direct.md")

ENGLISH = [page for page in pages() if page.parent.name == "en" or page.name == "README.md"]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


each_page = pytest.mark.parametrize("page", pages(), ids=name_of)
each_pair = pytest.mark.parametrize("page", ENGLISH, ids=name_of)


# ---- what the pages say, runs ----------------------------------------------------------


@each_page
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where an example may write a file
    failures = run(name_of(page), blocks(page))
    assert not failures, failures


def run(name: str, code: list[Block]) -> str:
    """Run Python blocks in one namespace; give doctest's account of what differs."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    account: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.REPORT_NDIFF)
    for block in code:
        if block.language != "python" or block.marker:
            continue
        if ">>> " not in block.text:
            # Blank lines in front, so that a traceback shows the line of the page.
            text = "\n" * (block.line - 1) + block.text
            exec(compile(text, name, "exec"), namespace)
            continue
        examples = doctest.DocTestParser().get_examples(block.text + "\n", name)
        test = doctest.DocTest(examples, namespace, name, name, block.line - 1, block.text)
        runner.run(test, out=account.append, clear_globs=False)
        namespace = test.globs
    return "".join(account)


def test_a_wrong_output_is_found() -> None:
    assert run("page", [Block("python", "x = 2", 1), Block("python", ">>> x\n2", 2)]) == ""
    assert "Failed example" in run("page", [Block("python", ">>> 1 + 1\n3", 1)])


@each_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", read(ROOT / "Makefile"), flags=re.MULTILINE))
    commands = [block.text for block in blocks(page) if block.language == "bash"]
    commands += re.findall(r"`(make [^`]*)`", prose(page))
    named = re.findall(r"^make ([\w-]+)", "\n".join(commands), flags=re.MULTILINE)
    assert set(named) <= targets


# ---- what the pages quote, stands in the sources -----------------------------------------


@each_page
def test_quoted_blocks_equal_their_sources(page: Path) -> None:
    text = read(page)
    difference = "\n".join(
        difflib.unified_diff(
            text.splitlines(),
            requote.requoted(text).splitlines(),
            f"{name_of(page)}: the page",
            f"{name_of(page)}: the sources it quotes",
            lineterm="",
        )
    )
    assert not difference, f"run `python tests/requote.py` and read the page again\n{difference}"


def test_a_quote_is_found_by_name_and_by_lines() -> None:
    whole = requote.source_of("<!-- source: src/npconv/problem.py::Direction -->")
    assert whole.startswith("class Direction(Enum):\n")
    assert whole.endswith('KERNEL_GRAD = "kernel_grad"')
    part = 'src/npconv/problem.py::Direction from "FORWARD" to "INPUT_GRAD"'
    assert requote.source_of(f"<!-- source: {part} -->").splitlines() == [
        'FORWARD = "forward"',
        'INPUT_GRAD = "input_grad"',
    ]
    decorated = requote.source_of("<!-- source: src/npconv/axis.py::Axis.out -->")
    assert decorated.startswith("@property\ndef out(self)")


@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        ("<!-- source: src/npconv/nothing.py::f -->", "no such file"),
        ("<!-- source: src/npconv/axis.py::Axis.nothing -->", "no Axis.nothing there"),
        ('<!-- source: src/npconv/axis.py::Axis from "x" to "nowhere" -->', "no line with"),
        ("<!-- source: src/npconv/axis.py, all of it -->", "another form"),
    ],
)
def test_a_quote_of_nothing_is_refused(marker: str, reason: str) -> None:
    with pytest.raises(QuoteError, match=reason):
        requote.source_of(marker)


def test_a_changed_source_is_brought_into_both_pages() -> None:
    marker = "<!-- source: src/npconv/problem.py::Array -->"
    old = f"# Title\n{marker}\n```python\nold\n```\nEnd.\n"
    new = requote.requoted(old)
    assert new == f"# Title\n{marker}\n```python\nArray: TypeAlias = NDArray[Any]\n```\nEnd.\n"
    assert requote.with_blocks_of("제목\n```\n```\n끝\n", new) == (
        f"제목\n{marker}\n```python\nArray: TypeAlias = NDArray[Any]\n```\n끝\n"
    )
    with pytest.raises(QuoteError, match="2 code blocks here, but 1"):
        requote.with_blocks_of("```\n```\n```\n```\n", new)


# ---- both languages say the same ---------------------------------------------------------


def test_both_languages_have_the_same_pages() -> None:
    english, korean = ({page.name for page in (ROOT / "docs" / x).glob("*")} for x in LANGUAGES)
    assert english == korean


@each_pair
def test_both_languages_have_the_same_code_blocks(page: Path) -> None:
    english, korean = (
        [(block.language, block.text, block.marker) for block in blocks(each)]
        for each in (page, counterpart(page))
    )
    assert english == korean


@each_pair
def test_both_languages_have_the_same_structure(page: Path) -> None:
    english, korean = (
        re.findall(r"^(#+ |<details>|</details>|!\[|\|[-|: ]+\|$)", prose(each), re.MULTILINE)
        for each in (page, counterpart(page))
    )
    assert english == korean


@each_page
def test_a_page_links_to_itself_in_the_other_language(page: Path) -> None:
    assert counterpart(page) in {target for target, _ in links(page)}


# ---- links ---------------------------------------------------------------------------------


def links(page: Path) -> list[tuple[Path, str]]:
    """List relative links, pictures included, as (file, anchor)."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = unquote(link).partition("#")
            found.append(((page.parent / path).resolve() if path else page, anchor))
    return found


def anchors(page: Path) -> set[str]:
    """Give the anchors that Markdown viewers make of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading).lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@each_page
def test_relative_links_resolve(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"no file for the link to {target.relative_to(ROOT)}"
        assert target.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(target), f"no heading for #{anchor}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_reachable_from_the_index(language: str) -> None:
    folder = ROOT / "docs" / language
    seen, new = set[Path](), {folder / "index.md"}
    while new:
        seen |= new
        linked = {target for page in new for target, _ in links(page)}
        new = {target for target in linked if target.parent == folder} - seen
    assert seen == set(folder.glob("*.md"))


@pytest.mark.parametrize("readme", requote.readmes(), ids=name_of)
def test_a_readme_links_to_the_index_of_its_language(readme: Path) -> None:
    language = "ko" if readme.name == "README.ko.md" else "en"
    assert ROOT / "docs" / language / "index.md" in {target for target, _ in links(readme)}


def test_pictures_are_small_and_used() -> None:
    pictures = set((ROOT / "docs" / "pictures").glob("*"))
    assert pictures <= {target for page in pages() for target, _ in links(page)}
    for picture in pictures:
        assert picture.stat().st_size < 300_000, picture.name


# ---- what must be there, and what must not -------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", npconv.algorithms())
def test_every_algorithm_has_a_page(name: str, language: str) -> None:
    assert (ROOT / "docs" / language / f"{name}.md").exists()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", WORKED)
def test_a_worked_page_has_five_exercises_with_answers(name: str, language: str) -> None:
    text = prose(ROOT / "docs" / language / name)
    assert text.count("<details>") == text.count("</details>") == 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_glossary_has_the_letters_of_problem_py(language: str) -> None:
    letters = re.findall(r"^``([A-Z ]+)``", problem.__doc__ or "", flags=re.MULTILINE)
    rows = re.findall(
        r"^\| `([A-Z ]+)` \|", prose(ROOT / "docs" / language / "glossary.md"), flags=re.MULTILINE
    )
    assert letters
    assert rows == letters


@pytest.mark.parametrize("readme", requote.readmes(), ids=name_of)
def test_a_readme_names_every_public_name(readme: Path) -> None:
    named = set(re.findall(r"`(\w+)", prose(readme)))
    assert set(npconv.__all__) - {"__version__"} <= named


@each_page
def test_no_page_names_a_machine(page: Path) -> None:
    text = read(page)
    assert not re.search(r"(?<![\w.])/(home|tmp|root|usr|opt|mnt|work|Users|var|etc)\b", text)
    assert not re.search(r"\b[A-Z]:\\", text)
    assert not re.search("localhost", text, re.IGNORECASE)


@each_page
def test_nothing_is_left_to_be_recorded(page: Path) -> None:
    assert "TO BE RECORDED" not in read(page)
