"""The parts of an inbound message (MIME): its text and its files.

Messages come from strangers, so every size is checked before it can cost time. The standard library splits the message
into parts, under the policy that leaves headers unparsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from html import escape
from typing import Any

from db import limits
from notifiers.inbound.charsets import declared_in_html, decoded
from notifiers.inbound.encoded_words import decoded_line
from notifiers.inbound.mail_text import Unreadable, html_to_text
from notifiers.text import tidy

_LINES_MAX = 500_000
_LINES_AND_MULTIPARTS_MAX = 5_000_000  # their product, as the parser tests every line for the end of each
_PARAMETERS_MAX = 3_000  # characters of a Content-… header, whose parameters the library parses in quadratic time
_MULTIPARTS_MAX = 50
_PARTS_MAX = 300  # below Python's recursion limit, as each part may contain the next

_BOUNDARY = re.compile(rb"boundary(?:\*\d*)?\*?\s*=", re.IGNORECASE)


class _Policy(Compat32):
    """Raises `Unreadable` for headers of parts that would take long to parse."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if len(value) > _PARAMETERS_MAX and name.strip().lower().startswith("content-"):
            raise Unreadable(f"A header of a part has more than {_PARAMETERS_MAX:,} characters.")
        return name, value


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file in a message. `name` and `content_type` are what the sender wrote, tidied to one line of at most
    `limits.NAME_MAX` characters: neither can be trusted. `name` is empty if there is none. An `inline` file is shown
    within the text, as an image is."""

    name: str
    content_type: str
    data: bytes
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What a message contains.

    `plain` and `html` are forms of the same text: each has the whole of it, or is empty. `files` are in the message's
    order, and have fewer bytes together than the message. `remarks` are sentences about what could not be read, for the
    reader of the text.
    """

    plain: str
    html: str
    files: tuple[IncomingFile, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of the text: its plain form, its HTML, or both."""

    plain: str = ""
    html: str = ""


def content(raw: bytes) -> Content:
    """Reads the parts of a message. Raises `Unreadable` if the message exceeds a limit."""
    raw = raw.replace(b"\0", b"")  # never allowed, and Python fails to look up a charset with it
    lines, multiparts = count_lines(raw), len(_BOUNDARY.findall(raw))
    if lines > _LINES_MAX:
        raise Unreadable(f"The message has more than {_LINES_MAX:,} lines.")
    if multiparts > _MULTIPARTS_MAX or lines * multiparts > _LINES_AND_MULTIPARTS_MAX:
        raise Unreadable(f"The message has too many nested parts: {multiparts} in {lines:,} lines.")
    parts = 0

    def counted(policy: Any = None) -> Message:
        nonlocal parts
        parts += 1
        if parts > _PARTS_MAX:
            raise Unreadable(f"The message has more than {_PARTS_MAX} parts.")
        return Message(policy=policy)

    pieces, files = _sorted(BytesParser(counted, policy=_Policy()).parsebytes(raw))
    whole = _joined(pieces)
    return Content(whole.plain, whole.html, tuple(files), ())


def _sorted(part: Message) -> tuple[list[_Piece], list[IncomingFile]]:
    """The pieces of text in a part that a reader sees, in order, and its files."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        found = [_sorted(child) for child in part.get_payload() if isinstance(child, Message)]
        files = [file for _, files in found for file in files]
        if part.get_content_subtype() == "alternative":
            return [_best([_joined(pieces) for pieces, _ in found])], files
        return [piece for pieces, _ in found for piece in pieces], files
    if part.get_content_maintype() in ("text", "multipart") and not _is_file(part):
        return [_text_of(part)], []
    return [], [_file(part)]


def _best(forms: list[_Piece]) -> _Piece:
    """The first plain form and the first HTML that are not blank (RFC 2046, section 5.1.4)."""
    plain = next((form.plain for form in forms if form.plain.strip()), "")
    return _Piece(plain, next((form.html for form in forms if form.html.strip()), ""))


def _joined(pieces: list[_Piece]) -> _Piece:
    """All the pieces in both forms, unless none has the form. A piece without it is converted."""
    pieces = [piece for piece in pieces if piece.plain.strip() or piece.html.strip()]
    plain = [piece.plain.strip() or html_to_text(piece.html) for piece in pieces]
    html = [piece.html if piece.html.strip() else _as_html(piece.plain) for piece in pieces]
    return _Piece(
        "\n\n".join(plain) if any(piece.plain.strip() for piece in pieces) else "",
        "\n".join(html) if any(piece.html.strip() for piece in pieces) else "",
    )


def _as_html(plain: str) -> str:
    lines = (re.sub(r"^ +", lambda blank: "&nbsp;" * len(blank[0]), escape(line)) for line in plain.split("\n"))
    return f"<div>{'<br>'.join(lines)}</div>"


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _text_of(part: Message) -> _Piece:
    data, declared = _data(part), part.get_content_charset()
    if part.get_content_type() == "text/html":
        return _Piece(html=tidy(decoded(data, declared, declared_in_html(data))))
    return _Piece(tidy(decoded(data, declared)))


def _data(part: Message) -> bytes:
    """The decoded bytes of a part, or the source of a message that it has."""
    if part.is_multipart():
        return b"\n".join(child.as_bytes() for child in part.get_payload() if isinstance(child, Message))
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _file(part: Message) -> IncomingFile:
    name = decoded_line(part.get_filename() or "", limits.NAME_MAX)
    inline = part["content-id"] is not None and part.get_content_disposition() != "attachment"
    return IncomingFile(name, decoded_line(part.get_content_type(), limits.NAME_MAX), _data(part), inline)


def count_lines(raw: bytes) -> int:
    """The number of lines, however they end."""
    return max(raw.count(b"\n"), raw.count(b"\r"))
