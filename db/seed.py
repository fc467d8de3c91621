"""The demo company (being written)."""

from __future__ import annotations

import asyncpg

from db.seed_bulk import bulk as bulk


async def demo(connection: asyncpg.Connection[asyncpg.Record]) -> None: ...
