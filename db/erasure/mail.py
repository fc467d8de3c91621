"""The readable text of raw mail, to look for values in it.

It is not parsed: what was kept aside may be malformed or hostile. Everything that looks encoded is decoded, which takes
time in proportion to its length, and finds at least what a reader of the mail would see.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Iterator
from typing import Final

_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4,1000}={0,2}\r?\n){1,}[A-Za-z0-9+/]*={0,2}|[A-Za-z0-9+/]{16,}={0,2}")
_ENCODED_WORD: Final = re.compile(rb"=\?[^?\s]{1,50}\?([bq])\?([^?\s]{0,2000})\?=", re.IGNORECASE)
_BETWEEN_WORDS: Final = re.compile(rb"(\?=)\s+(=\?)")
_CHARSETS: Final = ("utf-8", "cp1252", "utf-16-le")


def readable(raw: bytes) -> str:
    """The message in all forms that it can be read in, one after the other."""
    return "\n".join(form.decode(charset, "replace") for form in _decoded(raw) for charset in _CHARSETS)


def _decoded(raw: bytes) -> Iterator[bytes]:
    yield raw
    yield quopri.decodestring(raw)
    yield _ENCODED_WORD.sub(_word, _BETWEEN_WORDS.sub(rb"\1\2", raw))
    for found in _BASE64.finditer(raw):
        yield _from_base64(found[0])


def _word(found: re.Match[bytes]) -> bytes:
    """The text of an encoded word (RFC 2047)."""
    return _from_base64(found[2]) if found[1].lower() == b"b" else quopri.decodestring(found[2], header=True)


def _from_base64(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded + b"=" * (-len(b"".join(encoded.split())) % 4))
    except binascii.Error:
        return b""
