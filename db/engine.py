"""The connection pool. One for each process, shared by everything in it.

What the settings below are for: times in UTC so that row images and JSON are too; no JIT, which costs more than these
statements take; and an end to whatever runs, waits for a lock, or idles in a transaction for too long.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson

STATEMENT_TIMEOUT = "10s"
LOCK_TIMEOUT = "5s"
IDLE_TIMEOUT = "30s"


def normalised(url: str) -> str:
    """The URL as asyncpg takes it: SQLAlchemy's `postgresql+asyncpg://` is accepted too."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


async def _keep(connection: Any) -> None:
    """Nothing to reset when a connection is given back: no statement here leaves state in a session."""


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # JSON goes to the client as PostgreSQL wrote it; bytes are not made a string on the way.
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=orjson.dumps, decoder=_unchanged
    )


def _unchanged(document: bytes) -> bytes:
    return document


async def open_pool(url: str, *, size: int = 10) -> asyncpg.Pool[asyncpg.Record]:
    """Up to `size` connections, opened as they are needed. Raises asyncpg's and the system's errors."""
    return await asyncpg.create_pool(
        normalised(url),
        min_size=1,
        max_size=size,
        init=_prepare,
        reset=_keep,
        timeout=10,
        command_timeout=30,
        statement_cache_size=256,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings={
            "application_name": "callout",
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": STATEMENT_TIMEOUT,
            "lock_timeout": LOCK_TIMEOUT,
            "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
        },
    )
