"""Guesses of `ticketTrack`: after too many wrong ones the right one is not answered either, for a while."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import asyncpg
import pytest

from callout import explain
from db.enums import Role
from db.postgres.pool import Database as Pool
from db.viewer import Viewer
from resolvers import guesses
from resolvers.guesses import OF_CALLER, OF_SUBJECT, UNHURRIED, Guesses
from tests.helpers.api import Api
from tests.helpers.database_checks import Database, until

FIELD = "ticketTrack(reference: $reference, email: $email) { reference }"
TRACK = f"query($reference: String!, $email: String!) {{ {FIELD} }}"

SHARES = (OF_SUBJECT - 2, 2)
"""The guesses of two callers, which together are as many as there may be."""

SERVICE = Viewer(Role.SERVICE, "018f2f5e-8f5e-7cc0-b1f4-5b1c2d3e4f50", "Chatbot")

_numbers = itertools.count(1)


@pytest.fixture
async def chatbots(api: Api) -> AsyncIterator[list[Api]]:
    """Three callers that no other test has used."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(api.service(f"chatbot {next(_numbers)}")) for _ in range(3)]


async def new_ticket(api: Api) -> dict[str, str]:
    """Returns the reference and the address of a new ticket."""
    email = f"{next(_numbers)}@x.example"
    contact = {"name": "John Smith", "email": email}
    given = {"subject": "Door", "description": "Shut.", "contact": contact}
    opened = await api.done("ticketCreate", "ticket { reference }", **given)
    return {"reference": opened["ticket"]["reference"], "email": email}


def addresses(number: int) -> list[str]:
    return [f"{next(_numbers)}@wrong.example" for _ in range(number)]


def references(number: int) -> list[str]:
    return [f"TKT-0{next(_numbers):05}" for _ in range(number)]  # no reference has a 0


async def found(viewer: Api, reference: str, email: str) -> bool:
    return (await viewer(TRACK, reference=reference, email=email))["ticketTrack"] is not None


async def batch(viewer: Api, pairs: Iterable[tuple[str, str]]) -> list[bool]:
    """Guesses all pairs in one document, under aliases."""
    fields = " ".join(
        f'a{n}: ticketTrack(reference: "{reference}", email: "{email}") {{ reference }}'
        for n, (reference, email) in enumerate(pairs)
    )
    return [answer is not None for answer in (await viewer(f"{{ {fields} }}")).values()]


async def pass_time(database: Database) -> None:
    """Lets the time of all counts pass."""
    await database.execute("UPDATE tracking_guesses SET until = now()")


async def test_a_reference_cannot_be_tried_with_many_addresses_by_any_callers(
    api: Api, chatbots: list[Api], database: Database
) -> None:
    ticket, other = await new_ticket(api), await new_ticket(api)
    for chatbot, number in zip(chatbots, SHARES, strict=False):
        assert await found(chatbot, **ticket)
        assert not any(await batch(chatbot, ((ticket["reference"], email) for email in addresses(number))))
    assert not any(await asyncio.gather(*(found(chatbot, **ticket) for chatbot in chatbots)))
    assert await found(chatbots[2], **other)
    assert await found(api, **ticket), "admins see all tickets"
    await pass_time(database)
    assert await found(chatbots[0], **ticket)


async def test_an_address_cannot_be_tried_with_many_references_by_any_callers(
    api: Api, chatbots: list[Api], database: Database
) -> None:
    ticket, other = await new_ticket(api), await new_ticket(api)
    for chatbot, number in zip(chatbots, SHARES, strict=False):
        assert await found(chatbot, **ticket)
        assert not any(await batch(chatbot, ((reference, ticket["email"]) for reference in references(number))))
    assert not any(await asyncio.gather(*(found(chatbot, **ticket) for chatbot in chatbots)))
    assert await found(chatbots[2], **other)
    await pass_time(database)
    assert await found(chatbots[0], **ticket)


async def test_a_caller_cannot_try_many_pairs(api: Api, chatbots: list[Api], database: Database) -> None:
    ticket = await new_ticket(api)
    chatbot, other, _ = chatbots
    for _ in range(OF_CALLER // 50):
        assert await found(chatbot, **ticket)
        assert not any(await batch(chatbot, zip(references(50), addresses(50), strict=True)))
    assert not await found(chatbot, **ticket)
    assert await found(other, **ticket)
    subject = chatbot.http.headers["authorization"]
    lines = [line for line in api.server.process.records("resolvers.guesses") if subject not in str(line)]
    assert lines[0]["message"] == "guesses of tickets are refused for a while"
    await pass_time(database)
    assert await found(chatbot, **ticket)


async def test_a_chatbot_with_many_customers_and_some_typing_errors_notices_nothing(
    api: Api, chatbots: list[Api]
) -> None:
    """Fifty look-ups, at once and one by one, a tenth of them wrong; and a customer who repeats an error."""
    tickets = [await new_ticket(api) for _ in range(25)]
    pairs = [(ticket["reference"], ticket["email"]) for ticket in tickets]
    wrong = [(ticket["reference"], email) for ticket, email in zip(tickets, addresses(3), strict=False)]
    for _ in range(2):
        assert await batch(chatbots[0], wrong + pairs) == [False] * len(wrong) + [True] * len(pairs)
    for _ in range(2 * OF_SUBJECT):
        assert not await found(chatbots[0], *wrong[0])
    assert all([await found(chatbots[0], *pair) for pair in pairs])


@pytest.mark.parametrize("place", [0, OF_SUBJECT, 99])
async def test_a_hundred_guesses_in_one_document_are_no_more_than_one_by_one(
    api: Api, chatbots: list[Api], place: int
) -> None:
    ticket = await new_ticket(api)
    emails = addresses(99)
    emails.insert(place, ticket["email"])
    assert any(await batch(chatbots[0], ((ticket["reference"], email) for email in emails))) == (place == 0)


async def test_guesses_of_many_requests_at_once_are_no_more_than_one_by_one(api: Api, chatbots: list[Api]) -> None:
    ticket = await new_ticket(api)
    wrong = [found(chatbots[0], ticket["reference"], email) for email in addresses(OF_SUBJECT)]
    assert not any(await asyncio.gather(*wrong, found(chatbots[0], ticket["reference"], "x@x.example")))
    assert not await found(chatbots[0], **ticket)


async def test_spelling_a_guess_differently_makes_no_new_guess_and_no_way_around(
    api: Api, chatbots: list[Api], database: Database
) -> None:
    ticket = await new_ticket(api)
    email, *others = addresses(OF_SUBJECT)
    spellings = [email, email.upper(), f" {email}", f"{email}\t", email.title()]
    for spelling in spellings:
        assert not await found(chatbots[0], ticket["reference"].lower(), spelling)
    assert await found(chatbots[0], **ticket)
    lower = ticket["reference"].lower()
    assert not any(await batch(chatbots[0], ((f" {lower} ", other.upper()) for other in others)))
    assert not await found(chatbots[0], ticket["reference"].lower(), f" {ticket['email'].upper()}")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await Pool.open(database_url, size=2)
    yield opened
    await opened.close()


async def test_a_guess_counts_if_its_caller_does_not_wait_for_the_answer(pool: Pool, database: Database) -> None:
    """As on a WebSocket, where a client can take back what has not been answered as soon as a right guess would be."""
    looking, answered = asyncio.Event(), asyncio.Event()

    async def nothing() -> None:
        looking.set()
        await answered.wait()

    guess = asyncio.create_task(Guesses(pool).counted(SERVICE, "TKT-HASTY", "hasty@x.example", nothing))
    await looking.wait()
    guess.cancel()
    answered.set()
    subject, _ = guesses.subjects("TKT-HASTY", "")
    await until(database, f"remaining = {OF_SUBJECT - 1} FROM tracking_guesses WHERE subject = '{subject}'")


async def test_further_wrong_guesses_of_a_ticket_are_slow(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """But neither a refusal, which need not be, nor a right guess."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def nothing() -> None:
        return None

    async def something() -> bytes:
        return b"{}"

    monkeypatch.setattr(asyncio, "sleep", sleep)
    counting = Guesses(pool)
    for n in range(OF_SUBJECT + 2):
        await counting.counted(SERVICE, "TKT-SLOWLY", f"{n}@x.example", nothing)
        assert await counting.counted(SERVICE, "TKT-SLOWLY", "x@x.example", something) == b"{}"
    assert pauses == [guesses.PAUSE_SECONDS] * (OF_SUBJECT - UNHURRIED)


async def test_a_refusal_looks_for_no_ticket(api: Api, chatbots: list[Api], database: Database) -> None:
    """So a right guess that is refused takes no longer than a wrong one."""
    ticket = await new_ticket(api)
    subject, _ = guesses.subjects(ticket["reference"], "")
    (explanation,) = explain.explain(TRACK, None, ticket, Viewer(Role.SERVICE, "x", "X"))
    statement = f"EXPLAIN (ANALYZE, COSTS off, TIMING off) {explanation.statement}"

    async def executed() -> bool:
        lines = [line for (line,) in await database.fetch(statement, *explanation.arguments)]
        (scan,) = [line for line in lines if " on tickets " in line]
        return "never executed" not in scan

    assert await executed()
    await database.execute("INSERT INTO tracking_guesses VALUES ($1, 0, now() + interval '1 hour')", subject)
    assert not await executed()


async def test_a_database_that_cannot_be_written_to_answers_all_the_same(
    api: Api, database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong guesses are slow then, one after another for each caller."""
    monkeypatch.setattr(guesses, "UNCOUNTED_SECONDS", 0.01)
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        reading = await Pool.open(database_url, size=2)
    finally:
        await database.execute(f"ALTER DATABASE {name} RESET ALL")
    looking = 0

    async def nothing() -> None:
        nonlocal looking
        looking += 1
        await asyncio.sleep(0)
        assert looking == 1
        looking -= 1

    viewer = Viewer(Role.SERVICE, "reader", "Reader")
    counting = Guesses(reading)
    try:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await guesses.forget(reading)
        await asyncio.gather(*(counting.counted(viewer, f"TKT-{n}", "x@x.example", nothing) for n in range(20)))
    finally:
        await reading.close()
    assert not await database.fetchval("SELECT count(*) FROM tracking_guesses WHERE subject = 'caller reader'")


async def test_old_counts_are_deleted(pool: Pool, database: Database) -> None:
    for subject, seconds in (("old", -1), ("new", 3_600)):
        row = f"('{subject}', 1, now() + {seconds} * interval '1 second')"
        await database.execute(f"INSERT INTO tracking_guesses VALUES {row}")
    await guesses.forget(pool)
    left = await database.fetch("SELECT subject FROM tracking_guesses WHERE subject IN ('old', 'new')")
    assert [subject for (subject,) in left] == ["new"]


async def test_counts_name_neither_references_nor_addresses(api: Api, chatbots: list[Api], database: Database) -> None:
    assert not await found(chatbots[0], "TKT-SECRET", "secret@x.example")
    everything = str(await database.fetch("SELECT * FROM tracking_guesses"))
    assert "reference " in everything
    assert "SECRET" not in everything.upper()
