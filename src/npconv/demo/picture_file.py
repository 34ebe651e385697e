"""Pictures in files, through Pillow: any usual kind comes in, the same kind goes out."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npconv.demo.extras import need
from npconv.messages import UserError
from npconv.nn.files import whole_file
from npconv.problem import Array

# What Pillow raises on damaged files, by format.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError, KeyError)
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True, slots=True)
class Picture:
    """Colour channels ``(H, W, 1 or 3)``, alpha ``(H, W)`` if there is one, and white's value."""

    pixels: Array
    alpha: Array | None
    peak: int

    @property
    def kind(self) -> str:
        """Its kind as Pillow names it, with the depth: "RGBA, 8-bit"."""
        name = "RGB" if self.pixels.shape[-1] == 3 else "L"
        return f"{name}{'' if self.alpha is None else 'A'}, {16 if self.peak > 255 else 8}-bit"


def read_picture(path: str | Path) -> Picture:
    """Read a picture: grey, RGB, with or without alpha, palette, or 16-bit grey.

    Raises
    ------
    UserError
        There is none, it is none, it is damaged, too large, or of a kind not handled.
    MissingExtraError
        Pillow is not installed.
    """
    image_module = need("PIL.Image")
    try:
        with warnings.catch_warnings():
            # Pillow warns of pictures that are suspiciously large and refuses the
            # absurd; both are refused here, before anything is decoded.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(path) as image:
                image.load()
                return _unpack(need("PIL.ImageOps").exif_transpose(image), path)
    except FileNotFoundError:
        raise UserError("no_file", path=path) from None
    except UserError:
        raise
    except (image_module.DecompressionBombWarning, image_module.DecompressionBombError):
        limit = image_module.MAX_IMAGE_PIXELS or 0
        raise UserError("picture_too_large", path=path, limit=f"{limit:,}") from None
    except image_module.UnidentifiedImageError:
        raise UserError("no_picture", path=path) from None
    except (*_DAMAGED, struct.error) as error:
        raise UserError("unreadable", path=path, reason=error) from error


def _unpack(image: Any, path: str | Path) -> Picture:
    if image.mode in _SIXTEEN_BITS:
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise UserError("picture_kind", path=path, kind=f"{image.mode} (32-bit)")
        return Picture(values.astype(np.uint16)[..., np.newaxis], None, 65535)
    if image.mode == "F":
        raise UserError("picture_kind", path=path, kind="F (float)")
    grey = image.mode in ("1", "L", "LA", "La")
    mode = "L" if grey else "RGB"
    if image.has_transparency_data:
        mode = "LA" if grey else "RGBA"
    values = np.atleast_3d(np.asarray(image.convert(mode)))
    if mode.endswith("A"):
        return Picture(values[..., :-1], values[..., -1], 255)
    return Picture(values, None, 255)


def check_target(path: str | Path) -> str:
    """Tell the format that a file name asks for, before any work is done.

    Raises
    ------
    UserError
        There is no such format, or no such directory.
    """
    image_module, target = need("PIL.Image"), Path(path)
    name = image_module.registered_extensions().get(target.suffix.lower(), "")
    if name not in image_module.SAVE:
        raise UserError("picture_format", path=path, suffix=target.suffix)
    if not target.parent.is_dir():
        raise UserError("no_directory", path=target.parent)
    if target.is_dir():
        raise UserError("is_directory", path=path)
    return str(name)


def write_picture(path: str | Path, picture: Picture) -> None:
    """Write a picture in the format its name asks for, whole or not at all.

    Raises
    ------
    UserError
        The format cannot hold this kind of picture, or the file cannot be written.
    MissingExtraError
        Pillow is not installed.
    """
    image_module, name = need("PIL.Image"), check_target(path)
    dtype = np.uint16 if picture.peak > 255 else np.uint8
    values = picture.pixels.astype(dtype)
    if picture.alpha is not None:
        values = np.dstack([values, picture.alpha.astype(dtype)])
    image = image_module.fromarray(values.squeeze(-1) if values.shape[-1] == 1 else values)
    if name == "JPEG" and (picture.alpha is not None or picture.peak > 255):
        raise UserError("picture_loses", path=path, format=name, kind=picture.kind)
    options = {"quality": 95} if name == "JPEG" else {}
    try:
        encoded = io.BytesIO()  # some of Pillow's encoders seek and read while they write
        image.save(encoded, format=name, **options)
        with whole_file(path) as file:
            file.write(encoded.getbuffer())
    except (OSError, ValueError, KeyError) as error:
        raise UserError("unwritable", path=path, reason=error) from error
