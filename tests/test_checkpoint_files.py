"""Files: written whole or not at all; nothing foreign, cut or changed is read."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.nn.files import read_arrays, remove_leftovers, whole_file, write_arrays
from npconv.problem import Array

ARRAYS: dict[str, Array] = {
    "0.weight": np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32),
    "empty": np.zeros((0, 4)),
    "number": np.array(7, np.int64),
    "flags": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
}


def same(found: dict[str, Array], needed: dict[str, Array]) -> bool:
    return found.keys() == needed.keys() and all(
        found[name].dtype == array.dtype
        and found[name].shape == array.shape
        and found[name].tobytes() == array.tobytes()
        for name, array in needed.items()
    )


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    write_arrays(path, ARRAYS)
    found = read_arrays(str(path))
    assert same(found, ARRAYS)
    assert all(array.flags.writeable for array in found.values())
    with np.load(path) as numpys:
        assert same(dict(numpys), ARRAYS)
    np.savez(path, **ARRAYS)  # type: ignore[arg-type]
    assert same(read_arrays(path), ARRAYS)
    assert names(tmp_path) == ["some.npz"]


def test_equal_contents_are_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_arrays(tmp_path / name, ARRAYS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_array_of_objects(tmp_path: Path) -> None:
    with pytest.raises(npconv.DTypeError, match="'bad'"):
        write_arrays(tmp_path / "x.npz", {"bad": np.array([{}])})
    assert not list(tmp_path.iterdir())


# ---- writing that fails ---------------------------------------------------------------------


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    write_arrays(path, ARRAYS)
    before = path.read_bytes()
    failing = {
        "write_array": (np.lib.format, lambda *_, **__: (_ for _ in ()).throw(OSError("full"))),
        "fsync": (os, lambda _: (_ for _ in ()).throw(OSError("full"))),
        "replace": (Path, lambda *_: (_ for _ in ()).throw(OSError("full"))),
    }
    for name, (owner, failure) in failing.items():
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failure)
            with pytest.raises(OSError, match="full"):
                write_arrays(path, {"other": np.ones(3)})
        assert path.read_bytes() == before
        assert names(tmp_path) == ["x.npz"], name


def test_an_exception_within_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_arrays(tmp_path / "nowhere" / "x.npz", ARRAYS)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "x.npz")


def test_symbolic_links_keep_pointing(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_text("old")
    try:
        link.symlink_to(target)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
    write_arrays(link, ARRAYS)
    assert link.is_symlink()
    assert same(read_arrays(target), ARRAYS)


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    keep = ["x.npz", ".y.npz.0123456789ab.tmp", ".x.npz.tmp", "x.npz.0123456789ab.tmp"]
    for name in [*keep, ".x.npz.0123456789ab.tmp"]:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "x.npz")
    assert names(tmp_path) == sorted(keep)
    remove_leftovers(tmp_path / "nowhere" / "x.npz")


# ---- hostile files --------------------------------------------------------------------------


def refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(npconv.FileFormatError, match=r"x\.npz"):
        read_arrays(path)


def test_truncated_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_arrays(path, ARRAYS)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        refused(path, data[:length])
    refused(path, data[:-1])


def test_every_flipped_bit_is_seen_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_arrays(path, ARRAYS)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    seen = 0
    for bit in rng.choice(8 * len(data), 1500, replace=False):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        try:
            found = read_arrays(path)
        except npconv.FileFormatError:
            seen += 1
        else:
            assert same(found, ARRAYS), f"bit {bit}"  # a date in the zip, for example
    assert seen > 1000


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"text\n" * 100, b"\x93NUMPY\x01\x00", b"\x80\x04]\x94.", bytes(5000)],
    ids=["empty", "PK", "text", "npy", "pickle", "zeros"],
)
def test_foreign_files(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path / "x.npz", data)


def archive(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for name, data in members:
            target.writestr(name, data)
    return file.getvalue()


def npy(header: str, payload: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + payload


def header(descr: Any = "<f8", order: bool = False, shape: Any = (2,)) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"


def test_what_the_header_helper_makes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(archive(("a.npy", npy(header(), bytes(16)))))
    np.testing.assert_array_equal(read_arrays(path)["a"], [0, 0])


@pytest.mark.parametrize(
    "member",
    [
        npy(header(), bytes(15)),
        npy(header(), bytes(17)),
        npy(header(shape=(2**62,)), bytes(16)),
        npy(header(shape=(2**62, 4)), bytes(16)),
        npy(header(shape=(0, 10**18, 10**18)), b""),
        npy(header(shape=(-2,)), bytes(16)),
        npy(header(shape="(2, 2**9)"), bytes(16)),
        npy(header(shape=(1,) * 70), bytes(8)),
        npy(header(descr="|O"), bytes(16)),
        npy(header(descr="<U4"), bytes(32)),
        npy(header(descr="<f3"), bytes(6)),
        npy(header(descr="<M8[s]"), bytes(16)),
        npy(header(descr=[("a", "<f8")]), bytes(16)),
        npy(header(), bytes(16), version=b"\x02\x00"),
        npy("{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (2,), }"),
        npy("(" * 5000),
        npy(""),
        b"\x93NUMPY\x01\x00\xff\xff{}",
        b"",
    ],
)
def test_hostile_headers(tmp_path: Path, member: bytes) -> None:
    refused(tmp_path / "x.npz", archive(("a.npy", member)))


def test_hostile_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    good = npy(header(), bytes(16))
    bomb = npy(header(shape=(2**21,)), bytes(2**24))
    assert len(archive(("a.npy", bomb), compression=zipfile.ZIP_DEFLATED)) < 2**17
    refused(path, archive(("a.npy", bomb), compression=zipfile.ZIP_DEFLATED))
    refused(path, archive(("a.npy", bomb), compression=zipfile.ZIP_BZIP2))
    refused(path, archive(("a.txt", good)))
    refused(path, archive(("a", good)))
    with pytest.warns(UserWarning, match="Duplicate"):
        refused(path, archive(("a.npy", good), ("a.npy", good)))
    # a member that claims to be larger than the file
    data = archive(("a.npy", good))
    sizes = struct.pack("<II", len(good), len(good))
    assert data.count(sizes) == 2
    for claim in (len(good) + 1, 2**31, 2**32 - 2):
        refused(path, data.replace(sizes, struct.pack("<II", claim, claim)))
        refused(path, data.replace(sizes, struct.pack("<II", len(good), claim)))


# ---- models ---------------------------------------------------------------------------------


def model(seed: int = 0, channels: int = 4, dtype: Any = np.float32) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, rng=seed, dtype=dtype), nn.BatchNorm(channels, dtype=dtype)
    )


def test_save_and_load(tmp_path: Path) -> None:
    first, second = model(0), model(1)
    first.forward(np.random.default_rng(0).standard_normal((2, 1, 6, 6)), training=True)
    first.save(tmp_path / "model.npz")
    live = second.parameters()["0.weight"]
    second.load(tmp_path / "model.npz")
    assert same(second.state(), first.state())
    assert second.parameters()["0.weight"] is live


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (model(channels=5), r"'0.weight' must have shape \(5, 1, 3, 3\)"),
        (model(dtype=np.float64), "'0.weight' must have dtype float64"),
        (nn.Sequential(*model(), nn.Linear(3, 3)), "needs the array '2.bias'"),
        (nn.Sequential(model()[0]), "holds the array '1.bias'"),
    ],
)
def test_another_models_file_changes_nothing(
    tmp_path: Path, other: nn.Sequential, text: str
) -> None:
    path = tmp_path / "model.npz"
    model().save(path)
    before = {name: array.copy() for name, array in other.state().items()}
    with pytest.raises(npconv.FileFormatError, match=text) as caught:
        other.load(path)
    assert str(path) in str(caught.value)
    assert same(other.state(), before)


def test_a_platform_without_directory_handles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    write_arrays(tmp_path / "x.npz", ARRAYS)
    assert same(read_arrays(tmp_path / "x.npz"), ARRAYS)
