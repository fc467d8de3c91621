"""Who receives what of `ticketFollow` and of the changes of objects: random writes, and viewers of each role, compared
with a model that shares no code with the application."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from db.enums import Role
from tests.helpers.api import Api
from tests.helpers.database_checks import Database, key
from tests.helpers.graphql_ws_client import Socket, live
from tests.helpers.visibility_model import VisibilityModel

WRITES = 60
STAFF = (Role.ADMIN, Role.TECHNICIAN)
KINDS = {
    "customer": (Role.ADMIN, Role.TECHNICIAN, Role.CUSTOMER),
    "property": (Role.ADMIN, Role.TECHNICIAN, Role.CUSTOMER),
    "technician": STAFF,
    "article": tuple(Role),
}
FOLLOW = """subscription($ticket: ID!) { ticketFollow(id: $ticket) {
    __typename ... on TicketChange { change ticketId ticket { id } note { body } } } }"""
CHANGED = """subscription {{ {kind}Changed {{
    __typename ... on {type}Change {{ change {kind}Id {kind} {{ id }} changedFields }} }} }}"""

Message: TypeAlias = tuple[str, str, bool, Any]
"""Of a ticket: the change, the id, whether it shows the ticket, and the text of the note. Of another object: the same,
with the changed fields at the end."""


@dataclass
class Viewer:
    """A viewer with a connection, on which they follow everything that they may."""

    api: Api
    role: Role
    key: str
    socket: Socket

    async def follow(self, tickets: Sequence[str]) -> None:
        asked = [(FOLLOW, {"ticket": ticket}) for ticket in tickets]
        asked += [(CHANGED.format(kind=k, type=k.capitalize()), {}) for k in KINDS if self.role in KINDS[k]]
        for number, (document, variables) in enumerate(asked):
            await self.socket.subscribe(str(number), document, **variables)
            assert await self.socket.next() == {"__typename": "StreamReady"}

    async def receive(self, number: int) -> list[Message]:
        return sorted([_message(await self.socket.next()) for _ in range(number)], key=repr)


def _message(received: dict[str, Any]) -> Message:
    kind = received["__typename"].removesuffix("Change").lower()
    shown = received[kind] is not None
    added = received["changedFields"] if "changedFields" in received else (received["note"] or {}).get("body")
    return received["change"], received[f"{kind}Id"], shown, added


@dataclass
class Scene:
    """What there is to write to, and the model of who sees what before and after a write."""

    api: Api
    database: Database
    pick: random.Random
    tickets: list[str]
    customers: list[str]
    properties: list[str]
    technicians: list[str]
    articles: dict[str, bool] = field(default_factory=dict)
    """Whether each article is published."""
    written: int = 0
    changes: set[str] = field(default_factory=set)

    def word(self) -> str:
        self.written += 1
        return f"word {self.written}"

    async def write(self, viewers: Sequence[Viewer]) -> None:
        """Makes a random write, and checks that each viewer receives what the model says, and nothing else."""
        before = await VisibilityModel.read(self.database)
        makes = (self._note, self._assign, self._move, self._customer, self._property, self._technician, self._article)
        expects = await self.pick.choice(makes)()
        after = await VisibilityModel.read(self.database)
        for viewer in viewers:
            was, now = (model.visible(viewer.role, viewer.key) for model in (before, after))
            expected = expects(viewer, was, now)
            self.changes |= {change for change, *_ in expected}
            assert await viewer.receive(len(expected)) == expected, (viewer.role, expects)

    async def _note(self) -> Expects:
        ticket, internal, body = self.pick.choice(self.tickets), self.pick.random() < 0.5, self.word()
        await self.api.done("noteAdd", "__typename", ticketId=ticket, body=body, internalOnly=internal)

        def expects(viewer: Viewer, was: set[str], now: set[str]) -> list[Message]:
            sees = ticket in now and (viewer.role in STAFF or not internal)
            return [("UPDATED", ticket, True, body)] if sees else []

        return expects

    async def _assign(self) -> Expects:
        ticket = self.pick.choice(self.tickets)
        await self._different(ticket, "ticketAssign", "technician", self.technicians)
        return _of_ticket(ticket)

    async def _move(self) -> Expects:
        ticket = self.pick.choice(self.tickets)
        await self._different(ticket, "ticketUpdate", "customer", self.customers, propertyId=None)
        return _of_ticket(ticket)

    async def _different(self, ticket: str, mutation: str, name: str, ids: Sequence[str], **given: Any) -> None:
        """Changes what the ticket refers to into something else, so that there is an event."""
        row = await self.database.fetchval(f"SELECT {name}_id::text FROM tickets WHERE id = $1", key(ticket))
        other = self.pick.choice([each for each in ids if key(each) != row])
        await self.api.done(mutation, "__typename", ticketId=ticket, **{f"{name}Id": other}, **given)

    async def _customer(self) -> Expects:
        customer = self.pick.choice(self.customers)
        await self.api.done("customerUpdate", "__typename", customerId=customer, phone=f"613-555-{self._digits()}")
        return _of_object("customer", customer, ["phone"])

    async def _property(self) -> Expects:
        property_id = self.pick.choice(self.properties)
        await self.api.done("propertyUpdate", "__typename", propertyId=property_id, address=self.word())
        return _of_object("property", property_id, ["address"])

    async def _technician(self) -> Expects:
        technician = self.pick.choice(self.technicians)
        await self.api.done("technicianUpdate", "__typename", technicianId=technician, name=self.word())
        return _of_object("technician", technician, ["name"])

    async def _article(self) -> Expects:
        article, published = self.pick.choice(list(self.articles)), self.pick.random() < 0.5
        was, self.articles[article] = self.articles[article], published
        given = {"problem": self.word(), "published": published}
        await self.api.done("articleUpdate", "__typename", articleId=article, **given)
        fields = ["problem"] if was is published else ["problem", "published"]

        def expects(viewer: Viewer, *seen: set[str]) -> list[Message]:
            if viewer.role in STAFF or (was and published):
                return [("UPDATED", article, True, fields)]
            if not (was or published):
                return []
            return [("CREATED" if published else "REMOVED", article, published, [])]

        return expects

    def _digits(self) -> str:
        self.written += 1
        return f"{self.written:04}"


Expects: TypeAlias = Callable[[Viewer, set[str], set[str]], list[Message]]
"""What a viewer receives who has seen, and sees now, these objects."""


def _of_ticket(ticket: str) -> Expects:
    def expects(viewer: Viewer, was: set[str], now: set[str]) -> list[Message]:
        change = {(True, True): "UPDATED", (False, True): "ENTERED", (True, False): "LEFT"}.get(
            (ticket in was, ticket in now)
        )
        return [] if change is None else [(change, ticket, ticket in now, None)]

    return expects


def _of_object(kind: str, id: str, fields: list[str]) -> Expects:
    def expects(viewer: Viewer, was: set[str], now: set[str]) -> list[Message]:
        return [("UPDATED", id, True, fields)] if viewer.role in KINDS[kind] and id in now else []

    return expects


async def test_each_viewer_receives_what_they_may_see_and_nothing_else(api: Api, database: Database) -> None:
    pick = random.Random(19)
    technicians = [await api.new_technician() for _ in range(3)]
    customers = [await api.new_customer() for _ in range(3)]
    properties = [await api.new_property(customer) for customer in customers]
    async with AsyncExitStack() as stack:
        service = api.service()
        creators = [api, api.technician(technicians[0]), service]
        tickets = [await creators[n % 3].new_ticket() for n in range(5)]
        for n, ticket in enumerate(tickets):
            home = {"customerId": customers[n % 3], "propertyId": properties[n % 3]}
            await api.done("ticketUpdate", "__typename", ticketId=ticket, **home)
        scene = Scene(api, database, pick, tickets, customers, properties, technicians)
        for published in (True, False):
            made = await api.done("articleCreate", "article { id }", problem="p", solution="s", published=published)
            scene.articles[made["article"]["id"]] = published
        given = [(api, Role.ADMIN, "boss"), (service, Role.SERVICE, "chatbot")]
        given += [(api.technician(each), Role.TECHNICIAN, key(each)) for each in technicians[:2]]
        given += [(api.customer(each), Role.CUSTOMER, key(each)) for each in customers[:2]]
        viewers = [Viewer(*each, await stack.enter_async_context(live(each[0]))) for each in given]
        for viewer in viewers:
            await viewer.follow(tickets)
        for _ in range(WRITES):
            await scene.write(viewers)
        for viewer in viewers:
            await viewer.socket.quiet(0.2)
    assert scene.changes == {"ENTERED", "UPDATED", "LEFT", "CREATED", "REMOVED"}
