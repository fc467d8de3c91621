"""Content codings: the compression of answers and of requests' bodies (RFC 9110, sections 8.4 and 12.5.3).

What a compressed answer contains could be guessed from its length by somebody who sees the length and can have text of
their own put into the same answer (BREACH). So answers with secrets are never compressed:
`docs/decisions/compression.md`.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import brotli  # type: ignore[import-untyped]

from callout.http.errors import HttpError
from callout.http.ranges import ranges

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSED_FROM: Final = 1_024
"""Bytes; a shorter answer fits into one packet, compressed or not."""

_LONG: Final = 100_000  # bytes; compressing more takes milliseconds, and is done in a thread
_WINDOW_LOG_MAX: Final = 23  # 8 MiB, the most that a decoder has to have (RFC 8878, section 3.1.1.1.2)
# The levels at which a list of 44 KB takes 0.1 (zstd), 0.3 (brotli) and 0.5 ms (gzip).
_ZSTD_LEVEL, _BROTLI_QUALITY, _GZIP_LEVEL = 3, 3, 4
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS

Coding: TypeAlias = Callable[[bytes], bytes]


class UnsupportedCoding(HttpError):
    """The body has a coding that is not known."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    default = "The body's Content-Encoding must be gzip, br, zstd or deflate, and only one of them."
    headers = ((b"accept-encoding", b"gzip, br, zstd, deflate"),)


class BadCoding(HttpError):
    """The body does not have the coding that it declares."""

    status = 400
    code = "BAD_REQUEST"
    default = "The body is not compressed as its Content-Encoding says."


def _zstd(body: bytes) -> bytes:
    return zstd.compress(body, _ZSTD_LEVEL)


def _brotli(body: bytes) -> bytes:
    return bytes(brotli.compress(body, quality=_BROTLI_QUALITY))


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, _GZIP_LEVEL, _GZIP_BITS)


_CODINGS: Final[Mapping[bytes, Coding]] = {b"zstd": _zstd, b"br": _brotli, b"gzip": _gzip}
"""The codings of answers, the best first."""


@lru_cache(maxsize=64)  # a client sends the same each time
def accepted_coding(accept_encoding: bytes) -> bytes | None:
    """The coding that the client prefers; the first of ours if several are equal, and None if it accepts none of them,
    or prefers what is not compressed."""
    qualities = dict(ranges(accept_encoding.lower().replace(b"x-gzip", b"gzip")))
    anything = qualities.get(b"*", 0.0)
    found = max(_CODINGS, key=lambda name: qualities.get(name, anything))
    quality = qualities.get(found, anything)
    return found if quality > 0 and quality >= qualities.get(b"identity", 0.0) else None


async def compressed(body: bytes, coding: bytes) -> bytes:
    """The body in one of the codings that `accepted_coding` returns."""
    compress = _CODINGS[coding]
    return compress(body) if len(body) < _LONG else await asyncio.to_thread(compress, body)


def decompressed(body: bytes, coding: bytes, most: int) -> bytes:
    """The body of a request without its coding, as far as `most` bytes and a few more. Raises `UnsupportedCoding`, and
    `BadCoding` if it does not have the coding or does not end with it."""
    decompress = _DECODERS.get(coding.strip().lower())
    if decompress is None:
        raise UnsupportedCoding
    try:
        return decompress(body, most + 1)
    except (zlib.error, zstd.ZstdError, brotli.error, EOFError, ValueError):
        raise BadCoding from None


def _inflated(body: bytes, most: int, bits: int) -> bytes:
    decoder = zlib.decompressobj(bits)
    found = decoder.decompress(body, most)
    return _whole(found, most, ended=decoder.eof, rest=decoder.unused_data)


def _of_zstd(body: bytes, most: int) -> bytes:
    decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
    found = decoder.decompress(body, most)
    return _whole(found, most, ended=decoder.eof, rest=decoder.unused_data)


def _of_brotli(body: bytes, most: int) -> bytes:
    decoder = brotli.Decompressor()
    found = decoder.process(body, output_buffer_limit=most)
    return _whole(found, most, ended=decoder.is_finished(), rest=b"")


def _whole(found: bytes, most: int, *, ended: bool, rest: bytes) -> bytes:
    if len(found) < most and (not ended or rest):
        raise BadCoding
    return found


_DECODERS: Final[Mapping[bytes, Callable[[bytes, int], bytes]]] = {
    b"identity": lambda body, most: body,
    b"gzip": lambda body, most: _inflated(body, most, _GZIP_BITS),
    b"x-gzip": lambda body, most: _inflated(body, most, _GZIP_BITS),
    b"deflate": lambda body, most: _inflated(body, most, zlib.MAX_WBITS),
    b"br": _of_brotli,
    b"zstd": _of_zstd,
}
