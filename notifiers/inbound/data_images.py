"""Images that HTML has within itself (`data:` URLs, RFC 2397)."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from urllib.parse import unquote_to_bytes

_IMAGES_MAX = 100

_IMAGE = re.compile(
    rb"""(["'(])data:(image/[\w.+-]{1,40})(?:;[\w=-]{1,40})*;base64,([A-Za-z0-9+/=%\s]+)""", re.IGNORECASE
)


def without_images(html: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The HTML without the images, and their types and bytes."""
    images: list[tuple[str, bytes]] = []

    def taken(found: re.Match[bytes]) -> bytes:
        try:
            data = a2b_base64(unquote_to_bytes(found[3]))
        except Error:
            return found[0]
        if data and len(images) < _IMAGES_MAX:
            images.append((found[2].decode().lower(), data))
        return found[1]

    return _IMAGE.sub(taken, html), images
