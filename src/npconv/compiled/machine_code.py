"""Kernels as machine code: compiled once per machine, kept on disk, called without Numba.

A kernel is a Python function of 64-bit integers, among them addresses, made by a module of
`npconv.compiled.kernels`. Numba turns it into LLVM's intermediate representation, LLVM into
an object file for this processor; the file is kept in a folder named after all that it
depends on, and loaded from there by later processes, which so need not even import Numba.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from typing import Any

from npconv._version import __version__
from npconv.compiled.blocks import data_offset, items_offset

MAGIC = b"npconv machine code 3\n"

_lock = RLock()
_loaded: dict[tuple[str, ...], int] = {}
_engines: list[Any] = []  # what they hold is executed: they live as long as the process
_compiled: list[tuple[str, ...]] = []  # in this process


def _start_anew() -> None:
    """In a forked process nobody is left who holds the lock."""
    global _lock  # noqa: PLW0603 - one lock for each process
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def address_of(module: str, *variant: str) -> int:
    """Give the address of a kernel's machine code, compiled if it is not there yet.

    It is a C function ``void(int64 ...)``.
    """
    key = (module, *variant)
    found = _loaded.get(key)
    if found is None:
        with _lock:
            found = _loaded.get(key)
            if found is None:
                found = _loaded[key] = _load(key)
    return found


def function(address: int, *arguments: type[Any]) -> Callable[..., None]:
    """Make a Python function of such arguments; it lets go of the interpreter while it runs."""
    return ctypes.CFUNCTYPE(None, *arguments)(address)


def report() -> dict[str, Any]:
    """Say what this process compiled, what it found, in which folder, and whether it is kept."""
    folder = cache_folder()
    kept = all((folder / _name_of(key)).exists() for key in _loaded)
    found = len(_loaded) - len(_compiled)
    return {"folder": str(folder), "compiled": len(_compiled), "found": found, "kept": kept}


def _name_of(key: tuple[str, ...]) -> str:
    return f"{'-'.join(key)}.o"


def symbol_of(key: tuple[str, ...]) -> str:
    """Name a kernel's function in its object file."""
    return "_".join(("npconv", *key))


def cache_folder() -> Path:
    """Say where machine code is kept: below ``NPCONV_CACHE``, or the user's cache folder."""
    return _cache_root() / f"{__version__}-{_fingerprint()}"


def _cache_root() -> Path:
    given = os.environ.get("NPCONV_CACHE")
    if given:
        return Path(given)
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "npconv"


@cache
def _fingerprint() -> str:
    """Hash all that machine code depends on: sources, compilers, interpreter, processor."""
    from llvmlite import binding

    digest = hashlib.sha256()
    folder = Path(__file__).parent
    matrices = folder.parent / "algorithms" / "winograd_matrices.py"  # kernels hold their numbers
    for path in sorted((*folder.rglob("*.py"), matrices)):
        digest.update(f"{path.relative_to(folder.parent).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    processor = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    told = version("numba"), version("llvmlite"), data_offset(), items_offset()
    for text in (*told, *processor):
        digest.update(f"\n{text}".encode())
    return digest.hexdigest()[:20]


def _load(key: tuple[str, ...]) -> int:
    from llvmlite import binding

    try:
        path = cache_folder() / _name_of(key)
    except (OSError, RuntimeError):  # no home, sources that cannot be read
        path = None
    code = _read(path) if path else None
    if code is None:
        code = compiled(key)
        _compiled.append(key)
        if path:
            _write(path, code)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    address: int = engine.get_function_address(symbol_of(key))
    if not address:
        raise AssertionError(f"{symbol_of(key)} is not in its object file")
    return address


def _read(path: Path) -> bytes | None:
    """Read an object file; None where there is none, or not a whole one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = len(MAGIC) + 32
    if (
        not content.startswith(MAGIC)
        or hashlib.sha256(content[head:]).digest() != content[len(MAGIC) : head]
    ):
        return None
    return content[head:]


def _write(path: Path, code: bytes) -> None:
    """Keep an object file, whole or not at all. Where nothing can be kept, nothing is."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(MAGIC + hashlib.sha256(code).digest() + code)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError:
        pass  # read-only, or full: the next process compiles again


def compiled(key: tuple[str, ...]) -> bytes:
    """Compile a kernel into an object file."""
    from llvmlite import binding

    from npconv.compiled.front_end import lowered

    module, *variant = key
    kernel = import_module(f"npconv.compiled.kernels.{module}").make(*variant)
    code = lowered(kernel, symbol_of(key))
    machine: Any = _target_machine()
    tuning = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(code, passes)  # what is not called goes
    emitted: bytes = machine.emit_object(code)
    return emitted


def _target_machine() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )
