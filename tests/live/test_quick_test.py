"""The quick test and the statements of families, for random streams on a random event log.

The quick test must rule out no event that concerns a stream, which the stream's statement decides, and nearly all
others. A statement for a whole family must return the same messages as one for each of its feeds.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import orjson
import pytest
from graphql import is_input_object_type

from callout.execution.prepare import Preparer
from callout.live.feeds import Feeds
from callout.live.screening import Screenings
from db.entities import TICKETS as LISTING
from db.enums import STAFF, Role, TicketCategory, TicketEventKind, TicketPriority, TicketSource, TicketStatus
from db.events import log as event_log
from db.events.event import IMAGES, READ, Event
from db.ids import new_id
from db.lists.criteria import Slots
from db.lists.shapes import CriteriaShape
from db.postgres.pool import Database
from db.stream_filter import StreamFilter
from db.viewer import Viewer
from pubsub.feed import Feed, Message
from resolvers.ticket import draw_reference
from schema import graphql_schema, schema
from tests.helpers.api import SCHEMA
from tests.helpers.attached_files import unsigned
from tests.helpers.budgets import free_budget
from tests.helpers.connecting import NO_PRESENCE

Filter: TypeAlias = dict[str, Any]

TICKETS, CHANGES, STREAMS = 40, 4, 100
SUBJECTS = ("Beeping panel", "Dark camera", "Stuck door")
RULED_OUT_MIN = 0.99  # of the events that do not concern a stream whose filter memory decides

CHANGED = """subscription($filter: TicketFilter) { ticketChanged(filter: $filter) {
    ... on TicketChange { change ticketId ticket { version subject } } } }"""
NOTED = """subscription($ticket: ID!) { noteAdded(ticketId: $ticket) { __typename } }"""
COUNTED = """subscription($filter: TicketFilter) { ticketCountsChanged(filter: $filter) { all } }"""

ADMIN = Viewer(Role.ADMIN, "boss", "The Boss")


@dataclass(frozen=True)
class World:
    """An event log, its viewers, and the objects that its tickets refer to."""

    pool: Database
    preparer: Preparer
    events: Sequence[Event]
    viewers: Sequence[Viewer]
    technicians: Sequence[str]
    customers: Sequence[str]
    properties: Sequence[str]

    def feed(self, document: str, viewer: Viewer, **variables: Any) -> Feed:
        bound = self.preparer.bind_stream(*self.preparer.operation(document, None), variables, viewer)
        feeds = Feeds(self.pool, self.preparer.marks.position, unsigned, Screenings(self.pool), NO_PRESENCE)
        feed = feeds.feed(bound, viewer, free_budget())
        assert isinstance(feed, Feed)
        return feed

    def let_through(self, feed: Feed) -> set[str]:
        """Returns the events that the stream's statement would look up."""
        return {event.id for event in self.events if event.routes & feed.routes and feed.quick_test(event)}

    async def concern(self, feed: Feed) -> set[str]:
        """Returns the events that concern the stream, by its statement."""
        return {message.event for message in await feed.of([event.id for event in self.events])}


@pytest.fixture(scope="module")
async def world(database_url: str) -> AsyncIterator[World]:
    pick, pool = random.Random(14), await Database.open(database_url)
    technicians, customers, properties = ([new_id() for _ in range(3)] for _ in range(3))
    for n, (technician, customer, property_id) in enumerate(zip(technicians, customers, properties, strict=True)):
        await pool.execute("INSERT INTO technicians VALUES ($1, 'T', $2)", technician, f"t{n}@example.com")
        await pool.execute(
            "INSERT INTO customers (id, account_number, name, email) VALUES ($1, $2, 'C', $3)",
            *(customer, f"AC{n}", f"c{n}@example.com"),
        )
        await pool.execute("INSERT INTO properties VALUES ($1, $2, 'Elm', $3)", property_id, customer, f"P{n}")
    await pool.execute("UPDATE technicians SET active = false WHERE id = $1", technicians[2])
    viewers = [ADMIN, Viewer(Role.SERVICE, "chatbot", "Chatbot")]
    viewers += [Viewer(Role.TECHNICIAN, key, "T") for key in technicians[:2]]
    viewers += [Viewer(Role.CUSTOMER, key, "C") for key in customers[:2]]
    homes = [(None, None), *((customer, None) for customer in customers), *zip(customers, properties, strict=True)]
    async with pool.acquire() as connection:
        for _ in range(TICKETS):
            await write_history(connection, pick, pick.choice(viewers), technicians, homes)
        await remove_columns(connection)
    rows = await pool.fetch(f"SELECT {READ} FROM ticket_events AS event {IMAGES} ORDER BY at, id")
    events = [Event.of(row) for row in rows]
    yield World(pool, Preparer(graphql_schema(schema)), events, viewers, technicians, customers, properties)
    await pool.close()


async def write_history(
    connection: Any,
    pick: random.Random,
    creator: Viewer,
    technicians: Sequence[str],
    homes: Sequence[tuple[str | None, str | None]],
) -> None:
    """Writes a ticket, changes to it, and an internal and a public note."""
    ticket = new_id()
    customer, property_id = pick.choice(homes)
    if creator.role is Role.CUSTOMER:
        customer, property_id = creator.id, None
    values = {
        "id": ticket,
        "reference": draw_reference(),
        "subject": pick.choice(SUBJECTS),
        "description": "d",
        "source": pick.choice(list(TicketSource)),
        "category": pick.choice(list(TicketCategory)),
        "priority": pick.choice(list(TicketPriority)),
        "creator_kind": creator.role,
        "creator_id": creator.id,
        "contact_name": "John Smith",
        "contact_email": "john@example.com",
        "contact_phone": pick.choice([None, "613-555-0142"]),
        "customer_id": customer,
        "property_id": property_id,
        "technician_id": pick.choice([None, *technicians]),
        "created_at": datetime.fromisoformat("2026-03-01T12:00Z") + timedelta(hours=pick.randrange(100)),
    }
    assert await event_log.create(connection, creator, values)
    for _ in range(CHANGES):
        customer, property_id = pick.choice(homes)
        changes: list[dict[str, Any]] = [
            {"status": pick.choice([TicketStatus.OPEN, TicketStatus.IN_PROGRESS])},
            {"priority": pick.choice(list(TicketPriority))},
            {"category": pick.choice(list(TicketCategory)), "subject": pick.choice(SUBJECTS)},
            {"technician_id": pick.choice([None, *technicians])},
            {"assignment_state": pick.choice(["ACCEPTED", "EN_ROUTE"]), "assignment_overdue": pick.random() < 0.5},
            {"customer_id": customer, "property_id": property_id},
        ]
        values = {name: value for change in pick.sample(changes, 2) for name, value in change.items()}
        await event_log.change(connection, ADMIN, ticket, TicketEventKind.UPDATED, values, {})
    for internal in (True, False):
        await event_log.note(connection, ADMIN, ticket, new_id(), "n", internal_only=internal)


async def remove_columns(connection: Any) -> None:
    """Makes some events look as if they were older than some of the columns that streams are filtered by."""
    await connection.execute("ALTER TABLE ticket_events DISABLE TRIGGER ticket_events_final")
    await connection.execute(
        "UPDATE ticket_events SET after = after - '{public_updated_at,source,category,assignment_overdue}'::text[]"
        " WHERE id IN (SELECT id FROM ticket_events ORDER BY at DESC LIMIT 20)"
    )
    await connection.execute("ALTER TABLE ticket_events ENABLE TRIGGER ticket_events_final")


def random_value(world: World, pick: random.Random, name: str) -> Any:
    """Returns a random value for a field of the filter."""
    words = {"status": TicketStatus, "priority": TicketPriority, "category": TicketCategory, "source": TicketSource}
    match name:
        case "ids":
            return [f"tkt_{event.ticket_id}" for event in pick.sample(world.events, pick.randint(0, 5))]
        case "status" | "priority" | "category" | "source":
            return [word.value for word in pick.sample(list(words[name]), pick.randint(0, 3))]
        case "assignee":
            assignee = {"technicianId": f"tec_{pick.choice(world.technicians)}"}
            kind = pick.choice(["technicianId", "unassigned", "me", "inactive"])
            return assignee if kind == "technicianId" else {kind: pick.random() < 0.5}
        case "assignmentState":
            return pick.sample(["OFFERED", "ACCEPTED", "EN_ROUTE"], pick.randint(0, 2))
        case "overdue":
            return pick.random() < 0.5
        case "customerId":
            return f"cus_{pick.choice(world.customers)}"
        case "propertyId":
            return f"prp_{pick.choice(world.properties)}"
        case "createdAt" | "updatedAt":
            images = [pick.choice(world.events).after for _ in range(2)]
            start, end = (image.created_at if name == "createdAt" else image.updated_at for image in images)
            assert start is not None and end is not None
            span = {"from": start.isoformat(), "until": end.isoformat()}
            return {end: span[end] for end in pick.sample(list(span), pick.randint(0, 2))}
        case "search":
            return pick.choice(["PANEL", "camera d", "oo", "smith", "smith pänel", "c", "+1 (613) 555-0142", "p1 elm"])
    raise AssertionError(f"random_value() has no values for {name}")


def is_decided_in_memory(filter: Filter) -> bool:
    return "search" not in str(filter) and "inactive" not in str(filter)


def filter_values(filter: Filter) -> Filter:
    """Returns the filter as the server reads it, with its times parsed."""
    values = dict(filter)
    for name in ("createdAt", "updatedAt"):
        if name in values:
            values[name] = {end: datetime.fromisoformat(time) for end, time in values[name].items()}
    for name in ("and", "or"):
        if name in values:
            values[name] = [filter_values(inner) for inner in values[name]]
    if "not" in values:
        values["not"] = filter_values(values["not"])
    return values


def random_filter(world: World, pick: random.Random, depth: int = 2) -> Filter:
    """Returns a random filter. It can have any field of `TicketFilter` but `text`, which streams refuse."""
    type_ = SCHEMA.type_map["TicketFilter"]
    assert is_input_object_type(type_)
    names = [name for name in type_.fields if name not in ("and", "or", "not", "text")]
    filter = {name: random_value(world, pick, name) for name in pick.sample(names, pick.choice([1, 1, 1, 2]))}
    for name in pick.sample(("and", "or", "not"), pick.choice([0, 0, 1, 2])) if depth else ():
        inner = [random_filter(world, pick, depth - 1) for _ in range(1 if name == "not" else pick.randint(0, 3))]
        filter[name] = inner[0] if name == "not" else inner
    return filter


async def test_the_quick_test_rules_out_nearly_all_events_that_do_not_concern_a_stream(world: World) -> None:
    pick = random.Random(7)
    ruled_out, others = 0, 0
    for _ in range(STREAMS):
        viewer, filter = pick.choice(world.viewers), random_filter(world, pick)
        feed = world.feed(CHANGED, viewer, filter=filter)
        concern, let_through = await world.concern(feed), world.let_through(feed)
        assert concern <= let_through, (viewer.role, filter)
        if is_decided_in_memory(filter):
            others += len(world.events) - len(concern)
            ruled_out += len(world.events) - len(let_through)
    assert others > 1_000
    assert ruled_out > RULED_OUT_MIN * others, f"{ruled_out:,} of {others:,} events are ruled out"


async def test_filters_that_memory_decides_give_the_same_changes_in_memory_as_in_the_database(world: World) -> None:
    """This includes whether a ticket enters or leaves a filtered list."""
    pick = random.Random(10)
    seen: Counter[str] = Counter()
    for _ in range(STREAMS):
        filter = random_filter(world, pick)
        if not is_decided_in_memory(filter):
            continue
        messages = await world.feed(CHANGED, ADMIN, filter=filter).of([event.id for event in world.events])
        sent = {message.event: orjson.loads(message.payload)["data"]["ticketChanged"] for message in messages}
        slots = Slots()
        shape = LISTING.criteria.read({"filter": filter_values(filter)}, slots)
        matches = LISTING.criteria.test(shape, slots.values, ADMIN)
        for event in world.events:
            was, now = event.before is not None and matches(event.before), matches(event.after)
            assert was is not None and now is not None
            change = {(True, True): "UPDATED", (False, True): "ENTERED", (True, False): "LEFT"}.get((was, now))
            assert change == sent.get(event.id, {}).get("change"), (filter, event)
            seen[str(change)] += 1
    assert min(seen.values()) > 100 and len(seen) == 4


async def test_viewers_see_in_memory_what_they_see_in_the_database(world: World) -> None:
    seen: Counter[tuple[Role, str]] = Counter()
    for viewer in world.viewers:
        messages = await world.feed(CHANGED, viewer, filter=None).of([event.id for event in world.events])
        sent = {message.event: orjson.loads(message.payload)["data"]["ticketChanged"] for message in messages}
        sees = StreamFilter.of(CriteriaShape(), ()).test(viewer)
        for event in world.events:
            if event.public or viewer.role in STAFF:
                was, now = event.before is not None and sees(event.before), sees(event.after)
                assert was is not None and now is not None
                change = {(True, True): "UPDATED", (False, True): "ENTERED", (True, False): "LEFT"}.get((was, now))
                assert change == sent.get(event.id, {}).get("change"), (viewer, event)
                seen[viewer.role, str(change)] += 1
    assert len(seen) > 9


async def test_a_familys_statement_returns_the_same_messages_as_one_for_each_feed(world: World) -> None:
    pick = random.Random(11)
    families: defaultdict[Hashable, dict[Hashable, Feed]] = defaultdict(dict)
    for viewer in world.viewers:
        for _ in range(25):
            feed = world.feed(CHANGED, viewer, filter=random_filter(world, pick, depth=pick.choice([0, 0, 2])))
            families[feed.family][feed.key] = feed
    assert max(map(len, families.values())) >= 15
    ids = [event.id for event in world.events]
    for family in families.values():
        feeds = list(family.values())
        together: defaultdict[int, list[Message]] = defaultdict(list)
        for message in await feeds[0].of_all(ids, feeds):
            for index in message.feeds:
                together[index].append(replace(message, feeds=[0]))
        for index, feed in enumerate(feeds):
            assert together[index] == await feed.of(ids)


async def test_a_stream_of_notes_looks_up_only_notes_that_the_viewer_may_see(world: World) -> None:
    pick = random.Random(8)
    for viewer in world.viewers:
        for event in pick.sample(world.events, 5):
            feed = world.feed(NOTED, viewer, ticket=f"tkt_{event.ticket_id}")
            concern, let_through = await world.concern(feed), world.let_through(feed)
            assert concern <= let_through
            assert len(let_through) == (2 if viewer.role in (Role.ADMIN, Role.TECHNICIAN) else 1)


async def test_counts_and_changes_with_the_same_filter_look_up_the_same_events(
    world: World,
) -> None:
    pick = random.Random(9)
    for viewer in world.viewers:
        filter = random_filter(world, pick)
        counts, changes = (world.feed(document, viewer, filter=filter) for document in (COUNTED, CHANGED))
        assert world.let_through(counts) == world.let_through(changes)
