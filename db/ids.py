"""Identifiers: UUIDv7 in the database, a prefix and the UUID for clients (`tkt_018f…`), so that an id of the wrong
kind is recognised before it is looked up."""

from __future__ import annotations

import os
import re
import time
import uuid

from db.errors import BadInput

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then randomness, so that ids made one after
    another lie beside each other in an index."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds << 80) | random
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def split_id(global_id: str) -> tuple[str, str]:
    """The prefix and the key of a global id; raises `BadInput` if it has no such form."""
    prefix, separator, key = global_id.partition("_")
    if not separator or not prefix:
        raise BadInput(f"{shown(global_id)} is not a valid id.")
    return prefix, key


def key_of(global_id: str, prefix: str, kind: str) -> str:
    """The UUID in `global_id`, which must be the id of a `kind`; raises `BadInput` otherwise."""
    found, key = split_id(global_id)
    if found != prefix or not _UUID.fullmatch(key):
        raise BadInput(f"{shown(global_id)} is not the id of a {kind}.")
    return key


def is_uuid(key: str) -> bool:
    return _UUID.fullmatch(key) is not None


def shown(text: str) -> str:
    """`text` fit for an error message: quoted, printable, at most 60 characters."""
    shortened = text if len(text) <= 60 else text[:59] + "…"
    return '"' + "".join(c if c.isprintable() else "?" for c in shortened) + '"'
