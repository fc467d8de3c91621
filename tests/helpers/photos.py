"""Photos as phones make them, and files that only look like photos."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()

PLACE: Final = "Rue du Secret 7"
"""Stands in the metadata of each photo of `encoded`."""
_ORIENTATION, _MAKE, _GPS, _USER_COMMENT = 0x0112, 0x010F, 0x8825, 0x9286


def phone_exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    exif[_MAKE] = PLACE
    exif.get_ifd(_GPS).update({1: "N", 2: (51.0, 30.0, 26.5), 3: "W", 4: (0.0, 7.0, 39.0)})
    return exif.tobytes()


def picture(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """Black, but for its left half, which is white: after a turn it shows which way."""
    image = Image.new(mode, (width, height), 0)
    white = {"RGB": (255, 255, 255), "RGBA": (255, 255, 255, 255)}
    image.paste(white.get(mode, 255), (0, 0, width // 2, height))
    return image


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, format_, **options)
    return target.getvalue()


def photo(format_: str = "JPEG", orientation: int = 6, width: int = 60, height: int = 40) -> bytes:
    """A photo that was taken with the phone turned, and knows where; 60 pixels wide, so 40 when it stands upright."""
    options = {"comment": PLACE.encode()} if format_ in ("JPEG", "GIF") else {}
    exif = {} if format_ == "GIF" else {"exif": phone_exif(orientation)}
    return encoded(picture(width, height), format_, **options, **exif)


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def png_of_size(width: int, height: int) -> bytes:
    """A small PNG of any number of pixels, all black."""
    deflate = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
