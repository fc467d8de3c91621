"""Reads the text of header fields: encoded words (RFC 2047), and the raw bytes that much software writes instead."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import a2b_qp

from notifiers.inbound.charsets import decoded
from notifiers.text import one_line

_READ_MAX = 5_000  # characters of a header that are read

# More than RFC 2047 allows: blanks in the text, a language (RFC 2231, section 5), and a missing end.
_WORD = re.compile(rb"=\?([^?\s*=]{1,60})(?:\*[^?\s]{0,40})?\?([BbQq])\?((?:[^?]|\?(?!=))*)(?:\?=|$)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def decoded_line(value: str, maximum: int) -> str:
    """A header's text on one line, with encoded words and raw bytes decoded, cut to `maximum` characters. Raw bytes are
    surrogates in `value`, as the parser leaves them."""
    return one_line(_read(value[:_READ_MAX].encode("utf-8", "surrogateescape")), maximum)


def raw_text(value: str) -> str:
    """A header's text with raw bytes decoded, and encoded words as they are."""
    return decoded(value.encode("utf-8", "surrogateescape"))


def _read(value: bytes) -> str:
    texts: list[str] = []
    end = 0
    charset, joined = "", b""
    for word in _WORD.finditer(value):
        data = _bytes(word)
        if data is None:
            continue
        between = value[end : word.start()]
        adjacent = end > 0 and not between.strip()
        label = word[1].decode("ascii", "replace").lower()
        if not adjacent or label != charset:
            texts.append(decoded(joined, charset))
            joined = b""
        if not adjacent:
            texts.append(decoded(between))
        # Software splits words in the middle of a character, so their bytes are joined before they are decoded.
        charset, joined, end = label, joined + data, word.end()
    return "".join((*texts, decoded(joined, charset), decoded(value[end:])))


def _bytes(word: re.Match[bytes]) -> bytes | None:
    """The bytes of an encoded word; None if it has none."""
    text = word[3]
    if word[2] in b"Qq":
        return a2b_qp(text.replace(b"\r", b"").replace(b"\n", b""), header=True)
    letters = _NOT_BASE64.sub(b"", text)
    if len(letters) == 1:
        return None
    return b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"==")
