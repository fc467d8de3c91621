"""Viewers learn nothing by what they write: not from the answer, an error, or anything that they read afterwards.

Whatever identifies a person has a mark in it, a word that stands nowhere else. Random mutations of every role name
people and things that the caller sees, does not see, and that do not exist. Neither the answers nor what the caller can
read afterwards may have a mark that the caller has not given or could read before. And on which tickets a viewer finds
whom must be as the model of `docs/roles.md` has it, by each path.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from graphql import get_named_type

from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key
from tests.helpers.random_inputs import CURSOR, Inputs, marks_in
from tests.helpers.schema_walker import ENTITIES, SCHEMA, Everything, roles_of, root_fields
from tests.helpers.visibility_model import Record, VisibilityModel

CUSTOMERS, TECHNICIANS, TICKETS = 12, 4, 14
ROUNDS = 5
OTHERS = 3  # mutations of each caller in a round, after those of an admin and some new tickets

EVERY_ID = " UNION ALL ".join(f"SELECT '{each.prefix}_' || id AS id FROM {each.table.name}" for each in ENTITIES)
EVERY_ID += " ORDER BY id"

OF_CUSTOMERS = """
SELECT concat(c, string_agg(p::text, '')), email, phone, c.account_number
FROM customers AS c LEFT JOIN properties AS p ON customer_id = c.id GROUP BY c.id"""

REFUSED: dict[Role, Sequence[str]] = {
    Role.ADMIN: ("chat", "source", "accountNumber", "ifVersion"),
    Role.TECHNICIAN: ("chat", "source", "accountNumber", "ifVersion", "technicianId"),
    Role.CUSTOMER: ("chat", "source", "accountNumber", "customerId", "technicianId", "internalOnly"),
    Role.SERVICE: ("technicianId", "source", "internalOnly"),
}
"""Fields that are mostly refused."""

LISTS = """{
  tickets(first: 100) { totalCount nodes { id customer { id } property { id } technician { id } } }
  customers(first: 40) { nodes { id tickets(first: 60) { totalCount nodes { id } } } }
  properties(first: 40) { nodes { id customer { id } tickets(first: 60) { totalCount nodes { id } } } } }"""
FILTERED = """query($filter: TicketFilter!, $after: String!) {
  tickets(filter: $filter, first: 100) { totalCount nodes { id } }
  ticketCounts(filter: $filter) { all }
  ticketEvents(filter: $filter, after: $after, first: 100) { nodes { ticketId } } }"""


class Caller:
    """A viewer, what they could read or have given so far, and the mutations that they have sent and done."""

    def __init__(self, api: Api, role: Role, viewer: str) -> None:
        self.api, self.role, self.key = api, role, viewer
        self.known: set[str] = set()  # marks
        self.linked: set[tuple[str, str]] = set()
        self.sent: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.start = self.cursor = ""
        everything = Everything(role, {})
        fields = root_fields("Mutation")
        self.mutations = [name for name, definition in fields.items() if role in roles_of(definition)]
        self._payload = {name: everything.selection(get_named_type(fields[name].type), 2) for name in self.mutations}
        if role is Role.ADMIN:  # may read everything
            self._payload = dict.fromkeys(self.mutations, "__typename")
        queries = root_fields("Query")
        ticket = everything.selection(get_named_type(queries["ticket"].type), 2)
        changes = everything.selection(get_named_type(queries["ticketEvents"].type), 1)
        self._ticket = f"query($id: ID!) {{ ticket(by: {{ id: $id }}) {{ {ticket} }} }}"
        customer, place, technician = (
            everything.selection(SCHEMA.type_map[name], 0) for name in ("Customer", "Property", "Technician")
        )
        self._people = f"""{{ customers(first: 40) {{ nodes {{ {customer} }} }}
            properties(first: 40) {{ nodes {{ {place} }} }}
            tickets(first: 100) {{ nodes {{ technician {{ {technician} }} }} }} }}"""
        self._events = f"query($after: String!) {{ ticketEvents(after: $after, first: 20) {{ {changes} }} }}"

    async def mutate(self, mutation: str, input: dict[str, Any]) -> str:
        """Returns the payload, with everything that the role may read, as text."""
        self.known |= marks_in(json.dumps(input))
        payload = await self.api.do(mutation, self._payload[mutation], **input)
        self.sent[mutation] += 1
        self.done[mutation] += payload["userErrors"] == []
        return json.dumps(payload)

    async def read(self) -> str:
        """Returns all that the caller reads of events since the last time, of the tickets that these are about, and of
        people and properties, as text."""
        pages = [await self.api(self._events, after=self.cursor)]
        while pages[-1]["ticketEvents"]["hasMore"]:
            pages.append(await self.api(self._events, after=pages[-1]["ticketEvents"]["cursor"]))
        self.cursor = pages[-1]["ticketEvents"]["cursor"]
        tickets = dict.fromkeys(event["ticketId"] for page in pages for event in page["ticketEvents"]["nodes"])
        read = await asyncio.gather(self.api(self._people), *(self.api(self._ticket, id=id_) for id_ in tickets))
        return json.dumps([pages, read])


@dataclass
class Company:
    """The callers, and what they name in their mutations."""

    admin: Caller
    callers: Sequence[Caller]
    pick: random.Random
    database: Database
    model: VisibilityModel
    ids: dict[str, list[str]] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs = Inputs(self.pick, self._choose)

    async def step(self, caller: Caller, mutation: str) -> str:
        """Has the caller send a random mutation. Returns its payload."""
        await self.look(caller)
        input = self.inputs.of(mutation, REFUSED[caller.role])
        if caller.role is Role.TECHNICIAN:
            caller.known |= await self.found_by(json.dumps(input))
        return await caller.mutate(mutation, input)

    async def found_by(self, input: str) -> set[str]:
        """The marks of the customers who have an address or number in the input. It finds them, for a technician."""
        rows = await self.database.fetch(OF_CUSTOMERS)
        return {
            mark for text, *values in rows if any(f'"{value}"' in input for value in values) for mark in marks_in(text)
        }

    async def look(self, caller: Caller) -> None:
        """Reads the rows, for what the caller may name and see next."""
        self.model = await VisibilityModel.read(self.database)
        self.ids = {entity.prefix: [] for entity in ENTITIES}
        for (id_,) in await self.database.fetch(EVERY_ID):
            self.ids[id_[:3]].append(id_)
        visible = self.model.visible(caller.role, caller.key)
        self.seen = {prefix: [id_ for id_ in ids if id_ in visible] for prefix, ids in self.ids.items()}
        people = {
            id_: {"name": row["name"], "email": row["email"], "accountNumber": row["account_number"]}
            for id_, row in self.model.customers.items()
        }
        known = [people[key(id_)] for id_ in self.seen["cus"]]
        self.inputs.people = known if known and self.pick.random() < 0.6 else list(people.values())
        for each in self.callers:
            each.linked |= self.model.links(each.role, each.key)

    def _choose(self, prefix: str) -> Sequence[str]:
        """Mostly the ids that the caller sees; otherwise all of them."""
        seen = self.seen.get(prefix)
        return seen if seen and self.pick.random() < 0.7 else self.ids[prefix]


@pytest.fixture(scope="module")
async def company(server: Server) -> AsyncIterator[Company]:
    pick = random.Random(16)
    admin = Caller(Api(server), Role.ADMIN, "boss")
    inputs = Inputs(pick, lambda prefix: ())
    start = (await admin.api("{ tickets { streamCursor } }"))["tickets"]["streamCursor"]
    properties = {}
    for _ in range(CUSTOMERS):
        customer = await admin.api.new_customer(**inputs.texts("name", "email", "phone", "accountNumber"))
        properties[customer] = await admin.api.new_property(customer, **inputs.texts("address", "accountNumber"))
    customers = list(properties)
    technicians = [await admin.api.new_technician(**inputs.texts("name", "email", "phone")) for _ in range(TECHNICIANS)]
    for n in range(TICKETS):
        customer = pick.choice(customers)
        given = {"customerId": customer, "propertyId": pick.choice([None, properties[customer]])}
        given |= {"technicianId": technicians[n % TECHNICIANS], **inputs.texts("subject", "description")}
        ticket = await admin.api.new_ticket(**given)
        for internal in (True, False):
            note = {"ticketId": ticket, "internalOnly": internal, **inputs.texts("body")}
            await admin.api.done("noteAdd", "__typename", **note)
    bot = admin.api.service("bot")
    for customer in customers[1:4]:
        found = await admin.api("query($id: ID!) { node(id: $id) { ... on Customer { name email } } }", id=customer)
        await bot.new_ticket(contact=found["node"])
    async with AsyncExitStack() as stack:
        callers = [
            Caller(admin.api.customer(customers[0]), Role.CUSTOMER, key(customers[0])),
            Caller(admin.api.technician(technicians[0]), Role.TECHNICIAN, key(technicians[0])),
            Caller(bot, Role.SERVICE, "bot"),
        ]
        for caller in (admin, *callers):
            await stack.enter_async_context(caller.api)
            caller.start = caller.cursor = start
        database = await asyncpg.connect(server.database_url)
        stack.push_async_callback(database.close)
        yield Company(admin, callers, pick, database, await VisibilityModel.read(database))


def pairs(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the pairs of a ticket, and of whom or what is found on it, in an answer to `LISTS`, in each direction."""
    for ticket in found["tickets"]["nodes"]:
        for other in (ticket["customer"], ticket["property"], ticket["technician"]):
            if other is not None:
                yield ticket["id"], other["id"]
    for other in found["customers"]["nodes"] + found["properties"]["nodes"]:
        assert other["tickets"]["totalCount"] == len(other["tickets"]["nodes"])
        yield from ((ticket["id"], other["id"]) for ticket in other["tickets"]["nodes"])
    for place in found["properties"]["nodes"]:
        yield from ((ticket["id"], place["customer"]["id"]) for ticket in place["tickets"]["nodes"])


async def test_nothing_is_learnt_by_random_mutations(company: Company) -> None:
    admin, pick = company.admin, company.pick
    of_admin = itertools.cycle(pick.sample(admin.mutations, len(admin.mutations)))
    of_others = [itertools.cycle(pick.sample(each.mutations, len(each.mutations))) for each in company.callers]
    for _ in range(ROUNDS):
        for mutation in itertools.islice(of_admin, 1 + len(admin.mutations) // ROUNDS):
            await company.step(admin, mutation)
            for caller in company.callers:
                await company.look(caller)
        for caller, others in zip(company.callers, of_others, strict=True):
            await company.look(caller)
            caller.known |= marks_in(await caller.read())
            new = ["ticketCreate"] * (6 if caller.role is Role.SERVICE else 2)
            for mutation in [*new, *itertools.islice(others, OTHERS)]:
                payload = await company.step(caller, mutation)
                assert marks_in(payload) <= caller.known, (caller.role, mutation, payload)
            await company.look(caller)
            learnt = marks_in(await caller.read()) - caller.known
            assert learnt == set(), caller.role
            await finds_what_the_model_has(company, caller)
    for caller in (admin, *company.callers):
        assert set(caller.sent) == set(caller.mutations)
        assert caller.done.total() > caller.sent.total() / 5, (caller.role, caller.sent, caller.done)


async def finds_what_the_model_has(company: Company, caller: Caller) -> None:
    """Checks on which tickets the caller finds whom and what: on lists, and by the filters."""
    model = company.model
    found = await caller.api(LISTS)
    links = model.links(caller.role, caller.key)
    assert set(pairs(found)) == links
    listed = {node["id"] for things in found.values() for node in things["nodes"]}
    visible = {id_ for id_ in model.visible(caller.role, caller.key) if not id_.startswith("tec_")}
    assert listed == visible
    for name, prefix in (("customerId", "cus"), ("propertyId", "prp")):
        for id_ in company.pick.sample(company.ids[prefix], 3):
            tickets = {ticket for ticket, other in links if other == id_}
            answer = await caller.api(FILTERED, filter={name: id_}, after=caller.start)
            assert {node["id"] for node in answer["tickets"]["nodes"]} == tickets
            assert answer["tickets"]["totalCount"] == answer["ticketCounts"]["all"] == len(tickets)
            streamed = {node["ticketId"] for node in answer["ticketEvents"]["nodes"]}
            assert streamed <= {ticket for ticket, other in caller.linked if other == id_}


# Two services that send the same, except for what one of them guesses right

OF_TICKETS = re.compile(r"\b(?:tkt|evt|not)_[0-9a-f-]{36}\b|\bTKT-\w{6}\b")
VARYING = re.compile(CURSOR.pattern + r"|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)")
SEARCHED = """query($id: ID!, $name: String!) {
  node(id: $id) { id } customers(search: $name) { totalCount nodes { id name } }
  tickets(filter: {search: $name}) { totalCount } ticketCounts(filter: {search: $name}) { all } }"""
TRACKED = "query($reference: String!, $email: String!) { ticketTrack(reference: $reference, email: $email) { status } }"


class Twin(Caller):
    """A service, and the guesses that it has made instead of right ones."""

    def __init__(self, api: Api, viewer: str) -> None:
        super().__init__(api, Role.SERVICE, viewer)
        self.instead: dict[str, str] = {}

    def alike(self, answer: str) -> str:
        """Returns the answer with the right guesses, and without what differs between any two tickets."""
        for guess, right in self.instead.items():
            answer = answer.replace(guess, right)
        numbers: dict[str, str] = {}
        return OF_TICKETS.sub(lambda id_: numbers.setdefault(id_[0], f"#{len(numbers)}"), VARYING.sub("", answer))

    async def ask(self, document: str, **variables: Any) -> str:
        return self.alike(json.dumps(await self.api(document, **variables)))


async def test_a_service_does_not_learn_whether_its_guesses_are_right(company: Company) -> None:
    """One service guesses account numbers, and e-mail addresses without the name. The other gives numbers and addresses
    that nobody has. Both are answered the same, and read the same afterwards."""
    admin, pick = company.admin.api, company.pick
    await company.look(company.admin)
    customers = [company.model.customers[key(id_)] for id_ in company.ids["cus"]][:6]
    async with admin.service("guesser") as one, admin.service("other") as two:
        guesser, other = Twin(one, "guesser"), Twin(two, "other")
        for twin in (guesser, other):
            twin.start = twin.cursor = (await twin.api("{ tickets { streamCursor } }"))["tickets"]["streamCursor"]
        properties = [await really_used(admin, customer, guesser, other) for customer in customers[:3]]
        for n in range(40):
            given, instead = guesses(pick, customers, properties, f"nobody{n}@x.example")
            other.instead[f"nobody{n}@x.example"] = given["contact"]["email"]
            given["idempotencyKey"] = instead["idempotencyKey"] = f"guess {n}"  # which each reads of its events
            answers = [await guesser.mutate("ticketCreate", given), await other.mutate("ticketCreate", instead)]
            assert guesser.alike(answers[0]) == other.alike(answers[1]), given
        assert 10 < guesser.done["ticketCreate"] < 35
        model = await VisibilityModel.read(company.database)
        right, wrong = (model.tickets_of(Role.SERVICE, twin.key) for twin in (guesser, other))
        with_customer = [sum(ticket["customer_id"] is not None for ticket in tickets) for tickets in (right, wrong)]
        assert with_customer[0] > with_customer[1] + 5

        assert guesser.alike(await guesser.read()) == other.alike(await other.read())
        assert await guesser.ask(LISTS) == await other.ask(LISTS)
        for customer in customers:
            id_ = f"cus_{customer['id']}"
            searched = {"id": id_, "name": customer["name"]}
            assert await guesser.ask(SEARCHED, **searched) == await other.ask(SEARCHED, **searched)
            for filter in ({"customerId": id_}, {"not": {"customerId": id_}}, {"or": [{"customerId": id_}]}):
                found = [await twin.ask(FILTERED, filter=filter, after=twin.start) for twin in (guesser, other)]
                assert found[0] == found[1]
        for customer in customers:
            theirs = [ticket for ticket in right if ticket["customer_id"] == customer["id"]]
            for ticket in [each for each in theirs if each["contact_email"] != customer["email"]][:2]:
                tracked = await guesser.api(TRACKED, reference=ticket["reference"], email=customer["email"])
                assert tracked == {"ticketTrack": None}


async def really_used(admin: Api, customer: Record, *services: Caller) -> str:
    """Has each of the services create a ticket for the customer, and the admin set its property. Returns its id."""
    property_id = await admin.new_property(f"cus_{customer['id']}")
    contact = {"name": customer["name"], "email": customer["email"]}
    given = {"contact": contact, "accountNumber": customer["account_number"], "idempotencyKey": property_id}
    for service in services:
        ticket = await service.api.new_ticket(**given)
        await admin.done("ticketUpdate", "__typename", ticketId=ticket, propertyId=property_id)
    return property_id


def guesses(
    pick: random.Random, customers: Sequence[Record], properties: Sequence[str], nobodys: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the input of a ticket with guesses, and the same one with guesses that nobody has. A name and an address
    that belong together are no guess."""
    named, addressed, numbered = (pick.choice([*customers, None]) for _ in range(3))
    if pick.random() < 0.3:
        named = addressed
    contact = {
        "name": named["name"] if named else "Somebody",
        "email": addressed["email"] if addressed else "somebody@x.example",
    }
    given: dict[str, Any] = {"subject": "Door", "description": "It sticks.", "contact": contact}
    if pick.random() < 0.3:
        given["propertyId"] = pick.choice(properties)
    if numbered is None and pick.random() < 0.5:
        given["customerId"] = f"cus_{pick.choice(customers)['id']}"
    instead = dict(given)
    if numbered is not None:
        given["accountNumber"], instead["accountNumber"] = numbered["account_number"], "nobody's"
    if addressed is not None and addressed is not named:
        instead["contact"] = contact | {"email": nobodys}
    return given, instead
