"""When the file worker looks for files: a database that counts the looks, and a bell that the test rings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from callout.files.worker import LOOKING_SECONDS, FileWorker
from db.object_store import ObjectStore
from db.postgres.pool import Database


class Nothing:
    """A database without files. `looks` has an item for each time that somebody looks for one."""

    def __init__(self) -> None:
        self.looks: asyncio.Queue[None] = asyncio.Queue()

    async def fetchrow(self, *_: Any) -> None:
        self.looks.put_nowait(None)


async def test_the_worker_looks_when_the_bell_rings(tmp_path: Path) -> None:
    database, rings, waited = Nothing(), asyncio.Queue[None](), []

    async def heard(seconds: float) -> None:
        waited.append(seconds)
        await rings.get()

    worker = FileWorker(
        cast("Database", database), ObjectStore(None, tmp_path), None, heard=heard, written=lambda: None
    )
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(30):
            await database.looks.get()
            for _ in range(3):
                assert database.looks.empty()
                rings.put_nowait(None)
                await database.looks.get()
    finally:
        running.cancel()
    assert set(waited) == {LOOKING_SECONDS}
