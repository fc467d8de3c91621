"""Reads the Content-… fields of a part: a value and its parameters (RFC 2045, RFC 2231), as sloppy as software writes
them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from notifiers.inbound.charsets import decoded
from notifiers.inbound.encoded_words import decoded_line

_PARAMETERS_MAX = 100
_NAME_MAX = 1_000  # characters of a parameter

_PARAMETER = re.compile(
    r"""[;\s]([A-Za-z][\w-]{0,40})(?:\*(\d{1,3}))?(\*?)\s*=\s*("(?:[^"\\]|\\.)*"|"[^"]*$|[^;"][^;]*|)""", re.DOTALL
)
_ESCAPED = re.compile(r'\\(["\\])')


def word(value: str) -> str:
    """The value itself, in lower case and without its parameters."""
    found = re.match(r'[\s"]*([^\s;"]*)', value)
    return found[1].lower() if found else ""


def parameters(value: str) -> Mapping[str, str]:
    """The parameters by their names in lower case, decoded. Of a repeated parameter the first counts, except that one
    with a charset (`name*=`) or in pieces (`name*0=`) counts more than a plain one."""
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for number, found in enumerate(_PARAMETER.finditer(value)):
        if number >= _PARAMETERS_MAX:
            break
        name, text = found[1].lower(), _unquoted(found[4])[:_NAME_MAX]
        if found[2] or found[3]:
            pieces.setdefault(name, {}).setdefault(int(found[2] or 0), (text, bool(found[3])))
        else:
            plain.setdefault(name, text)
    return {name: decoded_line(text, _NAME_MAX) for name, text in plain.items()} | {
        name: decoded_line(_joined(each), _NAME_MAX) for name, each in pieces.items()
    }


def _unquoted(text: str) -> str:
    text = text.strip()
    if not text.startswith('"'):
        return text
    # Only quotes and backslashes: Windows' software does not escape the backslashes of its paths.
    return _ESCAPED.sub(r"\1", text[1:].removesuffix('"'))


def _joined(pieces: Mapping[int, tuple[str, bool]]) -> str:
    """The pieces in order, percent-decoded together, as a character may be split between them."""
    ordered = [pieces[number] for number in sorted(pieces)]
    charset, data = None, b""
    for number, (text, encoded) in enumerate(ordered):
        if number == 0 and encoded and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        raw = text.encode("utf-8", "surrogateescape")
        data += unquote_to_bytes(raw) if encoded else raw
    return decoded(data, charset)
