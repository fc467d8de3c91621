"""Reads `winmail.dat`, in which Exchange and Outlook pack a message (TNEF, [MS-OXTNEF]).

Only the text and the files are read. Every size in it is checked against the bytes that are there, as tnefparse does
not do (docs/decisions/inbound-mail-parts.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from notifiers.inbound import rtf
from notifiers.inbound.charsets import declared_in_html, decoded

CONTENT_TYPE = "application/ms-tnef"

_SIGNATURE = b"\x78\x9f\x3e\x22"
_OBJECTS_MAX = 5_000
_PROPERTIES_MAX = 2_000  # in one object
_FILES_MAX = 100

# Attributes ([MS-OXTNEF], section 2.1.3.3), without their types.
_BODY, _MESSAGE_PROPERTIES, _CODE_PAGE = 0x800C, 0x9003, 0x9007
_NEW_FILE, _FILE_DATA, _FILE_TITLE, _FILE_PROPERTIES = 0x9002, 0x800F, 0x8010, 0x9005

# Properties ([MS-OXPROPS]), without their types.
_TEXT, _OTHER_TEXT, _HTML, _RTF, _INTERNET_CODE_PAGE = 0x1000, 0x3FD9, 0x1013, 0x1009, 0x3FDE
_DATA, _FILE_NAME, _LONG_NAME, _CONTENT_TYPE = 0x3701, 0x3704, 0x3707, 0x370E

_FIXED = {0x02: 2, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 2, 0x14: 8, 0x40: 8, 0x48: 16}
_VARIABLE = {0x00, 0x0D, 0x1E, 0x1F, 0x102}
_STRING, _UNICODE = 0x1E, 0x1F
_OBJECT = 0x0D
_MULTIPLE = 0x1000
_NAMED = 0x8000


class Broken(Exception):
    """The bytes are no TNEF, or their sizes lie."""


@dataclass(slots=True)
class PackedFile:
    name: str = ""
    content_type: str = ""
    data: bytes = b""


@dataclass(slots=True)
class Packed:
    """What is packed in a `winmail.dat`. Texts are empty if there are none."""

    plain: str = ""
    html: str = ""
    rtf: bytes = b""
    files: list[PackedFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Property:
    tag: int
    kind: int
    value: bytes


def unpack(data: bytes) -> Packed:
    """Raises `Broken` if nothing can be read. What precedes a broken object is returned."""
    if not data.startswith(_SIGNATURE):
        raise Broken
    packed, code_page = Packed(), "windows-1252"
    try:
        for attribute, value in _objects(data):
            if attribute == _CODE_PAGE:
                code_page = f"cp{int.from_bytes(value[:4], 'little')}"
            elif attribute == _BODY:
                packed.plain = _text(value, code_page)
            elif attribute == _MESSAGE_PROPERTIES:
                _read_message(packed, list(_properties(value)), code_page)
            elif attribute == _NEW_FILE:
                if len(packed.files) == _FILES_MAX:
                    break
                packed.files.append(PackedFile())
            elif packed.files:
                _read_file(packed.files[-1], attribute, value, code_page)
    except Broken:
        if packed == Packed():
            raise
    return packed


def _read_message(packed: Packed, properties: list[_Property], code_page: str) -> None:
    pages = [int.from_bytes(each.value, "little") for each in properties if each.tag == _INTERNET_CODE_PAGE]
    for each in properties:
        if each.tag in (_TEXT, _OTHER_TEXT) and each.value:
            packed.plain = packed.plain or _string(each, code_page)
        elif each.tag == _RTF:
            packed.rtf = rtf.unpacked(each.value)
        elif each.tag == _HTML and each.value:
            charset = ("utf-8" if pages[0] == 65001 else f"cp{pages[0]}") if pages else None
            packed.html = (
                _string(each, code_page)
                if each.kind == _UNICODE
                else decoded(each.value.rstrip(b"\0"), charset, declared_in_html(each.value))
            )


def _read_file(file: PackedFile, attribute: int, value: bytes, code_page: str) -> None:
    if attribute == _FILE_DATA:
        file.data = value
    elif attribute == _FILE_TITLE:
        file.name = file.name or _text(value, code_page)
    elif attribute == _FILE_PROPERTIES:
        for each in _properties(value):
            if each.tag == _LONG_NAME or (each.tag == _FILE_NAME and not file.name):
                file.name = _string(each, code_page)
            elif each.tag == _CONTENT_TYPE:
                file.content_type = _string(each, code_page)
            elif each.tag == _DATA and each.kind == _OBJECT:
                file.data = each.value[16:]  # without the id of its interface
                if file.data.startswith(_SIGNATURE):
                    file.content_type = CONTENT_TYPE
            elif each.tag == _DATA and not file.data:
                file.data = each.value


def _objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes with their values: a level, the attribute, its type, a size, the value and a checksum."""
    at = 6
    for _ in range(_OBJECTS_MAX):
        if at == len(data):
            return
        if at + 9 > len(data):
            raise Broken
        size = int.from_bytes(data[at + 5 : at + 9], "little")
        if at + 9 + size > len(data):
            raise Broken
        yield int.from_bytes(data[at + 1 : at + 3], "little"), data[at + 9 : at + 9 + size]
        at += 11 + size


def _properties(data: bytes) -> Iterator[_Property]:
    """The MAPI properties in a value; those with several values have them joined."""
    reader = _Bytes(data)
    for _ in range(min(reader.number(), _PROPERTIES_MAX)):
        kind, tag = reader.number(2), reader.number(2)
        if tag >= _NAMED:
            reader.take(16)
            if reader.number():
                reader.padded(reader.number())
            else:
                reader.take(4)
        multiple, kind = bool(kind & _MULTIPLE), kind & ~_MULTIPLE
        values = reader.number() if multiple or kind in _VARIABLE else 1
        if kind in _VARIABLE:
            value = b"".join(reader.padded(reader.number()) for _ in range(min(values, _PROPERTIES_MAX)))
        elif kind in _FIXED:
            value = reader.padded(_FIXED[kind] * values)
        else:
            raise Broken
        yield _Property(tag, kind, value)


class _Bytes:
    """Takes values from the front of `data`. Raises `Broken` at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise Broken
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "little")

    def padded(self, size: int) -> bytes:
        """A value, which is followed by zeros up to a multiple of four bytes."""
        value = self.take(size)
        self._at += -size % 4
        return value


def _string(each: _Property, code_page: str) -> str:
    return _text(each.value, "utf-16-le" if each.kind == _UNICODE else code_page)


def _text(value: bytes, charset: str) -> str:
    return decoded(value, charset).rstrip("\0")
