"""Files on tickets and notes: who may attach them, how many, and who learns of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from db.enums import AttachmentState, Role
from db.object_store import ObjectStore
from db.postgres.pool import Database as Pool
from db.viewer import Viewer
from notifiers.message_ids import OwnMail
from resolvers import object_sweep, upload
from resolvers.attachment import LOCK, ObjectGone, hold_object, keep, lock_number, put, settle
from resolvers.mutation import Call
from tests.helpers.api import Api
from tests.helpers.attached_files import announce, announced, ask, attach, attached, files_in, patch, url_of
from tests.helpers.database_checks import Database, key
from tests.helpers.graphql_ws_client import live

ATTACHED = """query($id: ID!) { ticket(by: {id: $id}) { updatedAt
  attachments { totalCount nodes { id name internalOnly note { id } } }
  history { totalCount nodes { kind attachment { id } changes { field } } } } }"""
CHANGES = """subscription { ticketChanged { __typename
  ... on TicketChange { kind change ticket { updatedAt attachments { nodes { state url } } } } } }"""
NOTHING = timedelta(0)


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    """Low limits; those of a day hold for each viewer."""
    return {
        "file_max_mib": "1",
        "ticket_files": "3",
        "ticket_files_mib": "2",
        "files_per_day": "30",
        "files_per_day_mib": "4",
        "files_per_day_service": "2",
    }


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await Pool.open(database_url, size=4)
    yield opened
    await opened.close()


# Who may attach


async def test_who_may_not_note_may_not_attach(api: Api) -> None:
    customer, technician = await api.new_customer(), await api.new_technician()
    ticket = await api.new_ticket(customerId=customer, technicianId=technician)
    stranger, other = api.customer(await api.new_customer()), api.technician(await api.new_technician())
    async with stranger, other, api.service() as chatbot:
        for viewer in (stranger, other, chatbot):
            assert await viewer.refused("attachmentCreate", **announced(b"x", ticketId=ticket)) == [
                ("NOT_FOUND", "ticketId")
            ]
        own = await chatbot.new_ticket()
        assert (await attached(chatbot, await attach(chatbot, b"x", ticketId=own)))["state"] == "READY"


async def test_files_are_internal_by_default_except_those_of_customers_and_services(api: Api) -> None:
    customer = await api.new_customer()
    async with api.customer(customer) as owner, api.service() as chatbot:
        ticket = await api.new_ticket(customerId=customer)
        for viewer, on, internal in ((api, ticket, True), (owner, ticket, False)):
            file = await attach(viewer, os.urandom(9), ticketId=on)
            assert await attached(viewer, file, "internalOnly") == {"internalOnly": internal}
        for viewer, on in ((owner, ticket), (chatbot, await chatbot.new_ticket())):
            refused = await viewer.refused("attachmentCreate", **announced(b"x", ticketId=on, internalOnly=True))
            assert refused == [("NOT_ALLOWED", "internalOnly")]


async def test_the_files_of_a_note_are_internal_if_it_is(api: Api) -> None:
    """Only its author can attach them, and a customer who comes later does not see them."""
    customer, later = await api.new_customer(), await api.new_customer()
    ticket, elsewhere = await api.new_ticket(customerId=customer), await api.new_ticket()
    noted = [
        (await api.done("noteAdd", "note { id }", ticketId=ticket, body="b", internalOnly=internal))["note"]["id"]
        for internal in (True, False)
    ]
    for note, internal in zip(noted, (True, False), strict=True):
        file = await attach(api, b"x", noteId=note, ticketId=ticket)
        assert await attached(api, file, "internalOnly note { id }") == {"internalOnly": internal, "note": {"id": note}}
        wrong = announced(b"x", noteId=note)
        assert await api.refused("attachmentCreate", **wrong, internalOnly=not internal) == [
            ("MISMATCH", "internalOnly")
        ]
        assert await api.refused("attachmentCreate", **wrong, ticketId=elsewhere) == [("MISMATCH", "noteId")]
    async with api.customer(customer) as owner:
        refused = [await owner.refused("attachmentCreate", **announced(b"x", noteId=note)) for note in noted]
        assert refused == [[("NOT_FOUND", "noteId")], [("NOT_ALLOWED", "noteId")]]
        shown = await owner("query($id: ID!) { node(id: $id) { ... on Note { attachments { totalCount } } } }", id=note)
        assert shown == {"node": {"attachments": {"totalCount": 1}}}
    await api.done("ticketUpdate", "__typename", ticketId=ticket, customerId=later)
    async with api.customer(later) as newcomer:
        await attach(api, b"y", ticketId=ticket, internalOnly=False)
        assert (await newcomer(ATTACHED, id=ticket))["ticket"]["attachments"]["totalCount"] == 1


async def test_a_file_needs_a_ticket_or_a_note(api: Api) -> None:
    assert await api.refused("attachmentCreate", **announced(b"x")) == [("REQUIRED", "ticketId")]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("contentType", ["", "image", "image/", "a/b\r\nset-cookie: x", "a b/c", "x/" + "y" * 127, "é/a"]),
        ("sha256", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 63 + "\n", "x" * 100_000]),
        ("size", [0, -1, 2**20 + 1, 2**31 - 1]),
    ],
)
async def test_a_bad_description_is_refused(api: Api, field: str, values: list[Any]) -> None:
    ticket = await api.new_ticket()
    for value in values:
        refused = await api.refused("attachmentCreate", **announced(b"x", ticketId=ticket) | {field: value})
        assert refused == [("INVALID", field)], value


async def test_parameters_of_a_type_are_left_out(api: Api) -> None:
    file = await attach(api, b"x", ticketId=await api.new_ticket(), contentType="Text/Plain; charset=utf-8")
    assert await attached(api, file, "contentType") == {"contentType": "text/plain"}


# How many


async def test_a_ticket_has_a_limited_number_of_files(api: Api) -> None:
    """Unfinished ones count, rejected ones do not."""
    ticket = await api.new_ticket()
    _, url = await announce(api, b"a", ticketId=ticket)
    assert (await patch(api, url, 0, b"b")).status_code == 422
    for _ in range(3):
        await announce(api, b"a", ticketId=ticket)
    assert await api.refused("attachmentCreate", **announced(b"a", ticketId=ticket)) == [("NOT_ALLOWED", "")]
    large = await api.new_ticket()
    for _ in range(2):
        await announce(api, bytes(2**20 - 1), ticketId=large)
    assert await api.refused("attachmentCreate", **announced(b"abc", ticketId=large)) == [("NOT_ALLOWED", "")]


async def test_each_viewer_may_attach_a_limited_number_of_files_in_a_day(api: Api, database: Database) -> None:
    customer = await api.new_customer()
    async with api.customer(customer) as owner, api.service("busy") as chatbot:
        for viewer, data in ((owner, bytes(2**20)), (chatbot, b"a")):
            tickets = [await viewer.new_ticket() for _ in range(5)]
            number = 4 if viewer is owner else 2
            for ticket in tickets[:number]:
                await announce(viewer, data, ticketId=ticket)
            assert await viewer.refused("attachmentCreate", **announced(data, ticketId=tickets[-1])) == [
                ("NOT_ALLOWED", "")
            ]
        await database.execute("UPDATE attachments SET created_at = now() - interval '25 hours'")
        await announce(owner, b"a", ticketId=await owner.new_ticket())


async def test_a_request_that_is_repeated_later_returns_the_file_without_a_url(api: Api, database: Database) -> None:
    """The URL is there until the file has arrived. Once an unfinished file has been deleted, the key is of no use."""
    ticket = await api.new_ticket()
    for finished in (True, False):
        input = announced(b"x", ticketId=ticket, idempotencyKey=f"finished {finished}")
        first = await api.done("attachmentCreate", "attachment { id } uploadUrl", **input)
        assert await api.done("attachmentCreate", "attachment { id } uploadUrl", **input) == first
        if finished:
            await patch(api, first["uploadUrl"], 0, b"x")
            again = await api.done("attachmentCreate", "attachment { id } uploadUrl", **input)
            assert again == first | {"uploadUrl": None}
        else:
            await database.execute("DELETE FROM attachments WHERE id = $1", key(first["attachment"]["id"]))
            assert await api.refused("attachmentCreate", **input) == [("NOT_FOUND", "idempotencyKey")]


# Who learns of it


async def test_an_internal_file_changes_nothing_that_customers_and_services_see(api: Api) -> None:
    """Nor does one that has not arrived, or that was rejected. A public one is an event, and changes `updatedAt`."""
    customer = await api.new_customer()
    async with api.customer(customer) as owner, api.service() as chatbot:
        ticket = await chatbot.new_ticket()
        await api.done("ticketUpdate", "__typename", ticketId=ticket, customerId=customer)
        before = [(await viewer(ATTACHED, id=ticket))["ticket"] for viewer in (owner, chatbot)]
        async with live(owner) as portal, live(chatbot) as window, live(api) as dashboard:
            for screen in (portal, window, dashboard):
                await screen.subscribe("1", CHANGES)
                assert (await screen.next())["__typename"] == "StreamReady"
            await attach(api, b"internal", ticketId=ticket)
            _, url = await announce(api, b"public", ticketId=ticket, internalOnly=False)
            await patch(api, url, 0, b"pub")
            assert [(await viewer(ATTACHED, id=ticket))["ticket"] for viewer in (owner, chatbot)] == before
            assert (await patch(api, url, 3, b"cil")).status_code == 422
            assert [(await viewer(ATTACHED, id=ticket))["ticket"] for viewer in (owner, chatbot)] == before
            public = await attach(api, b"public", ticketId=ticket, internalOnly=False)
            kinds = [(await dashboard.next())["kind"] for _ in range(3)]
            assert kinds == ["ATTACHMENT_ADDED", "ATTACHMENT_REJECTED", "ATTACHMENT_ADDED"]
            for screen in (portal, window):
                message = await screen.next()
                assert (message["kind"], message["change"]) == ("ATTACHMENT_ADDED", "UPDATED")
                (file,) = message["ticket"]["attachments"]["nodes"]
                assert (await ask(api, "GET", file["url"])).content == b"public"
            for viewer, earlier in zip((owner, chatbot), before, strict=True):
                now = (await viewer(ATTACHED, id=ticket))["ticket"]
                assert now["updatedAt"] == message["ticket"]["updatedAt"] > earlier["updatedAt"]
                assert [each["id"] for each in now["attachments"]["nodes"]] == [public]
                event = {"kind": "ATTACHMENT_ADDED", "attachment": {"id": public}, "changes": []}
                assert now["history"]["nodes"] == [*earlier["history"]["nodes"], event]


async def test_of_a_rejection_only_the_one_who_has_attached_the_file_learns(api: Api) -> None:
    """Besides the staff. It does not move the ticket up in anybody's list but theirs."""
    customer = await api.new_customer()
    async with api.customer(customer) as owner, api.service() as chatbot:
        ticket = await chatbot.new_ticket()
        await api.done("ticketUpdate", "__typename", ticketId=ticket, customerId=customer)
        before = [(await viewer(ATTACHED, id=ticket))["ticket"] for viewer in (owner, chatbot)]
        async with live(owner) as portal, live(chatbot) as window:
            for screen in (portal, window):
                await screen.subscribe("1", CHANGES)
                assert (await screen.next())["__typename"] == "StreamReady"
            file, url = await announce(owner, b"mine", ticketId=ticket)
            assert (await patch(owner, url, 0, b"nope")).status_code == 422
            assert (await portal.next())["kind"] == "ATTACHMENT_REJECTED"
            await attach(chatbot, b"theirs", ticketId=ticket)
            assert (await window.next())["kind"] == "ATTACHMENT_ADDED"
        of_owner, of_chatbot = [(await viewer(ATTACHED, id=ticket))["ticket"] for viewer in (owner, chatbot)]
        assert [event["kind"] for event in of_owner["history"]["nodes"][-2:]] == [
            "ATTACHMENT_REJECTED",
            "ATTACHMENT_ADDED",
        ]
        assert of_chatbot["history"]["totalCount"] == before[1]["history"]["totalCount"] + 1
        assert await attached(owner, file, "state") == {"state": "REJECTED"}
        assert await attached(chatbot, file, "state") is None


async def test_each_admin_gets_urls_of_their_own_in_a_stream(api: Api) -> None:
    """All admins share feeds, except for those with URLs."""
    ticket = await api.new_ticket()
    async with Api(api.server, subject="second boss") as second, live(api) as one, live(second) as two:
        for screen in (one, two):
            await screen.subscribe("1", CHANGES)
            assert (await screen.next())["__typename"] == "StreamReady"
        await attach(api, b"file", ticketId=ticket)
        urls = [(await screen.next())["ticket"]["attachments"]["nodes"][0]["url"] for screen in (one, two)]
    assert ["viewer=boss" in urls[0], "viewer=second%20boss" in urls[1]] == [True, True]
    for url in urls:
        assert (await ask(api, "GET", url)).content == b"file"


# Files that come with a mail, and what is left of files


def call_of(pool: Pool, folder: Path) -> Call:
    own_mail = OwnMail(frozenset(), "example.com")
    return Call(Viewer(Role.ADMIN, "keeper", "Keeper"), pool, {}, own_mail, files_in(folder))


async def kept(call: Call, ticket: str, data: bytes) -> str:
    stored = await put(call, data)
    async with call.transaction() as transaction:
        row = await transaction.fetchrow("SELECT id, customer_id FROM tickets WHERE id = $1 FOR UPDATE", key(ticket))
        assert row is not None
        return await keep(transaction, call, dict(row), None, "a/b.txt", "no type", stored, internal_only=True)


async def test_a_file_is_kept_at_once_and_stored_once(api: Api, database: Database, pool: Pool, tmp_path: Path) -> None:
    """One that exceeds a limit becomes a row that says so."""
    call, ticket = call_of(pool, tmp_path), await api.new_ticket()
    file, same = await kept(call, ticket, b"text"), await kept(call, ticket, b"text")
    shown = await attached(api, f"att_{file}", "name contentType size state")
    assert shown == {"name": "b.txt", "contentType": "application/octet-stream", "size": 4, "state": "SCANNING"}
    assert file != same
    digest = hashlib.sha256(b"text").digest()
    assert [[each for each, _ in batch] async for batch in call.files.store.digests(digest[0])] == [[digest]]
    large = await kept(call, ticket, bytes(2**20 + 1))
    shown = await attached(api, f"att_{large}", "state rejectedBecause")
    assert shown == {"state": "REJECTED", "rejectedBecause": "A file can have at most 1 MiB."}


async def test_objects_that_nothing_names_are_deleted_after_a_day(
    api: Api, database: Database, pool: Pool, tmp_path: Path
) -> None:
    call, ticket = call_of(pool, tmp_path), await api.new_ticket()
    store = call.files.store
    await kept(call, ticket, b"named")
    named, left = await put(call, b"named"), await put(call, b"left")
    assert await object_sweep.sweep(pool, store, left.digest[0]) == 0
    assert await object_sweep.sweep(pool, store, left.digest[0], NOTHING) == 1
    assert await object_sweep.sweep(pool, store, named.digest[0], NOTHING) == 0
    assert [await store.holds(each.digest) for each in (named, left)] == [True, False]


async def test_an_object_is_not_deleted_while_a_new_row_names_it(api: Api, pool: Pool, tmp_path: Path) -> None:
    """Nor is a row written whose object has just been deleted."""
    call = call_of(pool, tmp_path)
    store, stored = call.files.store, await put(call, b"contested")
    async with call.transaction() as transaction:
        await hold_object(transaction, store, stored.digest)
        assert await object_sweep.sweep(pool, store, stored.digest[0], NOTHING) == 0
    assert await store.holds(stored.digest)
    async with pool.transaction() as sweeping:
        await sweeping.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK, lock_number(stored.digest))
        naming = asyncio.create_task(kept_again(call, stored.digest))
        await store.delete(stored.digest)
    with pytest.raises(ObjectGone):
        await naming


async def kept_again(call: Call, digest: bytes) -> None:
    async with call.transaction() as transaction:
        await hold_object(transaction, call.files.store, digest)


async def test_an_upload_that_takes_too_long_is_deleted_unless_it_is_complete(
    api: Api, database: Database, pool: Pool
) -> None:
    store = ObjectStore(None, api.server.settings.data_dir / "files")
    ticket = await api.new_ticket()
    unfinished, url = await announce(api, b"unfinished", ticketId=ticket)
    await patch(api, url, 0, b"unf")
    complete, _ = await announce(api, b"complete", ticketId=ticket)
    await store.put_part(key(complete), 0, b"complete")
    await store.put_part("00000000-0000-7000-8000-000000000000", 0, b"of an upload that is over")
    await upload.expire(pool, store, timedelta(hours=1))  # those of other tests
    assert await object_sweep.sweep_uploads(pool, store) == 1
    assert (await attached(api, unfinished))["state"] == "UPLOADING"
    await database.execute("UPDATE attachments SET created_at = now() - interval '2 hours'")
    assert await upload.expire(pool, store, timedelta(hours=1)) > 0
    assert not {key(unfinished), key(complete)} & {*await store.uploads()}
    assert await attached(api, unfinished) is None
    assert (await ask(api, "GET", await url_of(api, complete))).content == b"complete"


async def test_an_attachment_is_settled_once(api: Api, database: Database, pool: Pool) -> None:
    ticket = await api.new_ticket()
    file = await attach(api, b"x", ticketId=ticket)
    events = await database.fetchval("SELECT count(*) FROM ticket_events")
    async with pool.transaction() as transaction:
        assert not await settle(transaction, key(file), AttachmentState.REJECTED, reason="Too late.")
        assert not await settle(transaction, key(ticket), AttachmentState.READY)
    assert await database.fetchval("SELECT count(*) FROM ticket_events") == events
    assert hashlib.sha256(b"x").digest() == await database.fetchval(
        "SELECT sha256 FROM attachments WHERE id = $1", key(file)
    )


async def test_a_customer_does_not_learn_that_the_former_one_s_file_is_ready(api: Api, pool: Pool) -> None:
    """A file can be checked after the ticket has changed hands."""
    ann, bob = await api.new_customer(), await api.new_customer()
    ticket = await api.new_ticket(customerId=ann)
    async with api.customer(ann) as former, api.customer(bob) as owner:
        file, _ = await announce(former, b"mine", ticketId=ticket)
        await api.done("ticketUpdate", "__typename", ticketId=ticket, customerId=bob)
        before = (await owner(ATTACHED, id=ticket))["ticket"]
        async with pool.transaction() as transaction:
            assert await settle(transaction, key(file), AttachmentState.READY)
        assert (await owner(ATTACHED, id=ticket))["ticket"] == before
    assert (await api(ATTACHED, id=ticket))["ticket"]["history"]["nodes"][-1]["kind"] == "ATTACHMENT_ADDED"
