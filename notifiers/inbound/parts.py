"""The parts of an inbound message (MIME): its text and its attachments.

Messages come from strangers, so every size is checked before it can cost time. The standard library splits the message
into parts, under the policy that leaves headers unparsed.
"""

from __future__ import annotations

import re
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from typing import Any

from db import limits
from notifiers.inbound.charsets import decoded
from notifiers.inbound.header import decoded_line
from notifiers.inbound.mail_text import Unreadable, html_to_text
from notifiers.text import tidy

_LINES_MAX = 500_000
_LINES_AND_MULTIPARTS_MAX = 5_000_000  # their product, as the parser tests every line for the end of each
_PARAMETERS_MAX = 3_000  # characters of a Content-… header, whose parameters the library parses in quadratic time
_MULTIPARTS_MAX = 50
_PARTS_MAX = 300  # below Python's recursion limit, as each part may contain the next
_ATTACHMENTS_MAX = 20

_BOUNDARY = re.compile(rb"boundary(?:\*\d*)?\*?\s*=", re.IGNORECASE)


class _Policy(Compat32):
    """Raises `Unreadable` for headers of parts that would take long to parse."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if len(value) > _PARAMETERS_MAX and name.strip().lower().startswith("content-"):
            raise Unreadable(f"A header of a part has more than {_PARAMETERS_MAX:,} characters.")
        return name, value


def content(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """The text, and the names of the attachments. Raises `Unreadable` if the message exceeds a limit."""
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

    texts, attachments = _sorted(BytesParser(counted, policy=_Policy()).parsebytes(raw))
    text = "\n\n".join(filter(None, (tidy(text).strip() for text in texts)))
    more = len(attachments) - _ATTACHMENTS_MAX
    if more > 0:
        attachments = [*attachments[:_ATTACHMENTS_MAX], f"and {more} more"]
    return text, tuple(attachments)


def _sorted(part: Message) -> tuple[list[str], list[str]]:
    """The texts of a part that a reader sees, in order, and the names of its attachments."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        found = [_sorted(child) for child in part.get_payload() if isinstance(child, Message)]
        if part.get_content_subtype() == "alternative":
            return _preferred(found)
        return [text for texts, _ in found for text in texts], [name for _, names in found for name in names]
    if part.get_content_maintype() in ("text", "multipart") and not _is_file(part):
        return [_text_of(part)], []
    return [], [_named(part)]


def _preferred(forms: list[tuple[list[str], list[str]]]) -> tuple[list[str], list[str]]:
    """The first alternative that is not blank: the plainest comes first (RFC 2046, section 5.1.4)."""
    for texts, names in forms:
        if any(text.strip() for text in texts):
            return texts, names
    return [], [name for _, names in forms for name in names]


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _text_of(part: Message) -> str:
    data = part.get_payload(decode=True)
    text = decoded(data, part.get_content_charset()) if isinstance(data, bytes) else ""
    return html_to_text(text) if part.get_content_type() == "text/html" else text


def _named(part: Message) -> str:
    name = decoded_line(part.get_filename() or "", limits.NAME_MAX)
    type_ = decoded_line(part.get_content_type(), limits.NAME_MAX)
    return f"{name} ({type_})" if name else type_


def count_lines(raw: bytes) -> int:
    """The number of lines, however they end."""
    return max(raw.count(b"\n"), raw.count(b"\r"))
