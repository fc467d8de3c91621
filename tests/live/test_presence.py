"""Presence: who of the staff views or edits a ticket, through two servers on one database."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callout.settings import Settings
from pubsub.backends import APPLICATION_NAME
from pubsub.bell import CARGO, CHANNEL
from pubsub.presence import OF_PERSON_MAX
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.graphql_ws_client import WITHIN, Socket, live
from tests.helpers.process import callout_process
from tests.helpers.valkey import Valkey

SHORT = 3
"""Seconds that a presence lasts where its end is awaited."""

SELECTION = "presence { viewer { kind id name } state since } renewWithinSeconds"
SET = f"""mutation($input: PresenceSetInput!) {{
  presenceSet(input: $input) {{ {SELECTION} userErrors {{ code field message }} }} }}"""
FOLLOW = """subscription($ticket: ID!, $after: String) { ticketFollow(id: $ticket, after: $after) { __typename
  ... on TicketChange { change kind }
  ... on TicketPresence { ticketId present { viewer { kind id name } state since } } } }"""
LIVE = """subscription($filter: TicketFilter) { ticketsLive(filter: $filter, first: 2) { __typename
  ... on WindowSnapshot { edges { node { id } } } ... on WindowPatch { operations { __typename } }
  ... on TicketPresence { ticketId present { viewer { name } state } } } }"""
WITHOUT_PRESENCE = FOLLOW.replace("ticketId present { viewer { kind id name } state since }", "__typename")


@dataclass(frozen=True)
class Pair:
    """Two servers on one database, and an admin at each."""

    servers: tuple[Server, Server]
    here: Api
    there: Api


@contextmanager
def two_servers(directory: Path, database_url: str, **others: str) -> Iterator[tuple[Server, Server]]:
    secret = secrets.token_urlsafe(48)
    known = Settings(env="production", database_url=database_url, jwt_secret=secret, data_dir=directory)
    with ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            (directory / name).mkdir()
            settings = {"database_url": database_url, "jwt_secret": secret, **others}
            process = stack.enter_context(callout_process(directory / name, **settings))
            servers.append(Server(process.url, known, database_url, process))
        yield servers[0], servers[1]


@pytest.fixture(scope="module")
def servers(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    with two_servers(tmp_path_factory.mktemp("servers"), database_url) as both:
        yield both


@asynccontextmanager
async def admins(servers: tuple[Server, Server]) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(Api(server)) for server in servers]
        yield Pair(servers, here, there)


@pytest.fixture
async def pair(servers: tuple[Server, Server]) -> AsyncIterator[Pair]:
    async with admins(servers) as pair:
        yield pair


def at(api: Api, server: Server) -> Api:
    """The viewer as a client of another server."""
    viewer = Api(server)
    viewer.http.headers["authorization"] = api.http.headers["authorization"]
    return viewer


def colleague(server: Server, name: str = "Ann") -> Api:
    """Another admin."""
    return Api(server, subject=name.lower(), name=name)


async def set_over(socket: Socket, ticket: str, state: str | None) -> Any:
    await socket.subscribe("presence", SET, input={"ticketId": ticket, "state": state})
    payload = await socket.next()
    assert (await socket.receive())["type"] == "complete"
    assert payload["userErrors"] == []
    return payload["presence"]


@asynccontextmanager
async def watching(viewer: Api, ticket: str, document: str = FOLLOW) -> AsyncIterator[Socket]:
    async with at(viewer, viewer.server) as client:  # the other server may not have read the log up to the ticket yet
        after = (await client("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    async with live(viewer) as screen:
        await screen.subscribe("watch", document, ticket=ticket, after=after)
        assert (await screen.next())["__typename"] == "StreamReady"
        yield screen


async def present(screen: Socket) -> list[tuple[str, str]]:
    """Who is present, says the next message."""
    message = await screen.next()
    assert message["__typename"] == "TicketPresence", message
    return [(each["viewer"]["name"], each["state"]) for each in message["present"]]


async def until_present(screen: Socket, *expected: tuple[str, str]) -> None:
    """Waits for the message that says that these people are present; others may come before it."""
    async with asyncio.timeout(WITHIN):
        while sorted(await present(screen)) != sorted(expected):
            pass


async def test_colleagues_at_other_servers_see_who_comes_edits_and_goes(pair: Pair) -> None:
    ticket, other = await pair.here.new_ticket(), await pair.here.new_ticket()
    ann = colleague(pair.servers[0])
    async with watching(pair.there, ticket) as far, watching(pair.here, ticket) as near, live(ann) as device:
        await set_over(device, other, "EDITING")
        for state in ("VIEWING", "EDITING"):
            shown = await set_over(device, ticket, state)
            for screen in (near, far):
                message = await screen.next()
                assert message["ticketId"] == ticket
                (only,) = message["present"]
                assert only["viewer"] == shown["viewer"] == {"kind": "ADMIN", "id": only["viewer"]["id"], "name": "Ann"}
                assert only["state"] == state
        assert await set_over(device, ticket, None) is None
        assert await present(near) == await present(far) == []


async def test_who_comes_later_sees_who_is_there(pair: Pair) -> None:
    ticket = await pair.here.new_ticket()
    async with live(colleague(pair.servers[0])) as device:
        await set_over(device, ticket, "EDITING")
        async with watching(pair.here, ticket) as near, watching(pair.there, ticket) as far:
            assert await present(near) == await present(far) == [("Ann", "EDITING")]
            async with watching(pair.there, ticket) as later:
                assert await present(later) == [("Ann", "EDITING")]
            await near.quiet()


async def test_a_presence_ends_with_its_socket(pair: Pair) -> None:
    ticket = await pair.here.new_ticket()
    ann = colleague(pair.servers[0])
    async with watching(pair.there, ticket) as screen, live(ann) as phone:
        await set_over(phone, ticket, "VIEWING")
        await until_present(screen, ("Ann", "VIEWING"))
        async with live(ann) as laptop:
            await set_over(laptop, ticket, "EDITING")
            await until_present(screen, ("Ann", "EDITING"))
            laptop.connection.transport.abort()
            await until_present(screen, ("Ann", "VIEWING"))


async def test_a_presence_over_http_belongs_to_the_viewer_at_any_server(pair: Pair) -> None:
    ticket = await pair.here.new_ticket()
    async with (
        colleague(pair.servers[0]) as one,
        at(one, pair.servers[1]) as two,
        watching(pair.there, ticket) as far,
        watching(pair.here, ticket) as near,
    ):
        for viewer, state in ((one, "EDITING"), (two, "VIEWING"), (one, "EDITING")):
            await viewer.done("presenceSet", SELECTION, ticketId=ticket, state=state)
            for screen in (far, near):
                await until_present(screen, ("Ann", state))
        await two.done("presenceSet", SELECTION, ticketId=ticket, state=None)
        for screen in (far, near):
            await until_present(screen)


async def test_who_does_not_see_the_ticket_learns_nothing(pair: Pair) -> None:
    customer = await pair.here.new_customer()
    one, other = await pair.here.new_technician(name="One"), await pair.here.new_technician(name="Other")
    ticket = await pair.here.new_ticket(customerId=customer, technicianId=one)
    owner, stranger = pair.here.technician(one), at(pair.here.technician(other), pair.servers[1])
    async with (
        watching(owner, ticket) as mine,
        live(stranger) as theirs,
        live(pair.here.customer(customer)) as portal,
        live(colleague(pair.servers[0])) as device,
    ):
        await theirs.subscribe("watch", FOLLOW, ticket=ticket)
        await portal.subscribe("watch", WITHOUT_PRESENCE, ticket=ticket)
        for screen in (theirs, portal):
            assert (await screen.next())["__typename"] == "StreamReady"
        await set_over(device, ticket, "EDITING")
        assert await present(mine) == [("Ann", "EDITING")]
        await theirs.quiet()
        await portal.quiet()
        async with stranger:
            refused = await stranger.refused("presenceSet", ticketId=ticket, state="VIEWING")
        assert refused == [("NOT_FOUND", "ticketId")]
        await portal.subscribe("more", FOLLOW, ticket=ticket)
        answer = await portal.receive()
        assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")


async def test_who_loses_the_ticket_learns_nothing_more_and_is_gone_with_the_next_renewal(pair: Pair) -> None:
    one, other = await pair.here.new_technician(name="One"), await pair.here.new_technician(name="Other")
    ticket = await pair.here.new_ticket(technicianId=one)
    technician = at(pair.here.technician(one), pair.servers[1])
    async with (
        watching(technician, ticket) as theirs,
        watching(pair.here, ticket) as screen,
        live(technician) as device,
        live(colleague(pair.servers[0])) as anns,
    ):
        await set_over(device, ticket, "VIEWING")
        assert await present(theirs) == await present(screen) == [("One", "VIEWING")]
        await pair.here.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=other)
        assert [(await each.next())["kind"] for each in (theirs, screen)] == ["ASSIGNED", "ASSIGNED"]
        await set_over(anns, ticket, "EDITING")
        await until_present(screen, ("Ann", "EDITING"), ("One", "VIEWING"))
        await theirs.quiet()
        async with technician:
            refused = await technician.refused("presenceSet", ticketId=ticket, state="VIEWING")
        assert refused == [("NOT_FOUND", "ticketId")]
        await until_present(screen, ("Ann", "EDITING"))
        await theirs.quiet()


async def test_who_is_given_the_ticket_sees_who_is_on_it(pair: Pair) -> None:
    technician = await pair.here.new_technician(name="One")
    ticket = await pair.here.new_ticket()
    async with watching(pair.here.technician(technician), ticket) as screen, live(colleague(pair.servers[0])) as anns:
        await set_over(anns, ticket, "EDITING")
        await screen.quiet()
        await pair.here.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=technician)
        assert (await screen.next())["change"] == "ENTERED"
        assert await present(screen) == [("Ann", "EDITING")]


async def test_who_does_not_select_presence_gets_no_messages_of_it(pair: Pair) -> None:
    ticket = await pair.here.new_ticket()
    async with (
        watching(pair.here, ticket, WITHOUT_PRESENCE) as plain,
        watching(pair.here, ticket) as screen,
        live(colleague(pair.servers[1])) as device,
    ):
        await set_over(device, ticket, "VIEWING")
        assert await present(screen) == [("Ann", "VIEWING")]
        await plain.quiet()


async def test_the_rows_of_a_live_window_show_who_is_on_them(pair: Pair) -> None:
    below, upper = [await pair.here.new_ticket(subject="Glockenspiel") for _ in range(2)]
    async with live(pair.there) as screen, live(colleague(pair.servers[0])) as device:
        await set_over(device, below, "VIEWING")
        await screen.subscribe("window", LIVE, filter={"search": "glockenspiel"})
        snapshot = await screen.next()
        assert [edge["node"]["id"] for edge in snapshot["edges"]] == [upper, below]
        assert await present_on(screen) == (below, [("Ann", "VIEWING")])
        await set_over(device, upper, "EDITING")
        assert await present_on(screen) == (upper, [("Ann", "EDITING")])
        top = await pair.here.new_ticket(subject="Glockenspiel")
        assert len((await screen.next())["operations"]) == 2  # the lowest row leaves the window
        await set_over(device, below, "EDITING")
        await screen.quiet()
        await pair.here.done("ticketUpdate", "ticket { id }", ticketId=top, subject="A horn")
        assert len((await screen.next())["operations"]) == 2  # and comes back
        assert await present_on(screen) == (below, [("Ann", "EDITING")])
        await screen.quiet()


async def test_a_window_shows_nothing_of_a_ticket_that_its_technician_has_lost(pair: Pair) -> None:
    one, other = await pair.here.new_technician(name="One"), await pair.here.new_technician(name="Other")
    ticket = await pair.here.new_ticket(subject="Spinet", technicianId=one)
    technician = at(pair.here.technician(one), pair.servers[1])
    async with live(technician) as screen, live(colleague(pair.servers[0])) as device:
        await screen.subscribe("window", LIVE, filter={"search": "spinet"})
        assert len((await screen.next())["edges"]) == 1
        await set_over(device, ticket, "VIEWING")
        assert await present_on(screen) == (ticket, [("Ann", "VIEWING")])
        await pair.here.done("ticketAssign", "ticket { id }", ticketId=ticket, technicianId=other)
        assert (await screen.next())["operations"] == [{"__typename": "WindowRemove"}]
        await set_over(device, ticket, "EDITING")
        await screen.quiet()


async def present_on(screen: Socket) -> tuple[str, list[tuple[str, str]]]:
    message = await screen.next()
    assert message["__typename"] == "TicketPresence", message
    return message["ticketId"], [(each["viewer"]["name"], each["state"]) for each in message["present"]]


async def test_nothing_is_written(pair: Pair, database: asyncpg.Connection[asyncpg.Record]) -> None:
    ticket = await pair.here.new_ticket()
    version = "SELECT (SELECT count(*) FROM ticket_events), (SELECT max(version) FROM tickets)"
    before = await database.fetchrow(version)
    async with watching(pair.there, ticket) as screen, live(colleague(pair.servers[0])) as device:
        for state in ("VIEWING", "EDITING"):
            await set_over(device, ticket, state)
            await until_present(screen, ("Ann", state))
    assert await database.fetchrow(version) == before


async def test_presences_are_limited_for_each_person(pair: Pair) -> None:
    tickets = [await pair.here.new_ticket() for _ in range(OF_PERSON_MAX + 1)]
    inputs = [{"ticketId": ticket, "state": "VIEWING"} for ticket in tickets]
    async with colleague(pair.servers[0], "Everywhere") as ann:
        responses = await asyncio.gather(*(ann.respond(SET, {"input": input}) for input in inputs))
    codes = [error["extensions"]["code"] for response in responses for error in response.get("errors", ())]
    assert codes == ["LIMIT_EXCEEDED"]


@pytest.mark.parametrize(
    ("input", "errors"),
    [
        ({"state": "VIEWING", "ticketId": "tkt_1"}, [("INVALID", "ticketId")]),
        ({"state": "VIEWING", "ticketId": ""}, [("INVALID", "ticketId")]),
        ({"state": None, "ticketId": "tec_018f3c1e-0000-7000-8000-000000000000"}, [("INVALID", "ticketId")]),
        ({"state": "VIEWING", "ticketId": "tkt_018f3c1e-0000-7000-8000-000000000000"}, [("NOT_FOUND", "ticketId")]),
        ({"ticketId": "tkt_018f3c1e-0000-7000-8000-000000000000"}, [("REQUIRED", "state")]),
    ],
)
async def test_bad_input_is_refused(input: dict[str, Any], errors: list[tuple[str, str]], pair: Pair) -> None:
    assert await pair.here.refused("presenceSet", SELECTION, **input) == errors


async def test_only_staff_can_be_present(pair: Pair) -> None:
    customer = await pair.here.new_customer()
    ticket = await pair.here.new_ticket(customerId=customer)
    for viewer in (pair.here.customer(customer), await pair.here.with_new_key()):
        async with viewer:
            with pytest.raises(Refusal) as refusal:
                await viewer.do("presenceSet", SELECTION, ticketId=ticket, state="VIEWING")
        assert refusal.value.codes == ["FORBIDDEN"]


async def test_renewals_do_not_fill_the_log(pair: Pair) -> None:
    customer = await pair.here.new_customer()
    ticket = await pair.here.new_ticket(customerId=customer)
    await pair.here.done("presenceSet", SELECTION, ticketId=ticket, state="VIEWING")
    async with live(pair.here) as device:
        await set_over(device, ticket, "VIEWING")
    async with pair.here.customer(customer) as portal:
        with pytest.raises(Refusal):
            await portal.do("presenceSet", SELECTION, ticketId=ticket, state="VIEWING")
        portals = customer.removeprefix("cus_")
        async with asyncio.timeout(WITHIN):
            while not (lines := renewals(pair.servers[0], viewer=portals)):  # noqa: ASYNC110 (nothing to wait for)
                await asyncio.sleep(0.05)
    assert [line["code"] for line in lines] == ["FORBIDDEN"]
    assert renewals(pair.servers[0], code=None) == []


def renewals(server: Server, **like: object) -> list[dict[str, Any]]:
    lines = [line for line in server.process.records("callout.access") if line.get("mutations") == ["presenceSet"]]
    return [line for line in lines if like.items() <= line.items()]


async def test_the_payload_has_the_viewer_as_others_see_them(pair: Pair) -> None:
    technician = await pair.here.new_technician(name="Tess")
    ticket = await pair.here.new_ticket(technicianId=technician)
    async with pair.here.technician(technician) as tess:
        payload = await tess.done("presenceSet", SELECTION, ticketId=ticket, state="VIEWING")
    assert payload["presence"]["viewer"] == {"kind": "TECHNICIAN", "id": technician, "name": "Tess"}
    assert payload["renewWithinSeconds"] == 30
    ids = set()
    async with colleague(pair.servers[0]) as ann:
        for viewer in (pair.here, pair.there, ann):
            selection = f"kind: __typename {SELECTION}"
            payload = await viewer.done("presenceSet", selection, ticketId=ticket, state="EDITING")
            assert payload.pop("kind") == "PresenceSetPayload"
            assert payload["presence"]["viewer"]["kind"] == "ADMIN"
            ids.add(payload["presence"]["viewer"]["id"])
    assert len(ids) == 2
    assert not any(subject in id for subject in ("boss", "ann") for id in ids)


@pytest.mark.slow  # waits until presences end
async def test_a_presence_ends_when_it_is_not_renewed(fresh_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(two_servers(tmp_path, fresh_url, presence_seconds=str(SHORT)))
        pair = await stack.enter_async_context(admins(servers))
        ann = await stack.enter_async_context(colleague(servers[0]))
        bob = await stack.enter_async_context(live(colleague(servers[0], "Bob")))
        ticket = await pair.here.new_ticket()
        async with watching(pair.there, ticket) as screen:
            for _ in range(SHORT):  # they last for longer than without renewals
                await ann.done("presenceSet", SELECTION, ticketId=ticket, state="VIEWING")
                await set_over(bob, ticket, "EDITING")
                await asyncio.sleep(SHORT / 2)
            await until_present(screen, ("Ann", "VIEWING"), ("Bob", "EDITING"))
            await until_present(screen)
        await nothing_is_said(servers[0], ticket, bob)


async def nothing_is_said(server: Server, ticket: str, device: Socket) -> None:
    """Checks that servers send each other nothing about a ticket that nobody watches any more."""
    database = await asyncpg.connect(server.database_url)
    said: list[str] = []
    await database.add_listener(CHANNEL, lambda *arguments: said.append(str(arguments[3])))
    await asyncio.sleep(1.5 * SHORT)  # so long the server that has asked may be answered
    said.clear()
    for state in ("VIEWING", "EDITING", None) * 5:
        await set_over(device, ticket, state)
    await asyncio.sleep(2)  # at least a beat later, what was to be said has been said
    await database.close()
    assert said
    assert [message for message in said if message.startswith(CARGO)] == []


@pytest.mark.slow  # kills a server
@pytest.mark.parametrize("backend", ["postgresql", "valkey"])
async def test_the_presences_of_a_killed_server_end(
    backend: str, fresh_url: str, valkey: Valkey, tmp_path: Path
) -> None:
    url = {"postgresql": "postgres://", "valkey": valkey.url}[backend]
    with two_servers(tmp_path, fresh_url, pubsub_url=url, presence_seconds=str(SHORT)) as servers:
        async with admins(servers) as pair:
            ticket = await pair.here.new_ticket()
            async with watching(pair.here, ticket) as screen, live(colleague(servers[1])) as device:
                await set_over(device, ticket, "EDITING")
                await until_present(screen, ("Ann", "EDITING"))
                os.kill(servers[1].process.pid, signal.SIGKILL)
                await until_present(screen)


@pytest.mark.slow  # stops the line between the servers
async def test_presence_comes_back_after_an_outage_of_the_bell(fresh_url: str, valkey: Valkey, tmp_path: Path) -> None:
    with two_servers(tmp_path, fresh_url, pubsub_url=valkey.url, presence_seconds="30") as servers:
        async with admins(servers) as pair:
            ticket = await pair.here.new_ticket()
            async with (
                watching(pair.here, ticket) as screen,
                live(colleague(servers[1])) as device,
                live(colleague(servers[1], "Bob")) as other,
            ):
                await set_over(device, ticket, "VIEWING")
                await until_present(screen, ("Ann", "VIEWING"))
                valkey.kill()
                await set_over(device, ticket, "EDITING")
                await set_over(other, ticket, "VIEWING")
                await pair.there.done("noteAdd", "note { id }", ticketId=ticket, body="Nothing else is lost.")
                assert (await screen.next())["kind"] == "NOTE_ADDED"
                valkey.start()
                await until_present(screen, ("Ann", "EDITING"), ("Bob", "VIEWING"))


@pytest.mark.slow  # cuts connections to the database
async def test_presence_survives_cut_connections(fresh_url: str, tmp_path: Path) -> None:
    with two_servers(tmp_path, fresh_url, presence_seconds="30") as servers:
        async with admins(servers) as pair:
            ticket = await pair.here.new_ticket()
            async with watching(pair.here, ticket) as screen, live(colleague(servers[1])) as device:
                for state in ("VIEWING", "EDITING", "VIEWING"):
                    await set_over(device, ticket, state)
                    await until_present(screen, ("Ann", state))
                    connection = await asyncpg.connect(fresh_url)
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND application_name = $1",
                        APPLICATION_NAME,
                    )
                    await connection.close()
                await set_over(device, ticket, "EDITING")
                await until_present(screen, ("Ann", "EDITING"))
                os.kill(servers[1].process.pid, signal.SIGTERM)
                await until_present(screen)  # long before it would end by itself
