"""Tickets in bulk, for measuring: written with COPY, and distributed like those of a company after three years.

Old tickets are closed and new ones open, with a few exceptions. Some technicians and customers have far more tickets
than others. Words in subjects range from very frequent to unique, so that searches of any frequency can be measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Final

import asyncpg

from db.events import counts
from db.limits import REFERENCE_ALPHABET, REFERENCE_LENGTH, REFERENCE_PREFIX
from db.seed.words import DETAIL, DONE, FIRST, LAST, MODELS, NOTES, PLACE, STREET, SYSTEMS, TOWN, TRADE

Progress = Callable[[str, int, int], None]
"""Called with the name of the current part, the number done, and the total."""

YEARS: Final = 3
BATCH: Final = 10_000  # tickets generated and copied at a time
REBUILD_FROM: Final = 50_000  # with this many tickets it is quicker to drop and rebuild the indexes
NULL: Final = "\\N"
RARE: Final = "abcdefghijklmnopqrstuvwxyz"

TICKET_COLUMNS: Final = [
    "id",
    "reference",
    "version",
    "subject",
    "description",
    "status",
    "priority",
    "category",
    "source",
    "creator_kind",
    "creator_id",
    "contact_name",
    "contact_email",
    "contact_phone",
    "customer_id",
    "property_id",
    "technician_id",
    "resolution",
    "created_at",
    "updated_at",
    "public_updated_at",
    "resolved_at",
    "closed_at",
    "assignment_state",
    "assigned_at",
]
NOTE_COLUMNS: Final = [
    "id",
    "ticket_id",
    "customer_id",
    "body",
    "internal_only",
    "author_kind",
    "author_id",
    "author_name",
    "created_at",
]

CHAT_COLUMNS: Final = ["ticket_id", "creator_id", "conversation_id", "messages"]
ARTICLE_COLUMNS: Final = ["id", "problem", "solution", "published", "source_ticket_id", "created_at", "updated_at"]
CHAT_QUESTION: Final = "I am sorry to hear that. When did it start, and what have you tried so far?"


def falling(items: Iterable[str], rate: float) -> tuple[list[str], list[float]]:
    """The items, and their cumulative weights: each item has `rate` times the weight of the one before."""
    listed = list(items)
    return listed, list(accumulate(rate**i for i in range(len(listed))))


def uuid7(random: Random, at: float) -> str:
    """A UUIDv7 for a time in seconds since 1970."""
    bits = random.getrandbits(74)
    digits = f"{int(at * 1000):012x}7{bits >> 62:03x}{0x8000000000000000 | bits & 0x3FFFFFFFFFFFFFFF:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


class Company:
    """The customers, properties and technicians of the tickets, with account numbers that continue those in the
    database."""

    def __init__(self, random: Random, *, now: float, tickets: int, customers_from: int, properties_from: int) -> None:
        start = now - YEARS * 365 * 86_400
        self.customers: list[tuple[str, str, str, str]] = []  # id, name, email, phone
        self.customer_lines: list[str] = []
        self.properties: list[list[str]] = []  # ids, by the customer's index
        self.property_lines: list[str] = []
        self.technicians: list[str] = []
        self.technician_lines: list[str] = []

        for number in range(customers_from, customers_from + max(1, tickets // 10)):
            at = random.uniform(start, now)
            first, last = random.choice(FIRST), random.choice(LAST)
            name = f"{first} {last}" if random.random() < 0.8 else f"{last} {random.choice(TRADE)}"
            email = f"{first}.{last}.{number}@example.com".lower()
            phone = f"613-555-{number % 10_000:04d}"
            row = (uuid7(random, at), name, email, phone)
            self.customers.append(row)
            self.properties.append([])
            self.customer_lines.append(f"{row[0]}\tAC{number:08d}\t{name}\t{email}\t{phone}\t{stamp(at)}\n")

        for number in range(properties_from, properties_from + max(1, tickets * 3 // 20)):
            owner = random.randrange(len(self.customers))
            identity = uuid7(random, at := random.uniform(start, now))
            address = f"{random.randint(1, 2999)} {random.choice(STREET)} Street, {random.choice(TOWN)}"
            self.properties[owner].append(identity)
            self.property_lines.append(
                f"{identity}\t{self.customers[owner][0]}\t{address}\tPR{number:08d}\t{stamp(at)}\n"
            )

        for _ in range(min(200, max(50, tickets // 20_000))):
            identity = uuid7(random, start)
            name = f"{random.choice(FIRST)} {random.choice(LAST)}"
            email = f"{name.replace(' ', '.')}.{identity[-6:]}@callout.example".lower()
            self.technicians.append(identity)
            self.technician_lines.append(f"{identity}\t{name}\t{email}\t613-555-0100\t{stamp(start)}\n")


@dataclass
class Drawn:
    """Generated rows, as lines for COPY."""

    tickets: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chats: list[str] = field(default_factory=list)
    articles: list[str] = field(default_factory=list)


class Tickets:
    """Generates tickets in the order of their creation, with their notes, transcripts and articles."""

    def __init__(self, random: Random, company: Company, *, now: float, tickets: int, references: set[str]) -> None:
        self.random = random
        self.company = company
        self.now = now
        self.tickets = tickets
        self.references = references
        self.systems = [
            (category, falling(devices, 0.75), falling(faults, 0.6)) for category, _, devices, faults in SYSTEMS
        ]
        self.system_weights = list(accumulate(weight for _, weight, _, _ in SYSTEMS))
        self.models = falling(MODELS, 0.65)
        self.places = falling(PLACE, 0.7)
        self.technicians = falling(company.technicians, 0.97)

    def reference(self) -> str:
        while True:
            drawn = REFERENCE_PREFIX + "".join(self.random.choices(REFERENCE_ALPHABET, k=REFERENCE_LENGTH))
            if drawn not in self.references:
                self.references.add(drawn)
                return drawn

    def draw(self, first: int, last: int) -> Drawn:
        """The tickets from number `first` (0 is the oldest) up to, but not including, `last`, and their other rows."""
        random, company = self.random, self.company
        drawn = Drawn()
        tickets, notes = drawn.tickets, drawn.notes
        span = YEARS * 365 * 86_400
        for number in range(first, last):
            # Business grows: half of the tickets are from about the last year.
            age = 1 - ((number + random.random()) / self.tickets) ** 0.7
            created = self.now - 60 - span * age
            identity, reference = uuid7(random, created), self.reference()

            (system,) = random.choices(self.systems, cum_weights=self.system_weights)
            category, (devices, device_weights), (faults, fault_weights) = system
            (device,) = random.choices(devices, cum_weights=device_weights)
            (fault,) = random.choices(faults, cum_weights=fault_weights)
            subject = f"{device} {fault}"
            dice = random.random()
            if dice < 0.5:
                subject += f", {random.choices(self.places[0], cum_weights=self.places[1])[0]}"
            if dice > 0.3:
                subject += f" ({random.choices(self.models[0], cum_weights=self.models[1])[0]})"
            if dice < 0.05:
                subject += f" SN {''.join(random.choices(RARE, k=4))}{random.randrange(10_000):04d}"
            description = f"Customer reports: {subject}.\\n{' '.join(random.choices(DETAIL, k=3))}"

            owner = int(len(company.customers) * random.random() ** 1.5)
            customer_id, name, email, phone = company.customers[owner]
            owned = company.properties[owner]
            property_id = random.choice(owned) if owned and random.random() < 0.8 else "\\N"
            if random.random() < 0.1:
                customer_id = property_id = "\\N"
                name = f"{random.choice(FIRST)} {random.choice(LAST)}"
                email = f"{name.replace(' ', '.')}@example.org".lower()

            status, updated, resolved, closed = self.fate(number, created)
            resolution = random.choice(DONE) if resolved else "\\N"
            unassigned = random.random() < (0.4 if status == "OPEN" else 0.03)
            technician = (
                "\\N" if unassigned else random.choices(self.technicians[0], cum_weights=self.technicians[1])[0]
            )
            priority = random.choices(("LOW", "MEDIUM", "HIGH", "URGENT"), cum_weights=(20, 75, 96, 100))[0]
            source, creator_kind, creator = self.creator(technician, customer_id)

            at_created, at_updated = stamp(created), stamp(updated)
            tickets.append(
                f"{identity}\t{reference}\t{1 + (updated > created) * random.randint(1, 5)}\t{subject}\t{description}\t"
                f"{status}\t{priority}\t{category}\t{source}\t{creator_kind}\t{creator}\t{name}\t{email}\t{phone}\t"
                f"{customer_id}\t{property_id}\t{technician}\t{resolution}\t{at_created}\t{at_updated}\t{at_updated}\t"
                f"{stamp(resolved) if resolved else NULL}\t{stamp(closed) if closed else NULL}\t"
                f"{NULL if unassigned or resolved or closed else 'ACCEPTED'}\t{at_updated}\n"
            )
            for _ in range(random.choices((0, 1, 2, 3, 4, 5, 8), cum_weights=(9, 28, 54, 77, 90, 97, 100))[0]):
                at = random.uniform(created, updated)
                internal = "t" if random.random() < 0.6 else "f"
                notes.append(
                    f"{uuid7(random, at)}\t{identity}\t{customer_id}\t{random.choice(NOTES)}\t{internal}\t"
                    f"ADMIN\tdispatch\tDispatch\t{stamp(at)}\n"
                )
            if source == "CHATBOT":
                drawn.chats.append(f"{identity}\t{creator}\t{reference}\t{self.transcript(subject, created)}\n")
            if resolution != NULL and random.random() < 0.005:
                published = "t" if random.random() < 0.7 else "f"
                times = f"{at_updated}\t{at_updated}"
                drawn.articles.append(
                    f"{uuid7(random, updated)}\t{subject}\t{resolution}\t{published}\t{identity}\t{times}\n"
                )
        return drawn

    def transcript(self, subject: str, created: float) -> str:
        """The chatbot conversation in the minutes before the ticket, as JSON escaped for COPY."""
        said = [("CUSTOMER", f"Hello, {subject}."), ("BOT", CHAT_QUESTION), ("CUSTOMER", self.random.choice(DETAIL))]
        messages = [
            {"author": author, "body": body, "at": stamp(created - 60 * (len(said) - index))}
            for index, (author, body) in enumerate(said)
        ]
        return json.dumps(messages).replace("\\", "\\\\")

    def fate(self, number: int, created: float) -> tuple[str, float, float | None, float | None]:
        """The ticket's status, and the times when it was last updated, resolved and closed, in seconds since 1970."""
        random = self.random
        recent = number > self.tickets * 0.95
        dice = random.random()
        span = self.now - created
        updated = created + min(span, random.expovariate(1 / (4 * 86_400)))
        if dice < (0.45 if recent else 0.004):
            return "OPEN", updated if random.random() < 0.5 else created, None, None
        if dice < (0.75 if recent else 0.007):
            return "IN_PROGRESS", updated, None, None
        if dice < (0.90 if recent else 0.04):
            return "RESOLVED", updated, updated, None
        return "CLOSED", updated, None if dice > 0.97 else random.uniform(created, updated), updated

    def creator(self, technician: str, customer: str) -> tuple[str, str, str]:
        """The ticket's source, and the kind and id of its creator."""
        dice = self.random.random()
        if dice < 0.2 and technician != NULL:
            return "TECHNICIAN", "TECHNICIAN", technician
        if dice < 0.4 and customer != NULL:
            return "CUSTOMER", "CUSTOMER", customer
        if dice < 0.6:
            return "CHATBOT", "SERVICE", "chatbot"
        if dice < 0.7:
            return "EMAIL", "SERVICE", "mail"
        return "ADMIN", "ADMIN", "dispatch"


async def bulk(connection: asyncpg.Connection[asyncpg.Record], *, tickets: int, progress: Progress) -> None:
    """Add this many tickets, with two or three notes each, a transcript for each one from the chatbot, an article for
    one in two hundred of those with a resolution, one customer per ten tickets and three properties per twenty. It is
    done in one transaction that locks out other writers. Existing rows stay, and the new ones do not conflict with
    them."""
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL maintenance_work_mem = '1GB'")
        await connection.execute(f"LOCK TABLE {', '.join(TABLES)} IN SHARE ROW EXCLUSIVE MODE")
        rebuild = await _take_down(connection) if tickets >= REBUILD_FROM else []
        await _fill(connection, tickets, progress)
        progress("events", 0, tickets)
        await connection.execute(CREATIONS)
        progress("events", tickets, tickets)
        for number, statement in enumerate(rebuild, start=1):
            await connection.execute(statement)
            progress("indexes", number, len(rebuild))
    await counts.recount(connection)
    await connection.execute("SET statement_timeout = 0")
    await connection.execute("VACUUM (ANALYZE)")


async def _fill(connection: asyncpg.Connection[asyncpg.Record], tickets: int, progress: Progress) -> None:
    now = time.time()
    random = Random(now)
    company = Company(
        random,
        now=now,
        tickets=tickets,
        customers_from=await connection.fetchval(NEXT_NUMBER.format(table="customers", prefix="AC")),
        properties_from=await connection.fetchval(NEXT_NUMBER.format(table="properties", prefix="PR")),
    )
    await _copy(connection, "technicians", ["id", "name", "email", "phone", "created_at"], company.technician_lines)
    columns = ["id", "account_number", "name", "email", "phone", "created_at"]
    await _copy(connection, "customers", columns, company.customer_lines)
    await _copy(
        connection,
        "properties",
        ["id", "customer_id", "address", "account_number", "created_at"],
        company.property_lines,
    )
    references = {row["reference"] for row in await connection.fetch("SELECT reference FROM tickets")}
    drawn = Tickets(random, company, now=now, tickets=tickets, references=references)
    for first in range(0, tickets, BATCH):
        last = min(first + BATCH, tickets)
        batch = drawn.draw(first, last)
        await _copy(connection, "tickets", TICKET_COLUMNS, batch.tickets)
        await _copy(connection, "notes", NOTE_COLUMNS, batch.notes)
        await _copy(connection, "ticket_chats", CHAT_COLUMNS, batch.chats)
        await _copy(connection, "articles", ARTICLE_COLUMNS, batch.articles)
        progress("tickets", last, tickets)


async def _copy(
    connection: asyncpg.Connection[asyncpg.Record], table: str, columns: list[str], lines: list[str]
) -> None:
    """COPY lines that are already in PostgreSQL's text format."""

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(lines), 1_000):
            yield "".join(lines[start : start + 1_000]).encode()

    await connection.copy_to_table(table, source=blocks(), columns=columns)


async def _take_down(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    """Drop foreign keys and indexes for the duration of the load. Returns the statements that create them again."""
    rebuild = []
    for row in await connection.fetch(FOREIGN_KEYS, list(TABLES)):
        await connection.execute(row["drop"])
        rebuild.append(row["make"])
    for row in await connection.fetch(PLAIN_INDEXES, list(TABLES)):
        await connection.execute(row["drop"])
        rebuild.append(row["make"])
    return rebuild


TABLES: Final = (
    "technicians",
    "customers",
    "properties",
    "tickets",
    "notes",
    "ticket_chats",
    "articles",
    "ticket_events",
    "ticket_texts",
)

FOREIGN_KEYS: Final = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop,
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS make
FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY ($1::text[]::regclass[])"""

# Without those that the triggers of `db/ddl_search.py` read.
PLAIN_INDEXES: Final = """
SELECT format('DROP INDEX %s', indexrelid::regclass) AS drop, pg_get_indexdef(indexrelid) AS make
FROM pg_index WHERE indrelid = ANY ($1::text[]::regclass[])
AND indexrelid <> 'ix_properties_customer_id_address_id'::regclass
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"""

CREATIONS: Final = """
INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, after)
SELECT tickets.id, 'CREATED', creator_kind, creator_id, coalesce(technicians.name, CASE creator_kind
    WHEN 'CUSTOMER' THEN contact_name ELSE initcap(creator_id) END), tickets.created_at, to_jsonb(tickets)
FROM tickets LEFT JOIN technicians ON creator_kind = 'TECHNICIAN' AND technicians.id::text = creator_id
WHERE NOT EXISTS (SELECT FROM ticket_events WHERE ticket_id = tickets.id) ORDER BY tickets.created_at"""

NEXT_NUMBER: Final = """
SELECT coalesce(max(substr(account_number, 3)::bigint), 0) + 1 FROM {table}
WHERE account_number ~ '^{prefix}[0-9]{{8}}$'"""
