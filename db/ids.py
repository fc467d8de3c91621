"""Identifiers: a UUIDv7 in the database, the *key*; for clients a global id, which is a prefix and the key
(`tkt_018f…`), so that an id of the wrong kind is rejected without a look-up."""

from __future__ import annotations

import os
import re
import time
import uuid

from db.errors import BadInput

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A new UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits. Ids created one after the
    other lie next to each other in an index."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds << 80) | random
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def split_id(global_id: str) -> tuple[str, str]:
    """The prefix and the key of a global id. Raises `BadInput` if it has no prefix; the key is not checked."""
    prefix, separator, key = global_id.partition("_")
    if not separator or not prefix:
        raise BadInput(f"{shown(global_id)} is not a valid id.")
    return prefix, key


def key_of(global_id: str, prefix: str, kind: str) -> str:
    """The key in `global_id`. Raises `BadInput` unless it is the id of a `kind`, with this prefix and a UUID."""
    found, key = split_id(global_id)
    if found != prefix or not _UUID.fullmatch(key):
        raise BadInput(f"{shown(global_id)} is not the id of a {kind}.")
    return key


def is_uuid(key: str) -> bool:
    """Whether the key is a UUID in lower case with hyphens, the only form that global ids use."""
    return _UUID.fullmatch(key) is not None


def shown(text: str) -> str:
    """The text as an error message quotes it: in double quotes, with unprintable characters replaced by `?`, and cut
    off after 60 characters."""
    shortened = text if len(text) <= 60 else text[:59] + "…"
    return '"' + "".join(c if c.isprintable() else "?" for c in shortened) + '"'
