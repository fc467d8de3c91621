"""Decodes the bytes of mail by the charset that they are declared to have."""

from __future__ import annotations

import codecs
import re

_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_NO_CHARSETS = {
    "idna",
    "punycode",
    "raw-unicode-escape",
    "undefined",
    "unicode-escape",
}  # Python codecs that are slow or unsafe


def decoded(data: bytes, charset: str | None) -> str:
    """Decode `data` with its declared charset, or else as UTF-8, or else as Windows-1252, which most software without a
    declaration used."""
    for name in (charset, "utf-8"):
        try:
            if name and _CHARSET.fullmatch(name) and codecs.lookup(name).name not in _NO_CHARSETS:
                return data.decode(name)
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")
