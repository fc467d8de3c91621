"""The parts of an inbound message (MIME): its text and its files.

Messages come from strangers, so every size is checked before it can cost time. The standard library splits the message
into parts, under the policy that leaves headers unparsed; their parameters and bytes are read here, as software writes
them more sloppily than it allows. What the parts contain is read by a file each: `tnef.py`, `smime.py`, `rtf.py`,
`invitations.py`, `plain_text.py`; `alternatives.py` chooses between the forms of one text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from functools import cached_property
from typing import Any, cast

from db import limits
from notifiers.inbound import invitations, rtf, smime, tnef
from notifiers.inbound.alternatives import Form, best, joined
from notifiers.inbound.charsets import declared_in_html, decoded
from notifiers.inbound.data_images import without_images
from notifiers.inbound.encoded_words import decoded_line
from notifiers.inbound.mail_text import Unreadable, html_to_text
from notifiers.inbound.parameters import parameters, word
from notifiers.inbound.plain_text import unarmoured, unenriched, unflowed
from notifiers.inbound.transfer import decoded_body, without_files
from notifiers.text import shortened, tidy

_LINES_MAX = 500_000
_LINES_AND_MULTIPARTS_MAX = 5_000_000  # their product, as the parser tests every line for the end of each
_PARAMETERS_MAX = 3_000  # characters of a Content-… header
_MULTIPARTS_MAX = 50
_PARTS_MAX = 300  # below Python's recursion limit, as each part may contain the next
_FILES_MAX = 100
_TEXT_BYTES_MAX = 1_000_000  # read of all texts together
_INSIDE_MAX = 4  # messages inside one another whose text is shown; files are found as deep
_FORWARDED_MAX = 20_000  # characters shown of a forwarded message

_BOUNDARY = re.compile(rb"boundary(?:\*\d*)?\*?\s*=", re.IGNORECASE)
_FIRST_BOUNDARY = re.compile(rb"\A\s*--([^\s-][^\r\n]{0,200}?)[ \t]*\r?\n")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)

_HTML = {"text/html", "application/xhtml+xml"}
_MESSAGES = {"message/rfc822", "message/global"}
_TNEF = {tnef.CONTENT_TYPE, "application/vnd.ms-tnef"}
_SMIME = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
_CALENDAR = {"text/calendar", "application/ics"}
_RTF = {"text/rtf", "application/rtf"}
_ENRICHED = {"text/enriched", "text/richtext"}
_NO_TEXT = {
    "text/csv",
    "text/tab-separated-values",
    "text/vcard",
    "text/x-vcard",
    "text/directory",
    "text/xml",
    "text/css",
}
_OTHER_HTML = {"text/x-amp-html", "text/watch-html"}  # besides the same in HTML
_REPORTS = {"message/delivery-status", "message/disposition-notification"}

_ENCRYPTED = "(The message, or a part of it, is encrypted with {}, so it cannot be read here.)"
_UNREADABLE_TNEF = "(The message has a winmail.dat, which could not be read.)"
_TOO_MANY = f"(The message has more than {_FILES_MAX} files; the others were left out.)"
_TOO_LONG = f"(The message has more text than {_TEXT_BYTES_MAX // 1_000_000} MB; only the beginning was read.)"


class _Policy(Compat32):
    """Raises `Unreadable` for headers of parts that would take long to parse."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if len(value) > _PARAMETERS_MAX and name.strip().lower().startswith("content-"):
            raise Unreadable(f"A header of a part has more than {_PARAMETERS_MAX:,} characters.")
        return name, value


class _Part(Message):
    """A part whose fields are read leniently. A message in it stays as it is: in bytes, and not split further."""

    def field(self, name: str) -> str:
        return next((str(value) for key, value in self.raw_items() if key.strip().lower() == name), "")

    @cached_property
    def kind(self) -> str:
        """The media type, such as `text/html`."""
        given = word(self.field("content-type"))
        return given if _MEDIA_TYPE.fullmatch(given) else str(self.get_default_type())

    @cached_property
    def name(self) -> str:
        """The file's name, without folders; empty if there is none."""
        placed, typed = parameters(self.field("content-disposition")), self.parameters
        name = next((name for name in (placed.get("filename"), placed.get("name"), typed.get("name")) if name), "")
        return decoded_line(re.split(r"[/\\]", name)[-1], limits.NAME_MAX)

    @cached_property
    def parameters(self) -> dict[str, str]:
        return dict(parameters(self.field("content-type")))

    @property
    def is_file(self) -> bool:
        return word(self.field("content-disposition")) == "attachment" or bool(self.name)

    @property
    def source(self) -> bytes:
        """The body as sent; empty if it is split into parts."""
        # `get_payload` would replace the bytes that are not ASCII.
        body = self._payload  # type: ignore[attr-defined]
        return body.encode("utf-8", "surrogateescape") if isinstance(body, str) else b""

    @cached_property
    def data(self) -> bytes:
        encoding = word(self.field("content-transfer-encoding"))
        return decoded_body(self.source, encoding)

    # What the parser asks to split a message.

    def get_content_type(self) -> str:
        return self.kind if self.kind.startswith("multipart/") else "text/plain"

    def get_boundary(self, failobj: Any = None) -> Any:
        return self.parameters.get("boundary") or failobj


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
    order, at most 100, and have at most three times as many bytes together as the message, as those in a forwarded
    message are files besides it. `remarks` are sentences about what could not be read, for the reader of the text.
    """

    plain: str
    html: str
    files: tuple[IncomingFile, ...]
    remarks: tuple[str, ...]


def content(raw: bytes) -> Content:
    """Reads the parts of a message. Raises `Unreadable` if the message exceeds a limit."""
    reader = _Contents()
    forms = reader.message(raw)
    whole = joined(forms or reader.text_files())
    return Content(whole.plain, whole.html, tuple(reader.files), tuple(dict.fromkeys(reader.remarks)))


class _Contents:
    """Reads the parts of one message: its methods return texts, and gather files and remarks."""

    def __init__(self) -> None:
        self.files: list[IncomingFile] = []
        self.remarks: list[str] = []
        self._text_files: list[_Part] = []
        self._parts = 0
        self._text_bytes = 0
        self._invitations: set[str] = set()

    def message(self, raw: bytes, inside: int = 0) -> list[Form]:
        """The texts of a message that is inside so many others."""
        return self._part(self._split(raw), inside)

    def text_files(self) -> list[Form]:
        """The first file that is text: some software declares the text of a message to be a file."""
        return [self._text(part) for part in self._text_files[:1]]

    def _split(self, raw: bytes) -> _Part:
        lines, multiparts = count_lines(raw), len(_BOUNDARY.findall(raw))
        if lines > _LINES_MAX:
            raise Unreadable(f"The message has more than {_LINES_MAX:,} lines.")
        if multiparts > _MULTIPARTS_MAX or lines * multiparts > _LINES_AND_MULTIPARTS_MAX:
            raise Unreadable(f"The message has too many nested parts: {multiparts} in {lines:,} lines.")

        def counted(policy: Any = None) -> _Part:
            self._parts += 1
            if self._parts > _PARTS_MAX:
                raise Unreadable(f"The message has more than {_PARTS_MAX} parts.")
            return _Part(policy=policy)

        return cast(_Part, BytesParser(counted, policy=_Policy()).parsebytes(raw))

    def _part(self, part: _Part, inside: int) -> list[Form]:
        kind = part.kind
        if kind.startswith("multipart/"):
            return self._multipart(part, inside)
        if kind in _MESSAGES:
            return self._forwarded(part, inside)
        if kind in _TNEF or part.name.lower() == "winmail.dat":
            return self._tnef(part.data, inside)
        if kind in _SMIME or part.name.lower() == "smime.p7m":
            return self._smime(part, inside)
        if kind in _CALENDAR or part.name.lower().endswith(".ics"):
            return self._calendar(part)
        if kind in _OTHER_HTML:
            return []
        if kind in _RTF and not part.is_file:
            self._file(part)
            return _shown(rtf.to_text(part.data))
        if part.is_file or kind in _NO_TEXT or not (kind.startswith("text/") or kind in _HTML | _REPORTS):
            self._file(part)
            return []
        return _if_said(self._text(part))

    def _multipart(self, part: _Part, inside: int) -> list[Form]:
        if not part.is_multipart():
            found = _FIRST_BOUNDARY.match(part.source)
            if found is None or found[1].decode("ascii", "replace") == part.parameters.get("boundary"):
                return _if_said(self._text(part)) or self._stray_text(part)
            # The boundary is not the declared one.
            head = b'Content-Type: %b; boundary="%b"\n\n' % (part.kind.encode(), found[1])
            return self._part(self._split(head + part.source), inside)
        if part.kind == "multipart/encrypted":
            self.remarks.append(_ENCRYPTED.format("PGP"))
        forms = [self._part(child, inside) for child in part.get_payload() if isinstance(child, _Part)]
        if part.kind == "multipart/alternative":
            invited = [form for each in forms for form in each if form.besides]
            chosen = best([joined([form for form in each if not form.besides]) for each in forms])
            return [*_if_said(chosen), *invited]
        return [form for each in forms for form in each] or self._stray_text(part)

    def _stray_text(self, part: _Part) -> list[Form]:
        """The text around the parts of a message whose boundaries are broken."""
        text = "\n\n".join(filter(None, (part.preamble, part.epilogue)))
        if self.files or "mime" in text.lower():  # as in the usual preamble
            return []
        return _if_said(Form(tidy(decoded(self._bounded(text.encode("utf-8", "surrogateescape"))))))

    def _text(self, part: _Part) -> Form:
        data, charset = part.data, part.parameters.get("charset")
        if part.kind in _HTML:
            data, images = without_images(data)
            for content_type, image in images:
                self._add("", content_type, image, inline=True)
            return Form(html=tidy(decoded(self._bounded(data), charset, declared_in_html(data))))
        data, files = without_files(data)
        for name, file in files:
            self._add(decoded(name), "application/octet-stream", file)
        text = tidy(decoded(self._bounded(data), charset))
        if part.kind in _ENRICHED:
            return Form(unenriched(text))
        if part.parameters.get("format", "").lower() == "flowed":
            text = unflowed(text, delete_space=part.parameters.get("delsp", "").lower() == "yes")
        text, encrypted = unarmoured(text)
        for block in encrypted:
            self.remarks.append(_ENCRYPTED.format("PGP"))
            self._add("encrypted.asc", "application/pgp-encrypted", block.encode())
        return Form(text)

    def _forwarded(self, part: _Part, inside: int) -> list[Form]:
        """The header lines and the text of a message that is part of this one. Only the outermost one is a file, which
        has those inside it, but the files in all of them are, too."""
        if inside == 0:
            self._file(part, "forwarded.eml")
        if inside >= _INSIDE_MAX:
            return []
        message = self._split(part.data)
        whole = joined(self._part(message, inside + 1))
        names = ("from", "to", "cc", "date", "subject")
        lines = [f"{name.title()}: {decoded_line(message.field(name), 500)}" for name in names if message.field(name)]
        text = whole.plain.strip() or html_to_text(whole.html)
        return _shown("\n".join(("---------- Forwarded message ----------", *lines, "", text)))

    def _tnef(self, data: bytes, inside: int) -> list[Form]:
        try:
            packed = tnef.unpack(data)
        except tnef.Broken:
            packed = tnef.Packed()
        if packed == tnef.Packed():
            self._add("winmail.dat", tnef.CONTENT_TYPE, data)
            self.remarks.append(_UNREADABLE_TNEF)
            return []
        forms: list[Form] = []
        for file in packed.files:
            if file.content_type == tnef.CONTENT_TYPE and inside < _INSIDE_MAX:
                forms += self._tnef(file.data, inside + 1)
            else:
                self._add(file.name, file.content_type or "application/octet-stream", file.data)
        plain = packed.plain or ("" if packed.html else rtf.to_text(packed.rtf))
        self._bounded(plain.encode() + packed.html.encode())
        return [*_if_said(Form(tidy(plain), tidy(packed.html), packed=True)), *forms]

    def _smime(self, part: _Part, inside: int) -> list[Form]:
        signed = smime.signed_content(part.data) if inside < _INSIDE_MAX else None
        if signed is not None:
            return self.message(signed, inside + 1)
        self._file(part)
        self.remarks.append(_ENCRYPTED.format("S/MIME"))
        return []

    def _calendar(self, part: _Part) -> list[Form]:
        self._file(part, "invitation.ics")
        described = invitations.described(part.data)
        if described in self._invitations:
            return []
        self._invitations.add(described)
        return _shown(described)

    def _file(self, part: _Part, name: str = "") -> None:
        if part.kind in ("text/plain", *_HTML):
            self._text_files.append(part)
        data = part.data if not part.is_multipart() else b""
        inline = part["content-id"] is not None and part.get_content_disposition() != "attachment"
        self._add(part.name or name, part.kind, data, inline=inline)

    def _add(self, name: str, content_type: str, data: bytes, *, inline: bool = False) -> None:
        name, content_type = decoded_line(name, limits.NAME_MAX), decoded_line(content_type, limits.NAME_MAX)
        file = IncomingFile(name, content_type, data, inline)
        if len(self.files) == _FILES_MAX:
            self.remarks.append(_TOO_MANY)
        else:
            self.files.append(file)

    def _bounded(self, data: bytes) -> bytes:
        """The data, or its beginning if the texts read before leave no room for more."""
        room = _TEXT_BYTES_MAX - self._text_bytes
        self._text_bytes += min(len(data), room)
        if len(data) > room:
            self.remarks.append(_TOO_LONG)
        return data[:room]


def _if_said(form: Form) -> list[Form]:
    return [form] if form.plain.strip() or form.html.strip() else []


def _shown(text: str) -> list[Form]:
    """A text that is shown besides any other."""
    return [Form(shortened(text, _FORWARDED_MAX), besides=True)] if text else []


def count_lines(raw: bytes) -> int:
    """The number of lines, however they end."""
    return max(raw.count(b"\n"), raw.count(b"\r"))
