"""The text of RTF, plain or compressed as Outlook does ([MS-OXRTFCP])."""

from __future__ import annotations

import re
from typing import NamedTuple

from notifiers.inbound.charsets import decoded
from notifiers.text import tidy

_READ_MAX = 150_000  # bytes of RTF
_FONTS_MAX = 300
_DEPTH_MAX = 1_000  # groups in groups

_TOKEN = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,9})?[ ]?|((?:\\'[0-9a-fA-F]{2})+)|\\([^a-z'])|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)
_HIDDEN = {
    *("colortbl", "datastore", "filetbl", "fldinst", "fonttbl", "footer", "footnote", "generator", "header", "info"),
    *("latentstyles", "listoverridetable", "listtable", "objdata", "pict", "stylesheet", "themedata", "xmlnstbl"),
}
_CHARACTERS = {
    "par": "\n",
    "line": "\n",
    "sect": "\n\n",
    "page": "\n\n",
    "row": "\n",
    "tab": "\t",
    "cell": "\t",
    "emdash": "—",
    "endash": "\u2013",
    "bullet": "•",
    "lquote": "\u2018",
    "rquote": "\u2019",
    "ldblquote": "“",
    "rdblquote": "”",
    "emspace": " ",
    "enspace": " ",
}
_CHARSETS = {128: "shift_jis", 129: "euc-kr", 134: "gbk", 136: "big5", 161: "cp1253", 162: "cp1254", 163: "cp1258"}
_CHARSETS |= {177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250"}

_COMPRESSED, _UNCOMPRESSED = b"LZFu", b"MELA"
_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    rb"SymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    + b"\r\n"
    + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)


def to_text(data: bytes) -> str:
    """The text of the beginning; what is no RTF has none."""
    text = _Text()
    for token in _TOKEN.finditer(data[:_READ_MAX]):
        text.read(token)
        if text.depth > _DEPTH_MAX:
            break
    return tidy("".join(text.pieces)).strip()


class _State(NamedTuple):
    """What a group restores at its end."""

    hidden: bool = True  # until the first group begins
    fonts: bool = False
    font: int = 0
    skipped: int = 1  # bytes after a Unicode character, which stand for it in older readers


class _Text:
    """The text of the tokens read so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._stack: list[_State] = []
        self._state = _State()
        self._charset = "cp1252"
        self._charsets: dict[int, str] = {}
        self._skip = 0

    @property
    def depth(self) -> int:
        return len(self._stack)

    def read(self, token: re.Match[bytes]) -> None:
        word, number, escaped, symbol, brace, text = token.groups()
        if brace == b"{":
            self._stack.append(self._state)
            self._state = self._state._replace(hidden=len(self._stack) > 1 and self._state.hidden)
        elif brace:
            self._state = self._stack.pop() if self._stack else _State()
        elif word:
            self._control(word.decode(), int(number or 0), given=number is not None)
        elif symbol == b"*":
            self._state = self._state._replace(hidden=True)
        elif symbol:
            self._show({b"~": b" ", b"_": b"-", b"-": b""}.get(symbol, symbol))
        elif escaped:
            self._show(bytes(int(each, 16) for each in escaped.split(b"\\'")[1:]))
        elif text:
            self._show(text)

    def _control(self, word: str, number: int, *, given: bool) -> None:
        self._skip = 0
        if word in _HIDDEN:
            self._state = self._state._replace(hidden=True, fonts=word == "fonttbl")
        elif word == "ansicpg":
            self._charset = f"cp{number}"
        elif word == "f":
            self._state = self._state._replace(font=number)
        elif word == "fcharset" and self._state.fonts and len(self._charsets) < _FONTS_MAX:
            self._charsets[self._state.font] = _CHARSETS.get(number, "")
        elif word == "uc":
            self._state = self._state._replace(skipped=min(number, 4))
        elif word == "u" and given and not self._state.hidden:
            self.pieces.append(chr(number % 0x10000))
            self._skip = self._state.skipped
        elif word in _CHARACTERS and not self._state.hidden:
            self.pieces.append(_CHARACTERS[word])

    def _show(self, data: bytes) -> None:
        data, self._skip = data[self._skip :], max(0, self._skip - len(data))
        if not self._state.hidden:
            self.pieces.append(decoded(data, self._charsets.get(self._state.font) or self._charset))


def unpacked(data: bytes) -> bytes:
    """The beginning of compressed RTF; empty if it is none."""
    kind, packed = data[8:12], data[16:]
    if kind == _UNCOMPRESSED:
        return packed[:_READ_MAX]
    if kind != _COMPRESSED:
        return b""
    found = bytearray(_DICTIONARY)
    at = 0
    while at < len(packed) and len(found) < len(_DICTIONARY) + _READ_MAX:
        flags, at = packed[at], at + 1
        for bit in range(8):
            if not flags >> bit & 1:
                found += packed[at : at + 1]
                at += 1
                continue
            reference, at = int.from_bytes(packed[at : at + 2]), at + 2
            start = _position(reference >> 4, len(found))
            if start is None:
                return bytes(found[len(_DICTIONARY) :])
            for offset in range((reference & 15) + 2):
                found.append(found[start + offset])
    return bytes(found[len(_DICTIONARY) :])


def _position(place: int, written: int) -> int | None:
    """Where in all that was written a place of the circular dictionary lies; None marks the end."""
    back = (written - place) % 4_096
    return None if back == 0 or back > written else written - back
