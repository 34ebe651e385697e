"""Arrays by name in files: written whole or not at all, and read without trusting them.

The format is NumPy's own .npz without compression: a zip of .npy files, which
``numpy.load(path)`` opens too. Nothing in it is ever a pickle.
"""

from __future__ import annotations

import ast
import math
import os
import re
import secrets
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from npconv.errors import DTypeError, FileFormatError
from npconv.problem import Array

# A zip notes times; one fixed time makes equal contents equal bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)

# The last record of a zip: signature, disks, counts, size, offset, length of a comment.
_END = struct.Struct("<4s4H2IH")

# What NumPy writes before the numbers, and nothing else: parsed by pattern, because an
# evaluator of Python literals is more than a foreign file should reach.
_HEADER = re.compile(
    rb"\{'descr': '([<>|][biufc]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': (\((?:\d{1,19}, ?)*(?:\d{1,19},?)?\)), \} *\n"
)


# ---- writing --------------------------------------------------------------------------------


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when, and only when, all is written.

    What is written goes to a temporary file in the same directory, is brought to the
    disk, and then renamed; so whatever happens, even SIGKILL or a power cut, `path` holds
    all of the old contents or all of the new. On an exception the temporary is removed.
    """
    # A symbolic link keeps pointing: what it points to is replaced.
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def remove_leftovers(path: str | Path) -> None:
    """Remove temporaries that killed processes left beside `path`."""
    path = Path(os.path.realpath(path))
    ours = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{12}\.tmp")
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        if ours.fullmatch(other.name):
            with suppress(OSError):
                other.unlink()


def _sync_directory(directory: Path) -> None:
    """Bring the renaming itself to the disk, where the platform can (Windows cannot)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems refuse; the rename is atomic all the same.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_arrays(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays to an uncompressed .npz file, whole or not at all.

    Raises
    ------
    DTypeError
        An array of objects or of another dtype that this format does not hold.
    OSError
        The file cannot be written; one that was there is unharmed.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":
            raise DTypeError(
                f"a file holds bools, integers, floats and complex numbers, "
                f"but the dtype of {name!r} is {array.dtype}"
            )
    with whole_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", _NO_TIME)
            big = array.nbytes > 2**31 - 2**20
            with archive.open(info, "w", force_zip64=big) as member:
                np.lib.format.write_array(member, array, (1, 0), allow_pickle=False)


# ---- reading --------------------------------------------------------------------------------


def read_arrays(path: str | Path) -> dict[str, Array]:
    """Read a file of `write_arrays`, or of `numpy.savez`.

    No size in the file is believed: what is allocated never exceeds the file's own size.

    Raises
    ------
    FileFormatError
        The file is truncated, damaged, foreign, or compressed.
    OSError
        The file cannot be opened.
    """
    with Path(path).open("rb") as file:
        try:
            return _read_archive(path, file)
        except FileFormatError:
            raise
        # What zipfile raises on hostile bytes, by Python version: BadZipFile is the
        # polite one; a seek to a negative place is an OSError.
        except (
            zipfile.BadZipFile,
            zipfile.LargeZipFile,
            EOFError,
            NotImplementedError,
            OSError,
            OverflowError,
            RuntimeError,
            ValueError,
            struct.error,
        ) as error:
            raise FileFormatError(
                f"{path}: needed an uncompressed .npz file, whole and unchanged since it "
                f"was written, but reading it failed: {error}"
            ) from error


def _read_archive(path: str | Path, file: IO[bytes]) -> dict[str, Array]:
    size = os.fstat(file.fileno()).st_size
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_end(path, file, size, len(members))
        total = sum(info.file_size for info in members)
        if total > size:
            raise FileFormatError(
                f"{path}: its members claim {total} bytes in all, but the file has {size}"
            )
        for info in members:
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in arrays:
                raise FileFormatError(
                    f"{path}: needed .npy members of distinct names, but there is {info.filename!r}"
                )
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise FileFormatError(
                    f"{path}: member {info.filename!r} is compressed or encrypted; needed "
                    "one that is stored as it is (numpy.savez, not savez_compressed)"
                )
            if info.compress_size != info.file_size:
                raise FileFormatError(
                    f"{path}: member {info.filename!r} is stored, but claims "
                    f"{info.file_size} bytes in {info.compress_size}"
                )
            with archive.open(info) as member:
                # Reading to the end also compares the checksum.
                arrays[name] = _parse_npy(f"{path}: member {info.filename!r}", member.read())
    return arrays


def _check_end(path: str | Path, file: IO[bytes], size: int, members: int) -> None:
    """Compare the count of members at the end of a zip, which zipfile overlooks."""
    file.seek(max(size - _END.size, 0))
    signature, *_, count, _, _, comment = _END.unpack(file.read(_END.size))
    # 0xFFFF: a file of the zip64 form, where the count stands elsewhere
    if signature != b"PK\5\6" or comment or count not in (members, 0xFFFF):
        raise FileFormatError(
            f"{path}: needed a zip that ends with the count of its members, {members}, "
            "and no comment, but its end is damaged"
        )


def _parse_npy(where: str, data: bytes) -> Array:
    """Turn the bytes of a .npy file, version 1.0, into an array of its own."""
    if data[:8] != b"\x93NUMPY\x01\x00" or len(data) < 10:
        raise FileFormatError(
            f"{where} needed to begin as a .npy file of version 1.0, "
            f"but it begins with {data[:8]!r}"
        )
    start = 10 + int.from_bytes(data[8:10], "little")
    match = _HEADER.fullmatch(data[10:start])
    if match is None:
        raise FileFormatError(
            f"{where} needed the header of an array of numbers, "
            f"but it has {data[10 : min(start, 150)]!r}"
        )
    descr, fortran, dimensions = (group.decode("ascii") for group in match.groups())
    shape: tuple[int, ...] = ast.literal_eval(dimensions)
    try:
        dtype = np.dtype(descr)
        needed, came = math.prod(shape) * dtype.itemsize, len(data) - start
        if needed != came:
            raise FileFormatError(
                f"{where} needed {needed} bytes for shape {shape} and dtype {dtype}, "
                f"but it has {came}"
            )
        flat = np.frombuffer(data, dtype, offset=start)
        return flat.reshape(shape, order="F" if fortran == "True" else "C").copy(order="K")
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{where} cannot be an array: {error}") from error


# ---- what a model needs ---------------------------------------------------------------------


def check_state(state: Mapping[str, Array], found: Mapping[str, Array], path: str | Path) -> None:
    """Refuse arrays whose names, shapes or dtypes are not those of `state`."""
    if missing := sorted(state.keys() - found.keys()):
        raise FileFormatError(
            f"{path}: needs the array {missing[0]!r} of shape {state[missing[0]].shape}, "
            f"but the file holds {_names(found)}"
        )
    if foreign := sorted(found.keys() - state.keys()):
        raise FileFormatError(
            f"{path}: holds the array {foreign[0]!r}, but the model has {_names(state)}"
        )
    for name, array in state.items():
        for what in ("shape", "dtype"):
            needed, came = getattr(array, what), getattr(found[name], what)
            if needed != came:
                raise FileFormatError(
                    f"{path}: array {name!r} must have {what} {needed}, but it has {what} {came}"
                )


def fill_state(state: Mapping[str, Array], found: Mapping[str, Array]) -> None:
    """Copy into the live arrays, so that whoever holds them sees the new values."""
    for name, array in state.items():
        array[...] = found[name]


def _names(arrays: Mapping[str, Array]) -> str:
    names = sorted(arrays)
    shown = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
    return shown or "no array"
