"""What a live window reads of the database: only what an event leaves open, and nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from callout.execution.budgets import Allowance, Budget
from callout.execution.prepare import Preparer
from callout.live.feeds import Feeds
from callout.live.screening import Screenings
from callout.live.window_feed import PAUSE_SECONDS_MAX, TicketWindowFeed
from db.enums import Role
from db.events.event import IMAGES, READ, Event
from db.events.position import NOW
from db.events.stream_cursor import Unsettled
from db.ids import new_id
from db.postgres.pool import Database
from db.viewer import Viewer
from schema import graphql_schema, schema
from tests.helpers.attached_files import unsigned
from tests.helpers.budgets import free_budget
from tests.helpers.connecting import NO_PRESENCE
from tests.helpers.counting import change, create
from tests.helpers.database_checks import Database as Connection
from tests.helpers.live_lists import LIVE

ADMIN = Viewer(Role.ADMIN, "boss", "The Boss")
OTHER_ADMIN = Viewer(Role.ADMIN, "other", "Another Boss")
BY = ("ADMIN", "boss")
OLD = datetime(2020, 1, 1, tzinfo=UTC)

Window = Callable[..., TicketWindowFeed]


class Asked(Database):
    """A pool that says which statements it has run since it was last asked: `whole` lists, or `tickets` by their ids.
    It fails as often as `failures` says."""

    @classmethod
    def around(cls, pool: Database) -> Asked:
        asked = cls.__new__(cls)
        asked.__dict__ |= pool.__dict__
        asked.statements, asked.failures = [], 0
        return asked

    statements: list[str]
    failures: int

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError
        if "edge0" in query:
            self.statements.append("whole" if "AS position" in query else "tickets")
        return await super().fetch(query, *args)

    def lately(self) -> list[str]:
        statements, self.statements = self.statements, []
        return statements


@pytest.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[Asked]:
    pool = await Database.open(database_url)
    yield Asked.around(pool)
    await pool.close()


@pytest.fixture(scope="module")
def preparer() -> Preparer:
    return Preparer(graphql_schema(schema))


@pytest.fixture
async def technician(database: Connection) -> str:
    key = new_id()
    await database.execute("INSERT INTO technicians VALUES ($1, 'T', $2)", key, f"{key}@example.com")
    return key


@pytest.fixture
def window(pool: Asked, preparer: Preparer, technician: str) -> Window:
    """Makes windows of two tickets of the technician, who has none at first; the newest come first."""

    def made(viewer: Viewer = ADMIN, budget: Budget | None = None, **variables: Any) -> TicketWindowFeed:
        given = {"filter": mine(technician), "first": 2} | variables
        bound = preparer.bind_stream(*preparer.operation(LIVE, None), given, viewer)
        mark = preparer.marks.position
        feeds = Feeds(pool, mark, unsigned, Screenings(pool), NO_PRESENCE)
        feed = feeds.feed(bound, viewer, budget or free_budget())
        assert isinstance(feed, TicketWindowFeed)
        return feed

    return made


def mine(technician: str) -> dict[str, Any]:
    return {"assignee": {"technicianId": f"tec_{technician}"}}


async def now(pool: Database) -> str:
    position: str = await pool.fetchval(f"SELECT {NOW}")
    return position


async def latest(pool: Database) -> Event:
    row = await pool.fetchrow(f"SELECT {READ} FROM ticket_events AS event {IMAGES} ORDER BY event.xid DESC LIMIT 1")
    return Event.of(row)


def patched(payload: bytes | None) -> tuple[int, list[str]]:
    """The total in a patch, and the kinds of its operations."""
    assert payload is not None
    message = orjson.loads(payload)["data"]["ticketsLive"]
    return message["totalCount"], [each["__typename"].removeprefix("Window") for each in message["operations"]]


async def test_an_event_that_the_list_has_been_read_with_is_not_counted_again(
    pool: Asked, database: Connection, technician: str, window: Window
) -> None:
    feed = window()
    await create(database, BY, technician_id=technician)
    event = await latest(pool)
    read = await feed.read(await now(pool))
    assert read.patch is None
    assert orjson.loads(read.snapshot)["data"]["ticketsLive"]["totalCount"] == 1
    pool.lately()
    assert await feed.update([event], await now(pool)) is None
    assert pool.lately() == []


async def test_an_event_reads_no_more_than_its_ticket(
    pool: Asked, database: Connection, technician: str, window: Window
) -> None:
    feed = window()
    await feed.read(await now(pool))
    pool.lately()
    ticket = await create(database, BY, technician_id=technician)
    assert patched(await feed.update([await latest(pool)], await now(pool))) == (1, ["Insert"])
    await change(database, ticket, "UPDATED", "priority = 'URGENT'")
    assert patched(await feed.update([await latest(pool)], await now(pool))) == (1, ["Replace"])
    await change(database, ticket, "UPDATED", "technician_id = NULL")
    assert patched(await feed.update([await latest(pool)], await now(pool))) == (0, ["Remove"])
    assert pool.lately() == ["tickets"] * 3


async def test_an_event_below_the_window_reads_nothing(
    pool: Asked, database: Connection, technician: str, window: Window
) -> None:
    old = await create(database, BY, technician_id=technician, created_at=OLD)
    for _ in range(12):
        await create(database, BY, technician_id=technician)
    feed = window()
    await feed.read(await now(pool))
    pool.lately()
    await change(database, old, "UPDATED", "priority = 'URGENT'")
    assert await feed.update([await latest(pool)], await now(pool)) is None
    await change(database, old, "UPDATED", "technician_id = NULL")
    assert patched(await feed.update([await latest(pool)], await now(pool))) == (12, [])
    assert pool.lately() == []


async def test_rows_that_run_out_are_read_anew(
    pool: Asked, database: Connection, technician: str, window: Window
) -> None:
    tickets = [await create(database, BY, technician_id=technician) for _ in range(13)]
    feed = window()
    await feed.read(await now(pool))
    pool.lately()
    for number in range(12, 1, -1):
        await change(database, tickets[number], "UPDATED", "technician_id = NULL")
        assert patched(await feed.update([await latest(pool)], await now(pool))) == (number, ["Remove", "Insert"])
    assert pool.lately().count("whole") == 1


async def test_more_tickets_than_the_window_holds_are_not_read_one_by_one(
    pool: Asked, database: Connection, technician: str, window: Window
) -> None:
    feed = window()
    await feed.read(await now(pool))
    events = []
    for _ in range(3):
        await create(database, BY, technician_id=technician)
        events.append(await latest(pool))
    pool.lately()
    assert patched(await feed.update(events, await now(pool))) == (3, ["Insert", "Insert"])
    assert pool.lately() == ["whole"]


async def test_a_filter_that_the_database_decides_reads_the_list(
    pool: Asked, database: Connection, technician: str, window: Window
) -> None:
    feed = window(filter=mine(technician) | {"search": "panel"})
    await feed.read(await now(pool))
    await create(database, BY, technician_id=technician)
    pool.lately()
    assert patched(await feed.update([await latest(pool)], await now(pool))) == (1, ["Insert"])
    assert pool.lately() == ["whole"]


async def test_an_order_that_only_the_database_has_reads_the_list(
    pool: Asked, database: Connection, technician: str, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.ticket_window.order_of", lambda root, shape, role: None)
    feed = window()
    await feed.read(await now(pool))
    for number in range(1, 4):
        await create(database, BY, technician_id=technician)
        pool.lately()
        operations = ["Insert"] if number < 3 else ["Remove", "Insert"]
        assert patched(await feed.update([await latest(pool)], await now(pool))) == (number, operations)
        assert pool.lately() == ["whole"]


async def test_an_update_that_has_failed_is_repeated_as_if_it_had_not_begun(
    pool: Asked, database: Connection, technician: str, window: Window
) -> None:
    feed = window()
    await feed.read(await now(pool))
    await create(database, BY, technician_id=technician)
    event, pool.failures = await latest(pool), 1
    with pytest.raises(ConnectionResetError):
        await feed.update([event], await now(pool))
    assert patched(await feed.update([event], await now(pool))) == (1, ["Insert"])


async def test_a_database_that_lacks_what_the_server_has_seen_is_not_believed(pool: Asked, window: Window) -> None:
    """As a standby that has been promoted, until the server has noticed."""
    with pytest.raises(Unsettled):
        await window().read("999999999:999999999:/0")


def test_a_viewer_waits_whose_budget_is_overdrawn(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callout.execution.budgets.monotonic", lambda: 0.0)
    budget = Budget(Allowance(60.0, 2))
    feed = window(Viewer(Role.TECHNICIAN, new_id(), "T"), budget=budget)
    budget.owe(60.0)
    assert feed.pause == 0.0
    budget.owe(3.0)
    assert feed.pause == 3.0
    budget.owe(50.0)
    assert feed.pause == PAUSE_SECONDS_MAX


async def test_admins_who_share_a_window_share_the_price_of_reading_it(
    window: Window, pool: Asked, database: Connection, technician: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a filter that the database alone decides, each change reads the whole list. They are put off together, once
    none of them can pay; events that change a ticket only are free, because they cost little."""
    monkeypatch.setattr("callout.execution.budgets.monotonic", lambda: 0.0)
    budgets = [Budget(Allowance(60.0, 2)) for _ in range(2)]
    searched = {"filter": mine(technician) | {"search": "panel"}}
    feeds = [
        window(viewer, budget=budget, **searched) for viewer, budget in zip((ADMIN, OTHER_ADMIN), budgets, strict=True)
    ]
    shared = feeds[0]
    for feed in feeds:
        shared.admit(feed)
    await create(database, BY, technician_id=technician)

    async def spent(feed: TicketWindowFeed) -> list[float]:
        before = [budget.bucket.points(0.0) for budget in budgets]
        await feed.update([await latest(pool)], await now(pool))
        return [was - budget.bucket.points(0.0) for was, budget in zip(before, budgets, strict=True)]

    first, second = await spent(shared)
    assert first == second > 0
    budgets[0].owe(110.0)
    assert shared.pause == 0.0  # the other one can pay
    budgets[1].owe(62.0)
    assert shared.pause > 0.0
    shared.dismiss(feeds[1])
    assert shared.pause == PAUSE_SECONDS_MAX
    plain = window(ADMIN, budget=budgets[1])
    await plain.read(await now(pool))
    ticket = await pool.fetchval("SELECT id FROM tickets WHERE technician_id = $1::uuid", technician)
    await change(database, ticket, "UPDATED", "subject = 'New'")
    assert await spent(plain) == [0.0, 0.0]


def test_admins_share_a_window_and_others_do_not(window: Window) -> None:
    technicians = [Viewer(Role.TECHNICIAN, new_id(), "T") for _ in range(2)]
    assert window().key == window(OTHER_ADMIN).key
    keys = {
        feed.key
        for feed in (
            window(),
            window(first=3),
            window(filter={"category": ["ALARM"]}),
            window(orderBy=[{"field": "STATUS", "direction": "ASC"}]),
            *map(window, technicians),
        )
    }
    assert len(keys) == 6
