"""What a file is, by its first bytes. A declared content type is only a hint: a file's sender writes it.

Our own table, because we must know few formats, and know them for sure: `filetype` 1.2 (November 2022) knows neither
3GP nor WebM, `puremagic` 1.30 takes HEIC for a video and any ZIP archive for a document of Word
(docs/decisions/photos.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

HEAD_BYTES: Final = 4_096
"""The first bytes of a file that `content_type` looks at."""
UNKNOWN: Final = "application/octet-stream"

PHOTOS: Final = frozenset(
    {"image/jpeg", "image/png", "image/gif", "image/webp", "image/heic", "image/avif"},
)
"""The types that are processed as photos, and the only images that a page may show."""

_ZIP = "application/zip"
_OLE = "application/x-ole-storage"
_MARKS: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", _ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLE),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
# The brand of a file of the ISO base media file format (ISO/IEC 14496-12), at byte 8.
_BRANDS: Final = (
    (re.compile(rb"avi[fs]|mi[fa]1.{4,40}avif", re.DOTALL), "image/avif"),  # or among the compatible brands
    (re.compile(rb"hei[cmxs]|hev[cmxs]|mif1|msf1"), "image/heic"),
    (re.compile(rb"qt  "), "video/quicktime"),
    (re.compile(rb"3g[2p]."), "video/3gpp"),
    (re.compile(rb"M4A "), "audio/mp4"),
)
_EXECUTABLES: Final = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe")

# Declared types that may refine the type that the bytes show.
_REFINED: Final[Mapping[str, re.Pattern[str]]] = {
    _ZIP: re.compile(
        r"application/(vnd\.openxmlformats-officedocument\.[\w.]+|vnd\.oasis\.opendocument\.[\w.]+|epub\+zip)"
    ),
    _OLE: re.compile(r"application/(msword|vnd\.ms-(excel|powerpoint|outlook)|vnd\.visio)"),
    "audio/ogg": re.compile(r"(audio|video)/ogg"),
    "video/webm": re.compile(r"(audio|video)/(webm|x-matroska)"),
    "video/mp4": re.compile(r"(audio|video)/mp4"),
    "video/3gpp": re.compile(r"(audio|video)/3gpp2?"),
}
_TEXTS: Final = frozenset({"text/plain", "text/csv", "text/calendar", "text/vcard", "text/x-vcard", "message/rfc822"})
"""Types that have no mark. No program runs such a file, whatever is in it."""

_DECLARED: Final = re.compile(r"\s*([a-z0-9]+/[a-z0-9.+-]+)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_DECLARED_MAX: Final = 255  # characters


def content_type(head: bytes, declared: str) -> str:
    """The type of the file that starts with `head`: what its bytes show; refined by the declared type, or the declared
    type of a plain text, if both agree; otherwise `UNKNOWN`. It is a type of the lists above, without parameters."""
    named = _DECLARED.fullmatch(declared[:_DECLARED_MAX])
    wanted = named[1].lower() if named else ""
    found = _shown(head)
    if found is None:
        return wanted if wanted in _TEXTS and _is_text(head) else UNKNOWN
    refined = _REFINED.get(found)
    return wanted if refined is not None and refined.fullmatch(wanted) else found


def _shown(head: bytes) -> str | None:
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return next((type_ for brand, type_ in _BRANDS if brand.match(head[8:64])), "video/mp4")
    return next((type_ for mark, type_ in _MARKS if head.startswith(mark)), None)


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and not head.startswith(_EXECUTABLES)
