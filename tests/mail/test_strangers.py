"""Mail to addresses that outsiders have typed: nobody can use Callout to write to a stranger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from callout.settings import Settings
from db.postgres.pool import Database as Queue
from notifiers import screening, screening_rules
from notifiers.screening_rules import Limits
from notifiers.worker import Pace
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key
from tests.helpers.inbound_mail import message
from tests.helpers.notification_sink import WITHIN, Received, Sink, until, working
from tests.helpers.process import callout_process

BRISK = Pace(retry=0.1, retry_max=0.2)
ADA = "ada@company.test"


@dataclass
class People:
    """Two customers, with their addresses, and an admin recipient."""

    cora: str
    carl: str


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that believes the mail server mx.callout.test, behind a proxy on this machine."""
    directory = tmp_path_factory.mktemp("server")
    settings = {"database_url": database_url, "jwt_secret": "s" * 48, "mail_authserv_id": "mx.callout.test"}
    settings["trusted_proxies"] = "127.0.0.1"
    with callout_process(directory, **settings) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret="s" * 48, data_dir=directory)
        yield Server(process.url, known, database_url, process)


@pytest.fixture(scope="module")
async def people(server: Server) -> AsyncIterator[People]:
    async with Api(server) as api:
        yield People(
            cora=await api.new_customer(email="cora@customer.test", name="Cora Bell", accountNumber="CORA-1"),
            carl=await api.new_customer(email="carl@customer.test", name="Carl Ward"),
        )


@pytest.fixture(autouse=True)
async def empty_queue(database: Database, api: Api) -> None:
    await database.execute("DELETE FROM deliveries")
    await database.execute("DELETE FROM contact_confirmations")
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[])


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink.open() as opened:
        yield opened


def limited(server: Server, **limits: Any) -> Settings:
    """Returns the server's settings with other limits on mail: `summary_after=3`."""
    return server.settings.model_copy(update={f"mail_{name}": value for name, value in limits.items()})


def to(address: str, name: str = "Buy pills at evil.test") -> dict[str, Any]:
    return {"contact": {"name": name, "email": address}}


async def rows(database: Database, *columns: str) -> list[tuple[Any, ...]]:
    """Returns these columns of all deliveries, in their order."""
    found = await database.fetch(f"SELECT {', '.join(columns)} FROM deliveries ORDER BY created_at, queued_at, id")
    return [tuple(row) for row in found]


async def counted(database: Database) -> dict[tuple[str, str], int]:
    """Returns how many deliveries there are of each kind and state."""
    found = await database.fetch("SELECT kind, state, count(*) FROM deliveries GROUP BY 1, 2")
    return {(kind, state): number for kind, state, number in found}


async def settled(database: Database, expected: dict[tuple[str, str], int]) -> None:
    """Waits until the deliveries have these kinds and states."""
    try:
        async with asyncio.timeout(WITHIN):
            while await counted(database) != expected:  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.02)
    except TimeoutError:
        assert await counted(database) == expected
        raise


def kinds(sink: Sink) -> list[str]:
    return [notification["kind"] for notification in sink.taken]


def token_of(sink: Sink) -> str:
    """Returns the token in the last mail that asked to confirm an address."""
    asked: list[Received] = [each for each in sink.taken if each["kind"] == "CONFIRM_ADDRESS"]
    return str(asked[-1]["confirmation_token"])


async def visit(server: Server, method: str, token: str | None, client: str = "192.0.2.1") -> httpx.Response:
    """Opens the page that confirms an address, as a browser at the address `client` does, without a token of the
    API."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False) as browser:
        given = None if token is None else {"token": token}
        return await browser.request(method, "/confirm-address", params=given, headers={"x-forwarded-for": client})


# Who is asked


async def test_a_stranger_whom_a_customer_names_is_only_asked_to_confirm(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    async with api.customer(people.cora) as cora, working(server.settings, sink, pace=BRISK):
        ticket = await cora.new_ticket(subject="Buy pills", **to("stranger@example.com"))
        await settled(database, {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
    (mail,) = sink.taken
    assert (mail["kind"], mail["recipient"], mail["recipient_name"]) == ("CONFIRM_ADDRESS", "stranger@example.com", "")
    shown = "deliveries { nodes { kind state said recipient nextAttemptAt finishedAt } }"
    found = (await api(f"query($id: ID!) {{ ticket(by: {{ id: $id }}) {{ {shown} }} }}", id=ticket))["ticket"]
    held = next(node for node in found["deliveries"]["nodes"] if node["kind"] == "CREATED")
    assert held == {
        "kind": "CREATED",
        "state": "HELD",
        "said": "Waits until the recipient confirms the address.",
        "recipient": "stranger@example.com",
        "nextAttemptAt": None,
        "finishedAt": None,
    }


async def test_a_stranger_gets_one_mail_however_many_tickets_one_customer_creates(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    async with api.customer(people.cora) as cora, working(server.settings, sink, pace=BRISK):
        await asyncio.gather(*(cora.new_ticket(**to("victim@example.com")) for _ in range(12)))
        await settled(database, {("CREATED", "HELD"): 12, ("CONFIRM_ADDRESS", "SENT"): 1})
    assert kinds(sink) == ["CONFIRM_ADDRESS"]


async def test_many_callers_and_spellings_reach_one_mailbox_a_few_times(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    """Even while two workers look at the queue at once."""
    spellings = ["vic.tim@example.com", "VICTIM@example.com", "victim+1@example.com", "victim@EXAMPLE.com"]
    async with api.service() as bot, api.service("other bot") as other, api.customer(people.cora) as cora:
        callers = [bot, other, cora]
        async with (
            working(limited(server, confirmations_per_address=3), sink, pace=BRISK),
            working(limited(server, confirmations_per_address=3), sink, pace=BRISK),
        ):
            await asyncio.gather(
                *(callers[n % 2].new_ticket(**to(spellings[n % 4])) for n in range(16)),
                *(cora.new_ticket(**to(f"v.ictim+{n}@example.com")) for n in range(4)),
            )
            await settled(
                database, {("CREATED", "HELD"): 3, ("CREATED", "DROPPED"): 17, ("CONFIRM_ADDRESS", "SENT"): 3}
            )
    assert kinds(sink) == ["CONFIRM_ADDRESS"] * 3
    dropped = {said for state, said in await rows(database, "state", "said") if state == "DROPPED"}
    assert dropped == {screening_rules.OVERASKED}


async def test_a_customer_whom_the_form_of_a_stranger_names_is_only_asked_to_confirm(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    """Although the ticket's text came with a domain that the mail server has verified."""
    said = "mx.callout.test; dmarc=pass header.from=eve.test"
    raw = message("Shop <noreply@eve.test>", "Pay now.", reply_to="Cora@customer.test", authentication_results=said)
    async with working(server.settings, sink, pace=BRISK):
        await api.done("inboundEmailIngest", "outcome", message={"text": raw.decode()})
        await settled(database, {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
    assert [(mail["kind"], mail["recipient"]) for mail in sink.taken] == [("CONFIRM_ADDRESS", "Cora@customer.test")]


async def test_one_worker_screens_at_a_time(api: Api, database: Database, server: Server) -> None:
    """So that two of them cannot use the same room under a limit. The other one does not wait."""
    screened = "SELECT count(screened_at) FROM deliveries"
    await api.new_ticket()
    first, second = [await Queue.open(server.database_url, size=1) for _ in range(2)]
    async with first.transaction() as transaction:
        await transaction.execute("SELECT pg_advisory_xact_lock($1)", screening.LOCK)
        await screening.screen(second, Limits(), timedelta(days=1))
        assert await database.fetchval(screened) == 0
    await screening.screen(second, Limits(), timedelta(days=1))
    assert await database.fetchval(screened) == 1
    for each in (first, second):
        await each.close()


async def test_one_customer_reaches_a_few_strangers_and_the_rest_wait(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    async with (
        api.customer(people.cora) as cora,
        api.customer(people.carl) as carl,
        working(limited(server, confirmations_per_customer=3), sink, pace=BRISK),
    ):
        await asyncio.gather(*(cora.new_ticket(**to(f"stranger{n}@example.com")) for n in range(8)))
        await settled(database, {("CREATED", "HELD"): 3, ("CREATED", "PENDING"): 5, ("CONFIRM_ADDRESS", "SENT"): 3})
        waiting = await database.fetch(
            "SELECT said, due_at > now() + interval '50 min' FROM deliveries WHERE attempts = 0 AND state = 'PENDING'"
        )
        assert {tuple(row) for row in waiting} == {(screening_rules.WAITS_FOR_CALLER, True)}
        await carl.new_ticket(**to("another@example.com"))
        await settled(database, {("CREATED", "HELD"): 4, ("CREATED", "PENDING"): 5, ("CONFIRM_ADDRESS", "SENT"): 4})


async def test_a_few_addresses_of_one_domain_are_asked_and_the_rest_wait(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    """Whoever names them, however the domain is written. Admins see all of the tickets in their summary."""
    names = [
        "ann@b\u00fccher.example",
        "ben@xn--bcher-kva.example",
        "BEN+1@B\u00dcCHER.example",
        "col@b\u00fccher.example",
    ]
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[ADA])
    async with (
        api.customer(people.cora) as cora,
        api.service() as bot,
        working(limited(server, addresses_per_domain=2, summary_after=1), sink, pace=BRISK),
    ):
        for asked, (creator, name) in enumerate(zip((cora, bot, bot), names[:3], strict=True), start=1):
            await creator.new_ticket(**to(name))
            await until(lambda asked=asked: kinds(sink).count("CONFIRM_ADDRESS") == asked)  # type: ignore[misc]
        await cora.new_ticket(**to(names[3]))
        await settled(
            database,
            {
                ("CREATED", "HELD"): 3 + 2,
                ("CREATED", "PENDING"): 1 + 1,
                ("CREATED", "SENT"): 1,
                ("CONFIRM_ADDRESS", "SENT"): 3,
            },
        )
        waiting = await database.fetch(
            "SELECT recipient, said FROM deliveries WHERE state = 'PENDING' AND recipient <> $1", ADA
        )
        assert [tuple(row) for row in waiting] == [(names[3], screening_rules.WAITS_FOR_DOMAIN)]
        await cora.new_ticket(**to("dan@sub.b\u00fccher.example"))  # another domain
        await settled(
            database,
            {
                ("CREATED", "HELD"): 3 + 2 + 2,
                ("CREATED", "PENDING"): 1 + 1,
                ("CREATED", "SENT"): 1,
                ("CONFIRM_ADDRESS", "SENT"): 4,
            },
        )
        await database.execute("UPDATE deliveries SET due_at = now() WHERE summary_id = id")
        await until(lambda: any(each["summary"] for each in sink.taken))
    (summary,) = [each["summary"] for each in sink.taken if each["summary"]]
    assert len(summary) == 4


async def test_a_chatbots_stranger_is_asked_and_a_known_customer_is_not(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    async with api.service() as bot, working(limited(server, receipts_per_address=2), sink, pace=BRISK):
        await bot.new_ticket(**to("stranger@example.com"))
        await settled(database, {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
        for _ in range(3):  # no more than the limit, although the chatbot's visitor knows the address
            await bot.new_ticket(**to("Cora@Customer.test"))
        await settled(
            database,
            {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1, ("CREATED", "SENT"): 2, ("CREATED", "DROPPED"): 1},
        )
    assert [said for state, said in await rows(database, "state", "said") if state == "DROPPED"] == [
        screening_rules.OVERFULL
    ]


async def test_naming_a_customer_does_not_make_a_strangers_address_theirs(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        await bot.new_ticket(accountNumber="CORA-1", **to("stranger@example.com"))
        async with api.customer(people.carl) as carl:
            await carl.new_ticket(**to("cora@customer.test"))  # another customer's address is a stranger's, too
        await settled(database, {("CREATED", "HELD"): 2, ("CONFIRM_ADDRESS", "SENT"): 2})


async def test_a_forged_sender_of_mail_is_asked_to_confirm_and_a_verified_one_is_not(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    verified = "mx.callout.test; dmarc=pass header.from=example.com"
    async with working(server.settings, sink, pace=BRISK):
        for n, said in enumerate((None, None, verified.replace("mx", "mx.evil"))):
            mail = message("Buy pills <victim@example.com>", f"Pills {n}.", authentication_results=said)
            await api.done("inboundEmailIngest", "outcome", message={"text": mail.decode()})
        await settled(database, {("CREATED", "HELD"): 3, ("CONFIRM_ADDRESS", "SENT"): 3})
        assert {(each["kind"], each["recipient"]) for each in sink.taken} == {("CONFIRM_ADDRESS", "victim@example.com")}
        mail = message("Ann <ann@example.com>", "The panel beeps.", authentication_results=verified)
        await api.done("inboundEmailIngest", "outcome", message={"text": mail.decode()})
        await settled(database, {("CREATED", "HELD"): 3, ("CONFIRM_ADDRESS", "SENT"): 3, ("CREATED", "SENT"): 1})
    assert (sink.taken[-1]["kind"], sink.taken[-1]["recipient"]) == ("CREATED", "ann@example.com")


async def test_an_address_that_an_admin_gives_for_a_message_needs_no_confirmation(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    async with working(server.settings, sink, pace=BRISK):
        for given in ({"contactEmail": "Jo@example.com"}, {}):
            raw = message("sam@example.com", f"Call me. {given}", precedence="bulk")
            await api.done("inboundEmailIngest", "outcome", message={"text": raw.decode()})
            waiting = await api("{ inboundMessages(filter: {outcome: [IGNORED]}, first: 1) { nodes { id } } }")
            (found,) = waiting["inboundMessages"]["nodes"]
            await api.done("inboundMessageAccept", "__typename", inboundMessageId=found["id"], **given)
        await settled(database, {("CREATED", "SENT"): 1, ("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
    assert {(mail["kind"], mail["recipient"]) for mail in sink.taken} == {
        ("CREATED", "Jo@example.com"),
        ("CONFIRM_ADDRESS", "sam@example.com"),
    }


async def test_staff_and_customers_own_addresses_need_no_confirmation(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    tess = await api.new_technician()
    async with (
        api.customer(people.cora) as cora,
        api.technician(tess) as technician,
        working(limited(server, receipts_per_address=1), sink, pace=BRISK),
    ):
        await api.new_ticket(**to("john@example.com"))
        await technician.new_ticket(**to("john@example.com"))
        for given in ({}, {}, to("CORA@customer.test")):  # a limit for others' tickets is none for her own
            await cora.new_ticket(customerId=people.cora, **given)
        await settled(database, {("CREATED", "SENT"): 5})


# Confirming


async def test_a_stranger_is_not_shown_the_property_of_the_customer_whose_number_they_gave(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    site = await api.new_property(people.cora, address="7 Quiet Lane")
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        for address in ("stranger@example.com", "cora@customer.test"):
            ticket = await bot.new_ticket(accountNumber="CORA-1", **to(address))
            await api.done("ticketUpdate", "__typename", ticketId=ticket, propertyId=site)
            await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
        waiting = {("CREATED", "HELD"): 1, ("RESOLVED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1}
        await settled(database, waiting | {("CREATED", "SENT"): 1, ("RESOLVED", "SENT"): 1})
        await visit(server, "POST", token_of(sink))
        await until(lambda: kinds(sink).count("RESOLVED") == 2)
    shown = {
        each["recipient"]: (each["ticket"]["property_address"], each["ticket"]["customer_name"])
        for each in sink.taken
        if each["kind"] == "RESOLVED"
    }
    assert shown == {
        "stranger@example.com": (None, None),
        "cora@customer.test": ("7 Quiet Lane", "Cora Bell"),
    }


async def test_confirming_sends_what_has_waited_in_its_order(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        ticket = await bot.new_ticket(**to("stranger@example.com"))
        await settled(database, {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
        await api.done("noteAdd", "__typename", ticketId=ticket, body="We come on Monday.", internalOnly=False)
        await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")
        held = {("CREATED", "HELD"): 1, ("NOTE_ADDED", "HELD"): 1, ("RESOLVED", "HELD"): 1}
        await settled(database, {**held, ("CONFIRM_ADDRESS", "SENT"): 1})
        token = token_of(sink)
        for method in ("GET", "HEAD", "GET"):  # as programs do that check the links in mail
            assert (await visit(server, method, token)).status_code == 200
        assert await database.fetchval("SELECT count(confirmed_at) FROM contact_confirmations") == 0
        confirmed = await visit(server, "POST", token)
        assert (confirmed.status_code, "is confirmed" in confirmed.text) == (200, True)
        await settled(
            database, {(kind, "SENT"): 1 for kind in ("CREATED", "CONFIRM_ADDRESS", "NOTE_ADDED", "RESOLVED")}
        )
        again = await visit(server, "POST", token)
        assert (again.status_code, again.text) == (200, confirmed.text)
        await api.done("noteAdd", "__typename", ticketId=ticket, body="How is it?", internalOnly=False)
        await until(lambda: len(sink.taken) == 5)
    assert kinds(sink) == ["CONFIRM_ADDRESS", "CREATED", "NOTE_ADDED", "RESOLVED", "NOTE_ADDED"]


async def test_a_confirmation_counts_for_the_customer_who_typed_the_address_and_for_nobody_else(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    async with (
        api.customer(people.cora) as cora,
        api.customer(people.carl) as carl,
        api.service() as bot,
        working(limited(server, receipts_per_address=3), sink, pace=BRISK),
    ):
        await cora.new_ticket(**to("janitor@example.com"))
        await until(lambda: len(sink.taken) == 1)
        await visit(server, "POST", token_of(sink))
        await cora.new_ticket(**to("Janitor@example.com"))
        await settled(database, {("CREATED", "SENT"): 2, ("CONFIRM_ADDRESS", "SENT"): 1})
        await carl.new_ticket(**to("janitor@example.com"))
        await bot.new_ticket(**to("janitor@example.com"))
        await settled(database, {("CREATED", "SENT"): 2, ("CREATED", "HELD"): 2, ("CONFIRM_ADDRESS", "SENT"): 3})
        for _ in range(3):  # nor is it a consent to a flood
            await cora.new_ticket(**to("janitor@example.com"))
        await settled(
            database,
            {("CREATED", "SENT"): 3, ("CREATED", "HELD"): 2, ("CREATED", "DROPPED"): 2, ("CONFIRM_ADDRESS", "SENT"): 3},
        )


async def test_a_strangers_confirmation_to_a_chatbot_counts_for_that_ticket_alone(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    """The next one to type the address may be another."""
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        await bot.new_ticket(**to("john@example.com"))
        await until(lambda: len(sink.taken) == 1)
        await visit(server, "POST", token_of(sink))
        await settled(database, {("CREATED", "SENT"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
        await bot.new_ticket(**to("john@example.com"))
        await settled(database, {("CREATED", "SENT"): 1, ("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 2})


async def test_the_page_says_the_same_of_every_token_that_it_does_not_accept(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        await bot.new_ticket(**to("stranger@example.com"))
        await until(lambda: len(sink.taken) == 1)
    expired = token_of(sink)
    await database.execute("UPDATE contact_confirmations SET expires_at = now()")
    tokens = [expired, "A" * 43, expired[:-1], expired + "A", "", None, "' OR true --", "\0" * 43, "ü" * 43]
    refused = [await visit(server, "POST", token) for token in tokens]
    assert {(page.status_code, page.text) for page in refused} == {(404, refused[0].text)}
    assert await database.fetchval("SELECT count(confirmed_at) FROM contact_confirmations") == 0
    asked = [await visit(server, "GET", token) for token in tokens]
    assert {(page.status_code, page.text) for page in asked} == {(200, asked[0].text)}
    for page in (refused[0], asked[0]):
        assert "script" not in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
    assert expired not in server.process.log()


async def test_guesses_of_tokens_are_limited_for_each_client(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    """Also for a right token, so that the answer says nothing of it; a wrong one counts more than a right one."""
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        await bot.new_ticket(**to("stranger@example.com"))
        await until(lambda: len(sink.taken) == 1)
    token, wrong = token_of(sink), "A" * 43
    guesses = await asyncio.gather(*(visit(server, "POST", wrong, "2001:db8:1:2::1") for _ in range(100)))
    refused = [page for page in guesses if page.status_code == 429]
    assert {page.status_code for page in guesses} == {404, 429}
    assert len(refused) >= 60
    assert all(1 <= int(page.headers["retry-after"]) <= 3 for page in refused)
    assert {page.text for page in refused} == {refused[0].text}
    assert wrong not in refused[0].text
    right = await asyncio.gather(*(visit(server, "POST", token, "2001:db8:1:2:3::4") for _ in range(5)))
    assert 429 in {page.status_code for page in right}
    assert await database.fetchval("SELECT count(confirmed_at) FROM contact_confirmations") <= 1
    assert (await visit(server, "GET", token, "2001:db8:1:2::1")).status_code == 200
    others = [await visit(server, "POST", token, "2001:db8:1:3::1") for _ in range(25)]
    assert {page.status_code for page in others} == {200}


async def test_an_address_that_an_admin_enters_is_believed(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        ticket = await bot.new_ticket(**to("jon@example.com"))
        await settled(database, {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
        await api.done("ticketUpdate", "__typename", ticketId=ticket, contact={"email": "john@example.com"})
        await api.done("noteAdd", "__typename", ticketId=ticket, body="We come on Monday.", internalOnly=False)
        await settled(database, {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1, ("NOTE_ADDED", "SENT"): 1})
    assert sink.taken[-1]["recipient"] == "john@example.com"


async def test_what_nobody_confirms_is_dropped_and_the_next_note_asks_again(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        ticket = await bot.new_ticket(**to("stranger@example.com"))
        await settled(database, {("CREATED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
        await database.execute("UPDATE contact_confirmations SET expires_at = now() - interval '1 s'")
        await database.execute("UPDATE deliveries SET due_at = now() - interval '1 s' WHERE state = 'HELD'")
        await settled(database, {("CREATED", "DROPPED"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
        await api.done("noteAdd", "__typename", ticketId=ticket, body="Hello?", internalOnly=False)
        expected = {("CREATED", "DROPPED"): 1, ("NOTE_ADDED", "HELD"): 1, ("CONFIRM_ADDRESS", "SENT"): 2}
        await settled(database, expected)
    assert (await rows(database, "said"))[0] == (screening_rules.UNCONFIRMED,)


async def test_an_admin_can_send_what_is_held_or_dropped(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    retry = "deliveryRetry"
    async with api.service() as bot, working(limited(server, confirmations_per_address=1), sink, pace=BRISK):
        for _ in range(2):
            await bot.new_ticket(**to("stranger@example.com"))
        await settled(database, {("CREATED", "HELD"): 1, ("CREATED", "DROPPED"): 1, ("CONFIRM_ADDRESS", "SENT"): 1})
        stuck = await database.fetch("SELECT id FROM deliveries WHERE state IN ('HELD', 'DROPPED')")
        for row in stuck:
            await api.done(retry, "delivery { state }", deliveryId=f"dlv_{row['id']}")
        await settled(database, {("CREATED", "SENT"): 2, ("CONFIRM_ADDRESS", "SENT"): 1})


async def test_a_ticket_that_is_being_changed_delays_only_its_own_mail(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    async with api.service() as bot:
        locked, free = [await bot.new_ticket(**to(f"{name}@example.com")) for name in ("locked", "free")]
    transaction = database.transaction()
    await transaction.start()
    await database.execute("SELECT FROM tickets WHERE id = $1 FOR UPDATE", key(locked))
    async with working(server.settings, sink, pace=BRISK):
        await until(lambda: [each["recipient"] for each in sink.taken] == ["free@example.com"])
        await transaction.rollback()
        await settled(database, {("CREATED", "HELD"): 2, ("CONFIRM_ADDRESS", "SENT"): 2})
    assert free != locked


# Answers


async def test_a_technician_is_notified_of_a_few_answers_to_a_ticket_in_an_hour(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    tess = await api.new_technician()
    about = {"customerId": people.cora, "technicianId": tess}
    tickets = [await api.new_ticket(**about) for _ in range(3)]
    await database.execute("DELETE FROM deliveries")
    settings = limited(server, answers_per_ticket=2, answers_per_customer=3)
    answered = "CUSTOMER_ANSWERED"
    async with api.customer(people.cora) as cora, working(settings, sink, pace=BRISK):
        for number, ticket in enumerate((tickets[0], tickets[0], tickets[0], tickets[1], tickets[2])):
            await cora.done("noteAdd", "__typename", ticketId=ticket, body=f"Answer {number}")
            sent, dropped = (number + 1, 0) if number < 2 else (2, 1) if number == 2 else (3, number - 2)
            states = {(answered, "SENT"): sent} | ({(answered, "DROPPED"): dropped} if dropped else {})
            await settled(database, states)
    assert [each["note"] for each in sink.taken] == ["Answer 0", "Answer 1", "Answer 3"]


# Admins


async def test_an_admin_gets_one_summary_of_many_tickets(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    """Nothing is lost: the summary lists what had no mail of its own, the urgent ones first."""
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[ADA, "bea@company.test"])
    settings = limited(server, summary_after=2)
    async with api.customer(people.cora) as cora, working(settings, sink, pace=BRISK):
        tickets = [await cora.new_ticket(subject=f"Ticket {n}", customerId=people.cora) for n in range(5)]
        await api.done("ticketUpdate", "__typename", ticketId=tickets[4], priority="URGENT")
        await settled(database, {("CREATED", "SENT"): 9, ("CREATED", "PENDING"): 2, ("CREATED", "HELD"): 4})
        await database.execute("UPDATE deliveries SET due_at = now() WHERE summary_id = id")
        await settled(database, {("CREATED", "SENT"): 15})
    for recipient in (ADA, "bea@company.test"):
        *singles, summary = [each for each in sink.taken if each["recipient"] == recipient]
        assert [each["ticket"]["subject"] for each in singles] == ["Ticket 0", "Ticket 1"]
        assert [line["subject"] for line in summary["summary"]] == ["Ticket 4", "Ticket 2", "Ticket 3"]
    said = {
        said
        for summary_id, id_, said in await rows(database, "summary_id", "id", "said")
        if summary_id not in (id_, None)
    }
    assert said == {"Summary: 250 Thanks"}


async def test_the_space_gets_one_summary_of_many_tickets(
    api: Api, database: Database, sink: Sink, server: Server, people: People
) -> None:
    webhook = "https://chat.test/v1/spaces/A/messages?key=K&token=T"
    await api.done("supportSettingsUpdate", "__typename", googleChatWebhookUrl=webhook, googleChatEnabled=True)
    settings = limited(server, summary_after=2)
    try:
        async with api.customer(people.cora) as cora, working(settings, sink, pace=BRISK):
            for n in range(5):
                await cora.new_ticket(subject=f"Ticket {n}", customerId=people.cora)
            await settled(database, {("CREATED", "SENT"): 7, ("CREATED", "PENDING"): 1, ("CREATED", "HELD"): 2})
            await database.execute("UPDATE deliveries SET due_at = now() WHERE summary_id = id")
            await settled(database, {("CREATED", "SENT"): 10})
    finally:
        await api.done("supportSettingsUpdate", "__typename", googleChatEnabled=False)
    *singles, summary = [each for each in sink.taken if each["audience"] == "SPACE"]
    assert [each["ticket"]["subject"] for each in singles] == ["Ticket 0", "Ticket 1"]
    assert [line["subject"] for line in summary["summary"]] == ["Ticket 2", "Ticket 3", "Ticket 4"]


async def test_a_summary_that_cannot_be_sent_takes_its_tickets_along(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[ADA])
    sink.answer = lambda notification: "550 No" if notification["summary"] else "250 Yes"
    async with working(limited(server, summary_after=1), sink, pace=BRISK):
        for _ in range(3):
            await api.new_ticket()
        await settled(database, {("CREATED", "SENT"): 4, ("CREATED", "PENDING"): 1, ("CREATED", "HELD"): 1})
        await database.execute("UPDATE deliveries SET due_at = now() WHERE summary_id = id")
        await settled(database, {("CREATED", "SENT"): 4, ("CREATED", "DEAD"): 2})
        summary, included = [
            f"dlv_{id_}"
            for (id_,) in await database.fetch(
                "SELECT id FROM deliveries WHERE summary_id IS NOT NULL ORDER BY summary_id = id DESC"
            )
        ]
        assert await api.refused("deliveryRetry", deliveryId=included) == [("NOT_ALLOWED", "deliveryId")]
        sink.answer = lambda notification: "250 Yes"
        await api.done("deliveryRetry", "__typename", deliveryId=summary)
        await settled(database, {("CREATED", "SENT"): 6})


async def test_a_summary_of_one_ticket_is_an_ordinary_mail(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[ADA])
    async with working(limited(server, summary_after=1), sink, pace=BRISK):
        for _ in range(2):
            await api.new_ticket()
        await settled(database, {("CREATED", "SENT"): 3, ("CREATED", "PENDING"): 1})
        await database.execute("UPDATE deliveries SET due_at = now() WHERE summary_id = id")
        await settled(database, {("CREATED", "SENT"): 4})
    assert [each["summary"] for each in sink.taken] == [[]] * 4


async def test_an_admins_address_as_the_contact_hides_no_ticket_from_the_admin(
    api: Api, database: Database, sink: Sink, server: Server
) -> None:
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[ADA])
    async with api.service() as bot, working(server.settings, sink, pace=BRISK):
        await bot.new_ticket(**to(ADA.upper()))
        await settled(database, {("CREATED", "SENT"): 1})
    (mail,) = sink.taken
    assert (mail["kind"], mail["audience"]) == ("CREATED", "ADMIN")


def test_settings_of_limits_reach_the_workers(server: Server) -> None:
    limits = limited(
        server, summary_after=7, summary_minutes=3, receipts_per_address=9, answers_per_ticket=4
    ).mail_limits
    assert (limits.answers_per_ticket, limits.answers_per_customer) == (4, 60)
    assert (limits.summary_after, limits.summary_time.total_seconds(), limits.receipts_per_address) == (7, 180, 9)
