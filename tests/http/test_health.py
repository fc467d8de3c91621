"""Readiness: how often the database is queried, and how its answers are reported."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from callout import health
from callout.health import (
    STANDBY,
    DatabaseConnectionsExhausted,
    DatabaseFull,
    DatabaseNotMigrated,
    DatabaseReadOnly,
    DatabaseUnreachable,
    Readiness,
)
from callout.http.errors import HttpError
from db.postgres.revisions import Code


class CountingDatabase:
    """A database that counts its queries, and answers while `answering` is set."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.standby = self.read_only = False
        self.times = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        self.times += 1
        await self.answering.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return {
            "revision": self.answer,
            "oldest_code": None,
            "standby": self.standby,
            "read_only": self.read_only,
        }


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(health, "monotonic", clock)
    return clock


def readiness(database: CountingDatabase) -> Readiness:
    return Readiness(database, Code(("6", "7"), "7"))  # type: ignore[arg-type]  # only `fetchrow` is used


async def test_concurrent_checks_share_one_query() -> None:
    database = CountingDatabase("7")
    database.answering.clear()
    asked = readiness(database)
    asking = [asyncio.create_task(asked.check()) for _ in range(20)]
    await asyncio.sleep(0)
    database.answering.set()
    await asyncio.gather(*asking)
    assert database.times == 1


async def test_a_result_is_cached_for_a_second(clock: Clock) -> None:
    database = CountingDatabase("7")
    asked = readiness(database)
    await asked.check()
    database.answer = "6"
    clock.now += 0.9
    await asked.check()
    assert database.times == 1
    clock.now += 0.1
    for _ in range(2):
        with pytest.raises(DatabaseNotMigrated) as refused:
            await asked.check()
        assert refused.value.reason == "at revision 6, not 7: run `callout migrate`"
    assert database.times == 2
    clock.now += 1
    database.answer = "7"
    await asked.check()


@pytest.mark.parametrize(
    ("answer", "problem", "reason"),
    [
        (
            asyncpg.UndefinedTableError("no table"),
            DatabaseNotMigrated,
            "at revision none, not 7: run `callout migrate`",
        ),
        (asyncpg.CannotConnectNowError("starting up"), DatabaseUnreachable, "CannotConnectNowError('starting up')"),
        (asyncpg.InterfaceError("closed"), DatabaseUnreachable, "InterfaceError('closed')"),
        (asyncpg.TooManyConnectionsError("no"), DatabaseConnectionsExhausted, "TooManyConnectionsError('no')"),
        (asyncpg.DiskFullError("no room"), DatabaseFull, "DiskFullError('no room')"),
        (OSError("refused"), DatabaseUnreachable, "OSError('refused')"),
        (TimeoutError(), DatabaseUnreachable, "TimeoutError()"),
    ],
)
async def test_each_failure_is_reported_with_its_reason(
    answer: Exception, problem: type[HttpError], reason: str
) -> None:
    with pytest.raises(problem) as refused:
        await readiness(CountingDatabase(answer)).check()
    assert (refused.value.status, refused.value.reason) == (503, reason)


@pytest.mark.parametrize("standby", [True, False])
async def test_a_database_that_accepts_no_writes_is_reported(standby: bool) -> None:
    database = CountingDatabase("7")
    database.standby, database.read_only = standby, True  # every transaction of a standby is read-only
    with pytest.raises(DatabaseReadOnly) as refused:
        await readiness(database).check()
    assert (refused.value.message == STANDBY) == standby


async def test_a_silent_database_is_unreachable_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(health, "REMEMBER_SECONDS", 0.0)
    database = CountingDatabase("7")
    database.answering.clear()
    asked = readiness(database)
    for _ in range(2):
        with pytest.raises(DatabaseUnreachable) as refused:
            await asked.check()
        assert refused.value.reason == "timed out"
    assert database.times == 1  # not queried again before it has answered
    database.answering.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asked.check()


async def test_closing_cancels_a_pending_check() -> None:
    database = CountingDatabase("7")
    database.answering.clear()
    asked = readiness(database)
    checking = asyncio.create_task(asked.check())
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await asked.close()
    assert asked._asking is not None and asked._asking.cancelled()
    checking.cancel()
    await readiness(CountingDatabase("7")).close()
