"""Optional libraries, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from npconv.errors import MissingExtraError

# module: the name it is installed by
PACKAGES = {
    "PIL": "Pillow",
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
    "tqdm": "tqdm",
}


def need(module: str) -> Any:
    """Import a library of the extra `npconv[demo]`.

    Raises
    ------
    MissingExtraError
        It is not installed; ``name`` tells which.

    Examples
    --------
    >>> from npconv.demo.extras import need
    >>> need("math.sqrt")
    Traceback (most recent call last):
    ...
    npconv.errors.MissingExtraError: this needs math: pip install 'npconv[demo]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        package = PACKAGES.get(top, top)
        raise MissingExtraError(
            f"this needs {package}: pip install 'npconv[demo]'", name=package
        ) from error
