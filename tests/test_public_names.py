"""Every public name is documented, with an example that the doctests run."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import npconv
from npconv import nn

PUBLIC = [
    (module, name) for module in (npconv, nn) for name in module.__all__ if name != "__version__"
]


@pytest.mark.parametrize(
    ("module", "name"), PUBLIC, ids=lambda value: getattr(value, "__name__", value)
)
def test_has_a_docstring_with_an_example(module: ModuleType, name: str) -> None:
    thing = getattr(module, name)
    doc = inspect.getdoc(thing)
    assert doc, name
    assert ">>>" in doc, name
    if inspect.isfunction(thing):
        sections = [line.strip() for line in doc.splitlines()]
        takes = [p for p in inspect.signature(thing).parameters if p != "self"]
        assert not takes or "Parameters" in sections, name
        assert "Returns" in sections, name


@pytest.mark.parametrize("name", sorted(npconv.__all__))
def test_names_that_load_later_are_there(name: str) -> None:
    assert hasattr(npconv, name)
    assert name in dir(npconv)
