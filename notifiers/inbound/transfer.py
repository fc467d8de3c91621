"""Decodes the bytes of a part: its transfer encoding (RFC 2045, section 6), and the files that older software writes
into the text (uuencode, yEnc)."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp, a2b_uu
from itertools import islice

_BEGINNINGS_MAX = 50  # of files in a text

_ENCODED_MIN = 8  # letters of base64 beside others
_BETWEEN_WORDS = re.compile(rb"[ \t](?<=\S.)[ \t]*(?=\S)")
_FOREIGN = re.compile(rb"[^A-Za-z0-9+/=]+")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

_BEGIN = re.compile(rb"^(?:begin [0-7]{3,4} |=ybegin [^\r\n]{0,200}?name=)([^\r\n]{1,300}?)[ \t]*\r?\n", re.MULTILINE)
_UU_LINE = re.compile(rb"([\x20-\x60]{1,90})(?:\r?\n|$)")
_UU_END = re.compile(rb"(?:[ `]?[ \t]*\r?\n)?end[ \t]*(?:\r?\n|$)")
_YENC_PART = re.compile(rb"=ypart [^\r\n]*\r?\n")
_YENC_END = re.compile(rb"\n=yend[^\r\n]*(?:\r?\n|$)")
_YENC_ESCAPE = re.compile(rb"=(.)", re.DOTALL)
_MINUS_42 = bytes((byte - 42) % 256 for byte in range(256))


def decoded_body(data: bytes, encoding: str) -> bytes:
    """The bytes that `data` encodes; `data` itself if the encoding is unknown or the declaration is wrong."""
    if encoding == "base64":
        return _base64(data)
    if encoding == "quoted-printable":
        return a2b_qp(data)
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        _, files = without_files(data)
        return files[0][1] if files else data
    return data


def _base64(data: bytes) -> bytes:
    letters = data.translate(None, b" \t\r\n")
    words = _BETWEEN_WORDS.search(data)
    if words or letters.translate(None, _ALPHABET):
        # Words with blanks between them are somebody's footer, or all of it is a text that is not encoded.
        end = (data.rfind(b"\n", 0, words.start()) + 1 or words.start()) if words else len(data)
        encoded = _FOREIGN.sub(b"", data[:end])
        if len(encoded) >= _ENCODED_MIN and len(encoded) % 4 == 0:
            letters = encoded
        elif letters.translate(None, _ALPHABET) or len(letters) % 4:
            return data
    # Some software encodes pieces with a padding each.
    return b"".join(map(_piece, filter(None, letters.split(b"="))))


def _piece(letters: bytes) -> bytes:
    return a2b_base64(letters[: len(letters) - (len(letters) % 4 == 1)] + b"==")


def without_files(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The text without the files in it, and their names and bytes."""
    files: list[tuple[bytes, bytes]] = []
    kept: list[bytes] = []
    at = 0
    for begin in islice(_BEGIN.finditer(data), _BEGINNINGS_MAX):
        if begin.start() < at:
            continue
        found = (_yenc if begin[0].startswith(b"=") else _uuencoded)(data, begin.end())
        if found is not None:
            file, end = found
            files.append((begin[1], file))
            kept.append(data[at : begin.start()])
            at = end
    return b"".join((*kept, data[at:])), files


def _uuencoded(data: bytes, at: int) -> tuple[bytes, int] | None:
    """A file's bytes, and where it ends; None if the lines are no file's. Lines may lack blanks at their end, which
    encode zeros, if the file has an end."""
    lines: list[bytes] = []
    exact = True
    while (end := _UU_END.match(data, at)) is None and (line := _UU_LINE.match(data, at)) is not None:
        letters = -(-((line[1][0] - 32) & 63) // 3) * 4  # a line begins with its number of bytes
        exact = exact and letters > 0 and letters <= len(line[1]) - 1 <= letters + 1
        try:
            lines.append(a2b_uu(line[1]))
        except Error:
            return None
        at = line.end()
    if not any(lines) or not (end or exact):
        return None
    return b"".join(lines), end.end() if end else at


def _yenc(data: bytes, at: int) -> tuple[bytes, int] | None:
    part = _YENC_PART.match(data, at)
    at = part.end() if part else at
    end = _YENC_END.match(data, data.find(b"\n=yend", at))
    text = data[at : end.start()].replace(b"\r", b"").replace(b"\n", b"") if end else b""
    if end is None or text.count(b"=") * 8 > len(text) + 100:  # an encoder escapes four of 256 bytes
        return None
    return _YENC_ESCAPE.sub(lambda pair: bytes(((pair[1][0] - 64) % 256,)), text).translate(_MINUS_42), end.end()
