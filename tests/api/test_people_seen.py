"""The customers and properties of viewers who see thousands of tickets. Their lists are read from the customers, not
from the tickets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import pytest

from tests.helpers.api import Api
from tests.helpers.database_checks import key
from tests.helpers.paging import both_ways

CUSTOMERS, TICKETS_EACH, LATER = 1_500, 30, 1_100  # customers before `LATER` have hardly any tickets

CUSTOMER_LIST = """query($search: String, $first: Int, $after: String, $last: Int, $before: String) {
  customers(search: $search, first: $first, after: $after, last: $last, before: $before) {
    nodes { name } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
PROPERTY_LIST = CUSTOMER_LIST.replace("$search: String,", "").replace("search: $search,", "")
PROPERTY_LIST = PROPERTY_LIST.replace("customers", "properties").replace("name", "name: address")


def customer(n: int) -> str:
    return f"Acme {n:04} common{' needle' if n % 50 == 0 else ''}"


def of_technician(n: int) -> bool:
    return (n >= LATER and n % 4 == 0) or made_by_technician(n)


def made_by_technician(n: int) -> bool:
    return n in (1, 5, 9)


def of_service(n: int) -> bool:
    """Returns whether the service has tickets of customer `n`."""
    return n >= LATER and n % 4 == 2


def contact_of_service(n: int) -> bool:
    """Returns whether the service sees customer `n` and the property, because its tickets have them as contact."""
    return of_service(n) and n % 8 == 2


@pytest.fixture(scope="module")
async def technician(server: Any) -> str:
    """A technician with thousands of tickets; the service "chatbot" has as many. They are written by SQL, because the
    API would take a minute. Each customer has a property."""
    async with Api(server) as api:
        technician = await api.new_technician()
    database = await asyncpg.connect(server.database_url)
    numbers = list(range(CUSTOMERS))
    await database.execute(
        """INSERT INTO customers (id, name, email, account_number)
        SELECT gen_random_uuid(), name, 'mail' || n || '@example.com', 'K-' || n
        FROM unnest($1::int[], $2::text[]) AS given (n, name)""",
        numbers,
        [customer(n) for n in numbers],
    )
    await database.execute(
        """INSERT INTO properties (id, customer_id, address, account_number)
        SELECT gen_random_uuid(), id, name, account_number FROM customers WHERE name LIKE 'Acme%'"""
    )

    async def write(of: Iterable[int], each: int, values: str, *arguments: Any) -> None:
        await database.execute(
            f"""INSERT INTO tickets (id, reference, subject, description, status, priority, category, source,
                customer_id, property_id, creator_kind, creator_id, technician_id, contact_name, contact_email)
            SELECT gen_random_uuid(), 'TKT-' || translate(upper(right(gen_random_uuid()::text, 6)), '01', 'GH'),
                'Panel', 'It beeps.', 'OPEN', 'LOW', 'CCTV', 'CHATBOT', customers.id, properties.id, {values}
            FROM customers JOIN properties ON properties.customer_id = customers.id, generate_series(1, $2)
            WHERE customers.account_number = ANY ($1::text[])
            ON CONFLICT (reference) DO NOTHING""",
            [f"K-{n}" for n in of],
            each,
            *arguments,
        )

    others = "'other@example.com'"
    assigned = "'ADMIN', 'boss', $3::uuid, name, email"
    await write([n for n in numbers if of_technician(n) and n >= LATER], TICKETS_EACH, assigned, key(technician))
    made = f"'TECHNICIAN', $3::text, NULL, name, {others}"
    await write([n for n in numbers if made_by_technician(n)], 1, made, key(technician))
    contact = ", ".join(
        f"CASE WHEN name = ANY ($3::text[]) THEN {column} ELSE {other} END"
        for column, other in (("name", "'Somebody'"), ("email", others))
    )
    named = f"'SERVICE', 'chatbot', NULL, {contact}"
    names = [customer(n) for n in numbers if contact_of_service(n)]
    await write([n for n in numbers if of_service(n)], TICKETS_EACH, named, names)
    elses = f"'SERVICE', 'other', NULL, name, {others}"
    await write([n for n in numbers if n % 4 == 3], 1, elses)
    await database.execute("ANALYZE")
    await database.close()
    return technician


async def listed(viewer: Api, document: str, field: str, size: int, **arguments: Any) -> list[str]:
    async def fetch(**where: Any) -> dict[str, Any]:
        page: dict[str, Any] = (await viewer(document, **where, **arguments))[field]
        return page

    return [node["name"] for node in await both_ways(fetch, size)]


TERMS: tuple[tuple[str | None, Callable[[int], bool]], ...] = (
    (None, lambda n: True),
    ("acme 12", lambda n: n // 100 == 12),  # the beginning of names
    ("common", lambda n: True),  # a word in every name, even those that neither viewer sees
    ("needle", lambda n: n % 50 == 0),  # a rare word
    ("EED", lambda n: n % 50 == 0),  # a part of a rare word
    ("mm", lambda n: True),
    ("dl", lambda n: n % 50 == 0),
    ("nothing", lambda n: False),
)


@pytest.mark.parametrize(("term", "matches"), TERMS, ids=lambda value: str(value) if not callable(value) else "")
async def test_viewers_with_many_tickets_find_their_customers(
    api: Api, technician: str, term: str | None, matches: Callable[[int], bool]
) -> None:
    viewers: tuple[tuple[AbstractAsyncContextManager[Api], Callable[[int], bool]], ...] = (
        (api.technician(technician), of_technician),
        (api.service(), contact_of_service),
    )
    for viewer, sees in viewers:
        async with viewer as client:
            expected = [customer(n) for n in range(CUSTOMERS) if sees(n) and matches(n)]
            assert await listed(client, CUSTOMER_LIST, "customers", 30, search=term) == expected


async def test_technicians_but_not_services_find_customers_by_account_number_and_address(
    api: Api, technician: str
) -> None:
    for term, number in (("k-1200", 1200), ("mail1200@", 1200), ("k-1202", 1202)):
        theirs = [customer(number)] if of_technician(number) else []
        async with api.technician(technician) as client, api.service() as service:
            assert await listed(client, CUSTOMER_LIST, "customers", 30, search=term) == theirs
            assert await listed(service, CUSTOMER_LIST, "customers", 30, search=term) == []


async def test_viewers_with_many_tickets_list_their_properties(api: Api, technician: str) -> None:
    viewers: tuple[tuple[AbstractAsyncContextManager[Api], Callable[[int], bool]], ...] = (
        (api.technician(technician), of_technician),
        (api.service(), contact_of_service),
    )
    for viewer, sees in viewers:
        async with viewer as client:
            expected = [customer(n) for n in range(CUSTOMERS) if sees(n)]
            assert await listed(client, PROPERTY_LIST, "properties", 30) == expected
