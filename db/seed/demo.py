"""Writes the demo company of `db/seed/demo_company.py` into an empty database. Also exports `bulk`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from db.limits import REFERENCE_ALPHABET, REFERENCE_LENGTH, REFERENCE_PREFIX
from db.seed.bulk import bulk as bulk
from db.seed.bulk import uuid7
from db.seed.demo_company import ARTICLES, CUSTOMERS, OFFICE, STORIES, TECHNICIANS, Step, Story

Actor = tuple[str, str, str]
"""The kind, id and name of an actor."""

# `callout serve` prints tokens for these subjects, so that the demo's admin and chatbot see their own tickets.
ADMIN: Final = ("ADMIN", "demo-admin", "Demo admin")
CHATBOT: Final = ("SERVICE", "demo-service", "Demo chatbot")
MAIL: Final = ("SERVICE", "demo-mail", "Mail gateway")

_CREATE: Final = """
WITH created AS (
    INSERT INTO tickets (id, reference, subject, description, priority, category, source, creator_kind, creator_id,
        contact_name, contact_email, contact_phone, customer_id, property_id, created_at, updated_at, public_updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $15) RETURNING *
)
INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, after)
SELECT id, 'CREATED', creator_kind, creator_id, $16, created_at, to_jsonb(created) FROM created"""

_CHANGE: Final = """
WITH before AS (
    SELECT to_jsonb(tickets) AS image FROM tickets WHERE id = $1
), changed AS (
    UPDATE tickets SET updated_at = $2, public_updated_at = CASE WHEN $6 THEN $2 ELSE public_updated_at END{changes}
    WHERE id = $1 RETURNING *
)
INSERT INTO ticket_events (ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after, note_id, public)
SELECT id, $7, $3, $4, $5, $2, before.image, to_jsonb(changed), $8, $6 FROM changed, before"""

_STAMPS: Final = {
    "RESOLVED": ", resolved_at = $2",
    "CLOSED": ", closed_at = $2",
    "REOPENED": ", resolved_at = NULL, closed_at = NULL",
}


async def demo(connection: Any) -> None:
    """Fill an empty database with the demo company: the same data each time, except for the times, which end now."""
    await _Demo(connection).write()


class _Demo:
    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.random = Random(1832)
        self.now = datetime.now(UTC)
        self.technicians: dict[str, Actor] = {}
        self.customers: dict[str, Actor] = {}
        self.properties: dict[str, list[str]] = {}
        self.names: dict[str, tuple[str, str, str | None]] = {}  # the contact of each customer's tickets

    def _id(self, at: datetime) -> str:
        return uuid7(self.random, at.timestamp())

    async def write(self) -> None:
        await self._people()
        for story in sorted(STORIES, key=lambda story: -story.days):
            await self._ticket(story)
        for days, (problem, solution, published) in enumerate(ARTICLES, start=20):
            at = self.now - timedelta(days=days)
            await self._article(at, problem, solution, published=published, ticket=None)
        await self.connection.execute(
            "UPDATE support_settings SET admin_recipients = $1", ["support@callout.example", "dispatch@callout.example"]
        )

    async def _people(self) -> None:
        founded = self.now - timedelta(days=400)
        for technician in TECHNICIANS:
            identity = self._id(founded)
            self.technicians[technician.name] = ("TECHNICIAN", identity, technician.name)
            await self.connection.execute(
                "INSERT INTO technicians (id, name, email, phone, active, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
                *(identity, technician.name, technician.email, technician.phone, technician.active, founded),
            )
        for days, customer in enumerate(CUSTOMERS):
            joined = founded + timedelta(days=days)
            identity = self._id(joined)
            self.customers[customer.account] = ("CUSTOMER", identity, customer.name)
            self.names[customer.account] = (customer.name, customer.email, customer.phone)
            self.properties[customer.account] = [self._id(joined) for _ in customer.properties]
            await self.connection.execute(
                "INSERT INTO customers (id, account_number, name, email, phone, created_at)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                *(identity, customer.account, customer.name, customer.email, customer.phone, joined),
            )
            for property_id, (address, account) in zip(
                self.properties[customer.account], customer.properties, strict=True
            ):
                await self.connection.execute(
                    "INSERT INTO properties (id, customer_id, address, account_number, created_at)"
                    " VALUES ($1, $2, $3, $4, $5)",
                    *(property_id, identity, address, account, joined),
                )

    async def _ticket(self, story: Story) -> None:
        begun = self.now - timedelta(days=story.days)
        ticket = self._id(begun)
        reference = REFERENCE_PREFIX + "".join(self.random.choices(REFERENCE_ALPHABET, k=REFERENCE_LENGTH))
        customer = property_id = None
        if isinstance(story.customer, str):
            contact = self.names[story.customer]
            customer = self.customers[story.customer][1]
            if story.property_index is not None:
                property_id = self.properties[story.customer][story.property_index]
        else:
            contact = story.customer
        kind, identity, name = self._creator(story)
        await self.connection.execute(
            _CREATE,
            *(ticket, reference, story.subject, story.description, story.priority, story.category, story.source),
            *(kind, identity, *contact, customer, property_id, begun, name),
        )
        if story.chat:
            await self._chat(ticket, begun, story)
        for step in story.steps:
            await self._step(ticket, begun + timedelta(hours=step.hours), story, step)
        if story.article is not None:
            solution = next(str(step.changes["resolution"]) for step in story.steps if step.kind == "RESOLVED")
            at = begun + timedelta(hours=story.steps[-1].hours)
            await self._article(at, story.subject, solution, published=story.article, ticket=ticket)

    async def _chat(self, ticket: str, begun: datetime, story: Story) -> None:
        ends = timedelta(seconds=40 * len(story.chat))
        messages = [
            {"author": author, "body": body, "at": (begun - ends + timedelta(seconds=40 * index)).isoformat()}
            for index, (author, body) in enumerate(story.chat)
        ]
        await self.connection.execute(
            "INSERT INTO ticket_chats (ticket_id, creator_id, conversation_id, messages)"
            " VALUES ($1, $2, $3, $4::text::json)",
            *(ticket, CHATBOT[1], f"demo-{self.random.randrange(16**8):08x}", json.dumps(messages)),
        )

    async def _step(self, ticket: str, at: datetime, story: Story, step: Step) -> None:
        actor = self._actor(step.by, story)
        note = None
        if step.note is not None:
            note = self._id(at)
            await self.connection.execute(
                "INSERT INTO notes"
                " (id, ticket_id, customer_id, body, internal_only, author_kind, author_id, author_name, created_at)"
                " SELECT $1, id, customer_id, $3, $4, $5, $6, $7, $8 FROM tickets WHERE id = $2",
                *(note, ticket, step.note, not step.public, *actor, at),
            )
        columns = {**step.changes}
        if "technician" in columns:
            technician = columns.pop("technician")
            columns["technician_id"] = None if technician is None else self.technicians[technician][1]
        changes = "" if columns.get("technician_id") is None else ", assignment_state = 'ACCEPTED'"
        changes += "".join(f", {column} = ${number}" for number, column in enumerate(columns, start=9))
        if note is None:
            changes += f", version = version + 1{_STAMPS.get(step.kind, '')}"
        await self.connection.execute(
            _CHANGE.format(changes=changes), *(ticket, at, *actor, step.public, step.kind, note, *columns.values())
        )

    def _creator(self, story: Story) -> Actor:
        match story.source:
            case "CHATBOT":
                return CHATBOT
            case "EMAIL":
                return MAIL
            case "CUSTOMER":
                return self._actor("customer", story)
            case _:
                return self._actor(story.by, story)

    def _actor(self, by: str, story: Story) -> Actor:
        if by == OFFICE:
            return ADMIN
        if by == "customer":
            assert isinstance(story.customer, str)
            return self.customers[story.customer]
        return self.technicians[by]

    async def _article(self, at: datetime, problem: str, solution: str, *, published: bool, ticket: str | None) -> None:
        await self.connection.execute(
            "INSERT INTO articles (id, problem, solution, published, source_ticket_id, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $6)",
            *(self._id(at), problem, solution, published, ticket, at),
        )
