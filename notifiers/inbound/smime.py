"""The content of opaquely signed messages (S/MIME, RFC 8551): the signature encloses the text, in BER."""

from __future__ import annotations

from typing import NamedTuple

_DEPTH_MAX = 12
_ELEMENTS_MAX = 50_000

SIGNED = bytes.fromhex("06092a864886f70d010702")
ENVELOPED = bytes.fromhex("06092a864886f70d010703")

_SEQUENCE, _OCTETS, _OCTETS_IN_PIECES = 0x30, 0x04, 0x24


class _Element(NamedTuple):
    tag: int
    start: int  # of the content
    stop: int
    end: int  # of the element, after the two zeros that close one of indefinite length


class _Broken(Exception):
    """The bytes are not BER."""


def signed_content(data: bytes) -> bytes | None:
    """The signed bytes in a `ContentInfo`; None if it has none, because it is encrypted, compressed or broken."""
    if SIGNED not in data[:40]:
        return None
    try:
        return _Ber(data).signed_content()
    except (_Broken, IndexError, StopIteration):
        return None


class _Ber:
    """Reads BER. Raises `_Broken` if it has too many elements."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._elements = 0

    def signed_content(self) -> bytes:
        info = self._children(self._element(0))
        signed = self._children(self._children(info[1])[0])
        enclosed = self._children(next(each for each in signed if each.tag == _SEQUENCE))
        return self._octets(self._children(enclosed[1])[0])

    def _octets(self, element: _Element) -> bytes:
        if element.tag == _OCTETS:
            return self._data[element.start : element.stop]
        if element.tag != _OCTETS_IN_PIECES:
            raise _Broken
        return b"".join(self._data[piece.start : piece.stop] for piece in self._children(element))

    def _children(self, element: _Element) -> list[_Element]:
        found: list[_Element] = []
        at = element.start
        while at < element.stop:
            found.append(self._element(at))
            at = found[-1].end
        return found

    def _element(self, at: int, depth: int = 0) -> _Element:
        self._elements += 1
        if at + 2 > len(self._data) or depth > _DEPTH_MAX or self._elements > _ELEMENTS_MAX:
            raise _Broken
        tag, length, start = self._data[at], self._data[at + 1], at + 2
        if length == 0x80:
            stop = start
            while self._data[stop : stop + 2] != b"\0\0":
                stop = self._element(stop, depth + 1).end
            return _Element(tag, start, stop, stop + 2)
        if length > 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(self._data[start : start + size]), start + size
        if start + length > len(self._data):
            raise _Broken
        return _Element(tag, start, start + length, start + length)
