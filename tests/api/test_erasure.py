"""Erasing a customer: what identified them is nowhere in the database afterwards, and everything else is as before."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from callout.settings import Settings
from db.enums import Role
from db.ids import new_id
from notifiers.vapid import VapidKey
from resolvers import identity
from tests.helpers.api import Api, Server
from tests.helpers.attached_files import announce, attach, attached
from tests.helpers.database_checks import Database, events, key, ticket_row, until
from tests.helpers.database_search import places_of, text_columns
from tests.helpers.graphql_ws_client import following, live
from tests.helpers.inbound_mail import message
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.process import callout_process
from tests.helpers.sessions import signed_in
from tests.helpers.upgrading import connected

KEY = VapidKey.generate()
WITHIN = 30.0  # seconds, after which a waiting test fails
ERASED = "done ticketsLeft customer { id name email phone accountNumber erasedAt }"
TICKET = """query($id: ID!) { ticket(by: {id: $id}) {
  version subject description resolution contact { name email phone } customer { name } property { address }
  chat { body } notes { nodes { body author { name } } } article { problem solution }
  history { nodes { kind actor { name } changes { field before after } } } } }"""
TEXTS = """subscription($after: String) { ticketChanged(after: $after) {
  __typename
  ... on TicketChange { cursor change ticketId ticket {
    version subject description resolution contact { name email phone } customer { name } } }
  ... on StreamReady { cursor } ... on StreamReset { reason } } }"""
COUNTS = "{ ticketCounts { all open inProgress resolved closed } tickets { totalCount } }"

NAME, EMAIL, PHONE = "Zebulon Quackenbush", "zebulon@quackenbush.test", "+1 (613) 555-0147"
FORMER, NUMBER = "zeb.xanthos@oldmail.test", "ZQ-778812"
ADDRESS, SITE = "77 Quagmire Lane, Zzyzx", "PZ-993311"
OLD_ADDRESS = "8 Formerly Street, Yggdrasil"
OTHER_NAME, OTHER_EMAIL = "Bartholomew Xylander", "bart@xylander.test"
SOUGHT = [
    *("zebulon", "quackenbush", "zebxanthos", "oldmail", "6135550147", NUMBER, SITE, "77quagmire", "zzyzx"),
    *("bartholomew", "xylander", "6135559999", "yggdrasil"),
]

# Columns that cannot have a customer's data, or only those of other people in their own right.
OTHERS = {
    *("alembic_version.version_num", "alembic_version.oldest_code", "event_log.cluster", "tickets.reference"),
    *(f"technicians.{name}" for name in ("name", "email", "phone")),
    *(f"api_keys.{name}" for name in ("name", "prefix", "secret_hash", "creator_id", "creator_name")),
    *("support_settings.admin_recipients", "support_settings.google_chat_webhook_url"),
    *(f"audit_entries.{name}" for name in ("object_id", "actor_id", "client", "changed")),
    *(f"erasures.{name}" for name in ("actor_id", "actor_name", "stage", "sought")),
    # Ids, digests and texts of our own.
    *("idempotency_keys.caller", "idempotency_keys.request_hash", "ticket_chats.creator_id"),
    *("idempotency_keys.device", "devices.digest", "devices.caller"),
    "ticket_texts.part",
    *(f"attachments.{name}" for name in ("sha256", "uploaded_sha256", "thumbnail", "reason")),
    *("inbound_messages.key", "inbound_messages.content", "inbound_messages.reason"),
    *(f"contact_confirmations.{name}" for name in ("token", "mailbox", "domain", "caller")),
    *("service_ticket_counts.creator_id", "token_revocations.subject", "tracking_guesses.subject"),
    "identities.issuer",
    *(f"webhooks.{name}" for name in ("secret", "previous_secret", "position", "author_id", "author_name")),
    *("webhooks.author_names", "webhooks.author_time_zone", "webhooks.author_email"),
    *("webhook_deliveries.said", "webhook_deliveries.cursor"),
    *(f"admins.{name}" for name in ("name", "email")),
    *("sessions.secret_hash", "sessions.previous_hash", "sign_in_links.secret_hash", "sign_in_links.next_path"),
    *("passkeys.credential_id", "passkeys.public_key"),
    *(f"push_subscriptions.{name}" for name in ("owner", "p256dh", "auth", "subjects")),
}


@pytest.fixture(scope="module")
def smtp() -> Iterator[MailServer]:
    with mail_server() as running:
        running.replies["RCPT"] = f"550 5.1.1 <{EMAIL}>: no such user"
        yield running


@pytest.fixture(scope="module")
def server(database_url: str, smtp: MailServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that sends mail, which is refused."""
    directory = tmp_path_factory.mktemp("server")
    mail = {"notify": "true", "smtp_url": smtp.url, "mail_from": "Callout <support@callout.test>"}
    secrets = {"jwt_secret": "s" * 48, "push_private_key": KEY.text}
    with callout_process(directory, database_url=database_url, **secrets, **mail) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret="s" * 48, data_dir=Path(directory))
        yield Server(process.url, known, database_url, process)


async def ingest(viewer: Api, raw: bytes) -> Any:
    selection = "outcome ticket { id }"
    return await viewer.done("inboundEmailIngest", selection, message={"encoded": base64.b64encode(raw).decode()})


async def resolved(api: Api, *tickets: str) -> None:
    for ticket in tickets:
        await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Done.")


async def erased(api: Api, customer: str) -> Any:
    """Erases a customer, and waits until it is done."""
    async with asyncio.timeout(WITHIN):
        while True:
            payload = await api.done("customerErase", ERASED, customerId=customer)
            if payload["done"]:
                assert payload["ticketsLeft"] == 0
                return payload["customer"]
            await asyncio.sleep(0.05)


async def decline(technician: Api, ticket: str, reason: str) -> None:
    found = await technician("query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }", id=ticket)
    given = {"assignmentId": found["ticket"]["assignment"]["id"], "reason": reason}
    await technician.done("assignmentAdvance", "__typename", to="DECLINED", **given)


class Everywhere:
    """A customer whose data are everywhere, with the ids of what was made for them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.customer = self.property = self.technician = self.neighbour = ""
        self.tickets: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.webhooks: list[str] = []

    async def write(self) -> None:
        api = self.api
        keyed = {"idempotencyKey": f"signup-{FORMER}"}
        self.customer = await api.new_customer(name=NAME, email=FORMER, phone=PHONE, accountNumber=NUMBER, **keyed)
        account = {"issuer": "https://login.test/", "subject": f"email|{EMAIL}"}
        await api.done("identityLink", "__typename", **account, person={"customerId": self.customer})
        self.property = await api.new_property(self.customer, address=OLD_ADDRESS, accountNumber=SITE)
        self.technician = await api.new_technician(name="Tess Okafor", email="tess@company.test")
        self.neighbour = await api.new_customer(name="Nora Neighbour", email="nora@neighbour.test")
        async with api.customer(self.customer) as zebulon:
            await self._by_the_customer(zebulon)
        await self.api.done("customerUpdate", "__typename", customerId=self.customer, email=EMAIL)
        await self.api.done("propertyUpdate", "__typename", propertyId=self.property, address=ADDRESS)
        async with api.service("chatbot") as chatbot:
            await self._by_the_chatbot(chatbot)
        await self._by_mail()
        await self._by_staff()
        await self._articles()
        await self._webhooks()
        await resolved(api, self.tickets["mail"], self.tickets["chat"], self.tickets["kept"], self.tickets["typed"])

    async def _by_the_customer(self, zebulon: Api) -> None:
        self.tickets["own"] = await zebulon.new_ticket(
            subject=f"{NAME.upper()}'s alarm",
            description=f"Call me: 613.555.0147, or write to {FORMER.upper()}.\nZebulon\nQuackenbush",
            customerId=self.customer,
            propertyId=self.property,
            idempotencyKey="own-1",
        )
        device = {"deviceId": f"{NAME}'s phone", "endpoint": f"https://push.test/{EMAIL}"}
        keys = {"p256dh": KEY.public, "auth": "A" * 22}  # any point of the curve
        await zebulon.done("pushSubscriptionSet", "__typename", **device, **keys)
        body = f"It is account {NUMBER.lower()}. Quackenbush, Zebulon"
        added = {"ticketId": self.tickets["own"], "body": body, "idempotencyKey": "note-1"}
        note = (await zebulon.done("noteAdd", "note { id }", **added))["note"]["id"]
        keyed = {"idempotencyKey": f"file-{EMAIL}", "contentType": "application/x-quackenbush"}
        self.files["own"] = await attach(zebulon, b"panel", noteId=note, name=f"{NAME}'s panel.jpg", **keyed)

    async def _by_the_chatbot(self, chatbot: Api) -> None:
        said = [
            {"author": "CUSTOMER", "body": f'I am "{NAME}",\n{EMAIL}, at {ADDRESS}', "at": "2026-11-23T08:15:00Z"},
            {"author": "BOT", "body": f"Hello {NAME}!", "at": "2026-11-23T08:15:01Z"},
        ]
        self.tickets["chat"] = await chatbot.new_ticket(
            contact={"name": NAME, "email": EMAIL, "phone": "6135550147"},
            chat={"messages": said, "conversationId": "tel:+16135550147"},
        )

    async def _by_mail(self) -> None:
        sender = f"{NAME} <{EMAIL}>"
        mine = {"message_id": "<1@mx.quackenbush.test>", "subject": f"From {NAME}"}
        new = await ingest(self.api, message(sender, f"Hello, {NAME} here.", cc=FORMER, **mine))
        assert new["outcome"] == "TICKET_CREATED"
        self.tickets["mail"] = new["ticket"]["id"]
        again = {"message_id": "<2@mx.quackenbush.test>", "in_reply_to": mine["message_id"]}
        assert (await ingest(self.api, message(sender, f"Me again, {EMAIL}\n-- \n{NAME}", **again)))[
            "outcome"
        ] == "NOTE_ADDED"
        spoilt = message(sender, base64.encodebytes(NAME.encode()), message_id=mine["message_id"])
        assert (await ingest(self.api, spoilt))["outcome"] == "KEPT_ASIDE"
        stranger = message("a <b>, c <d>", "=?utf-8?B?" + base64.b64encode(NAME.encode()).decode() + "?=")
        assert (await ingest(self.api, stranger))["outcome"] == "KEPT_ASIDE"
        about = {"subject": f"Undelivered: {EMAIL}", "cc": f"{EMAIL}, {FORMER}"}
        bounce = message("MAILER-DAEMON@mx.test", f"Sorry, {NAME}.", auto_submitted="yes", **about)
        assert (await ingest(self.api, bounce))["outcome"] == "IGNORED"
        former = f"Quackenbush <{FORMER}>"
        outsider = message(former, "The old address still works.", message_id="<3@mx.test>")
        self.tickets["kept"] = (await ingest(self.api, outsider))["ticket"]["id"]
        answer = message(former, "It does.", message_id="<4@mx.test>", in_reply_to="<3@mx.test>")
        assert (await ingest(self.api, answer))["outcome"] == "NOTE_ADDED"

    async def _by_staff(self) -> None:
        api = self.api
        own = self.tickets["own"]
        third = {"name": OTHER_NAME, "email": OTHER_EMAIL, "phone": "613-555-9999"}
        await api.done("ticketUpdate", "__typename", ticketId=own, contact=third)
        await api.done("ticketAssign", "__typename", ticketId=own, technicianId=self.technician)
        async with api.technician(self.technician) as tess:
            self.files["unfinished"], _ = await announce(tess, b"hall", ticketId=own, name=f"{ADDRESS}.jpg")
            self.files["inside"] = await attach(tess, b"inside", ticketId=own, name="hall.jpg")
            await tess.done("noteAdd", "__typename", ticketId=own, body=f"{OTHER_NAME} let me in at {ADDRESS}.")
            await decline(tess, own, f"{OTHER_NAME} does not answer.")
        await api.done("ticketResolve", "__typename", ticketId=own, resolution=f"Reset the panel of {NAME}.")
        await api.done("ticketUpdate", "__typename", ticketId=own, contact={"name": NAME, "email": EMAIL})
        next_door = await api.new_property(self.neighbour)
        for place, said in ((self.property, f"Ask for {NAME}."), (next_door, f"{NAME} next door has the key.")):
            await api.done("propertyAccessNoteAdd", "__typename", propertyId=place, body=said)
        await api.done("supportSettingsUpdate", "__typename", adminRecipients=["ada@company.test"])
        tried = {"channel": "EMAIL", "idempotencyKey": "tried"}  # the server's answer is kept with the key
        await api.done("supportSettingsTest", "results { said }", **tried)
        await api.done("supportSettingsUpdate", "__typename", adminRecipients=[])
        # One that goes to another customer, one that names them in passing, and one that is nobody's.
        given = await api.new_ticket(customerId=self.customer, subject=f"Of {NAME}")
        await api.done("ticketUpdate", "__typename", ticketId=given, customerId=self.neighbour)
        self.tickets["given"] = given
        self.tickets["other"] = await api.new_ticket(
            customerId=self.neighbour, subject="Fence", description=f"{NAME} ({EMAIL}) next door complains."
        )
        await api.done("ticketAssign", "__typename", ticketId=self.tickets["other"], technicianId=self.technician)
        async with api.technician(self.technician) as tess:
            await decline(tess, self.tickets["other"], f"{NAME} is a friend of mine.")
        self.files["other"] = await attach(
            api, b"fence", ticketId=self.tickets["other"], name="Mrs_Zebulon_Quackenbush.pdf"
        )
        typed = {"name": "Z. Q.", "email": EMAIL.upper(), "phone": None}
        self.tickets["typed"] = await api.new_ticket(contact=typed)

    async def _webhooks(self) -> None:
        """One that follows the customer, one that hides the name behind escapes, and one of somebody else."""
        api, named = (
            self.api,
            "subscription($search: String) { ticketChanged(filter: {search: $search}) { __typename } }",
        )
        literal = named.replace("($search: String)", "").replace("$search", f'"{NAME}"')
        of = [
            {"url": f"https://hooks.test/?of={EMAIL}", "document": named, "variables": f'{{"search": "{NAME}"}}'},
            {"url": "https://hooks.test/", "document": literal, "variables": "{}"},
            {"url": f"https://hooks.test/{NAME.replace(' ', '%20')}", "document": named},
            {"url": "https://hooks.test/", "document": literal.replace("Zebulon", "\\u005aebulon")},
            {"url": "https://hooks.test/", "document": named, "variables": '{"search": "Zebulon\\nQuackenbush"}'},
            {"url": "https://hooks.test/", "document": named, "variables": '{"search": "fence"}'},
        ]
        for given in of:
            made = await api.done("webhookCreate", "webhook { id }", **given)
            self.webhooks.append(made["webhook"]["id"])

    async def _articles(self) -> None:
        api = self.api
        article = await api.done("articleCreateFromTicket", "article { id }", ticketId=self.tickets["own"])
        published = {"articleId": article["article"]["id"], "published": True}
        await api.done("articleUpdate", "__typename", solution=f"Call {NAME}, then reset the panel.", **published)
        await api.done(
            "articleCreate",
            "__typename",
            problem=f"Moved from {OLD_ADDRESS}",
            solution=f"As at {ADDRESS}: {EMAIL} knows.",
        )


@pytest.fixture(scope="module")
async def everywhere(server: Server) -> Everywhere:
    async with Api(server) as admin:
        scene = Everywhere(admin)
        await scene.write()
        async with connected(server.database_url) as database:
            # As the files of a mail have it, and as it was announced until the file is checked.
            by_mail = (
                "UPDATE attachments SET creator_kind = 'CUSTOMER', creator_id = $1, content_type = $2 WHERE id = $3"
            )
            said = "UPDATE webhooks SET suspended_said = $1"  # as if an error had quoted a variable
            await database.execute(said, f"Variable $search of {NAME}")
            async with database.transaction():
                unknown = await identity.link_by_email(
                    cast(Any, database), Role.CUSTOMER, "provider", f"sub of {NAME}", EMAIL, "192.0.2.1"
                )
            assert unknown is None
            await database.execute(  # the planner forgets nothing about a table that is empty
                "INSERT INTO identities (id, issuer, subject, technician_id)"
                " SELECT gen_random_uuid(), 'provider', 'of a colleague', id FROM technicians LIMIT 1"
            )
            await signed_in(server.database_url, Role.CUSTOMER, key(scene.customer), user_agent=f"Phone of {NAME}")
            await database.execute(
                "INSERT INTO passkeys (id, credential_id, public_key, sign_count, customer_id, user_agent)"
                " VALUES ($1, '', '', 0, $2, $3)",
                *(new_id(), key(scene.customer), f"Phone of {NAME}"),
            )
            await database.execute(by_mail, f"mailto:{EMAIL}", "application/x-quackenbush", key(scene.files["inside"]))
    scene.api = Api(server)
    return scene


async def test_a_customer_is_nowhere_in_the_database_afterwards(
    api: Api, everywhere: Everywhere, database: Database
) -> None:
    """While they are in every column that can have them before. Streams deliver the change of each ticket, without what
    has been erased; so do replays from before."""
    await until(database, f"count(*) > 0 FROM deliveries WHERE said LIKE '%{EMAIL}%'")
    await until(database, f"count(*) > 0 FROM deliveries WHERE recipient = '{FORMER}' AND state = 'HELD'")
    await database.execute("ANALYZE")
    before = await places_of(database, SOUGHT)
    assert {place for place in before if "statistics" not in place} == await text_columns(database) - OTHERS
    assert before >= {"customers.email statistics", "uq_customers_email.lower statistics"}
    counts = await api(COUNTS)
    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    log = await database.fetch("SELECT id, xid::text, ticket_id, kind, at FROM ticket_events ORDER BY at, id")
    async with live(api) as dashboard:
        await dashboard.subscribe("1", TEXTS)
        assert (await dashboard.next())["__typename"] == "StreamReady"
        customer = await erased(api, everywhere.customer)
        assert await places_of(database, SOUGHT) == set()
        unsent = "SELECT count(*) FROM deliveries WHERE recipient LIKE '%erased.invalid' AND finished_at IS NULL"
        assert await database.fetchval(unsent) == 0
        streamed = [await dashboard.next() for _ in range(len(everywhere.tickets))]
    assert {each["ticketId"] for each in streamed} == set(everywhere.tickets.values())
    assert {each["change"] for each in streamed} == {"UPDATED"}
    assert customer == {
        "id": everywhere.customer,
        "name": "Erased customer",
        "email": f"{key(everywhere.customer).replace('-', '')}@erased.invalid",
        "phone": None,
        "accountNumber": f"ERASED-{key(everywhere.customer).replace('-', '')}",
        "erasedAt": customer["erasedAt"],
    }
    assert await api(COUNTS) == counts
    events = await database.fetch("SELECT id, xid::text, ticket_id, kind, at FROM ticket_events ORDER BY at, id")
    assert events[: len(log)] == log
    async with live(api) as returning:
        await returning.subscribe("1", TEXTS, after=cursor)
        replayed = [await returning.next() for _ in range(len(everywhere.tickets))]
        assert (await returning.next())["__typename"] == "StreamReady"
    assert [each["ticket"] for each in replayed] == [each["ticket"] for each in streamed]


async def test_what_is_not_theirs_stays(api: Api, everywhere: Everywhere, database: Database) -> None:
    await erased(api, everywhere.customer)
    tickets = {name: (await api(TICKET, id=id))["ticket"] for name, id in everywhere.tickets.items()}
    own, given, other, typed = (tickets[name] for name in ("own", "given", "other", "typed"))
    placeholder = (await erased(api, everywhere.customer))["email"]
    contact = {"name": "Erased customer", "email": placeholder, "phone": None}
    assert own["subject"] == "[erased]'s alarm"
    assert own["description"] == "Call me: [erased], or write to [erased].\n[erased]"
    assert own["contact"] == tickets["chat"]["contact"] == tickets["mail"]["contact"] == contact
    assert own["property"] == {"address": "Erased address"}
    assert [note["body"] for note in own["notes"]["nodes"]] == [
        "It is account [erased]. [erased]",
        "[erased] let me in at [erased].",
    ]
    assert [note["author"]["name"] for note in own["notes"]["nodes"]] == ["Erased customer", "Tess Okafor"]
    assert own["article"] == {"problem": "[erased]'s alarm", "solution": "Call [erased], then reset the panel."}
    assert [message["body"] for message in tickets["chat"]["chat"]] == [
        'I am "[erased]",\n[erased], at [erased]',
        "Hello [erased]!",
    ]
    nora = {"name": "Nora Neighbour", "email": "nora@neighbour.test", "phone": None}
    assert (given["customer"], given["contact"]) == ({"name": "Nora Neighbour"}, nora)
    assert (other["contact"], other["description"]) == (nora, "[erased] ([erased]) next door complains.")
    assert typed["contact"] == contact
    for id in everywhere.tickets.values():
        log = await events(database, id)
        assert all(earlier["after"] == later["before"] for earlier, later in pairwise(log))
        assert log[-1]["after"] == await ticket_row(database, id)
    changes = [change for event in own["history"]["nodes"] for change in event["changes"]]
    assert {"field": "resolution", "before": None, "after": "Reset the panel of [erased]."} in changes


async def test_files_that_came_while_a_ticket_was_theirs_are_deleted(
    api: Api, everywhere: Everywhere, database: Database
) -> None:
    """Whoever attached them. Files of others lose the names alone."""
    await erased(api, everywhere.customer)
    shown = {name: await attached(api, file, "state name url") for name, file in everywhere.files.items()}
    other = shown.pop("other")
    assert all(each == {"state": "ERASED", "name": "[erased]", "url": None} for each in shown.values())
    assert (other["state"], other["name"]) == ("READY", "Mrs [erased].pdf")
    assert other["url"] is not None
    named = "SELECT count(*) FROM attachments WHERE state = 'ERASED' AND (sha256 IS NOT NULL OR thumbnail IS NOT NULL)"
    assert await database.fetchval(named) == 0


async def test_webhooks_that_named_them_are_suspended_and_others_go_on(api: Api, everywhere: Everywhere) -> None:
    await erased(api, everywhere.customer)
    document = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Webhook { url document variables suspension } } }"
    shown = (await api(document, ids=everywhere.webhooks))["nodes"]
    assert [each["suspension"] for each in shown] == [*["ERASED"] * 5, None]
    assert [each["url"] for each in shown[:3]] == [
        "https://hooks.test/[erased]",
        "https://hooks.test/",
        "https://hooks.test/[erased]",
    ]
    assert [each["variables"] for each in shown] == [
        '{"search": "[erased]"}',
        "{}",
        "{}",
        "{}",
        '{"search": "[erased]"}',
        '{"search": "fence"}',
    ]
    assert '"[erased]"' in shown[1]["document"]
    assert shown[3]["document"] == "[erased]"


async def test_an_erasure_leaves_search_and_images_as_the_triggers_write_them(
    api: Api, everywhere: Everywhere, database: Database
) -> None:
    await erased(api, everywhere.customer)
    for column in ("search_text", "searchable"):
        wrong = f"""
            SELECT event.after ->> '{column}', tickets.{column} FROM tickets JOIN LATERAL (
                SELECT after FROM ticket_events WHERE ticket_id = tickets.id ORDER BY at DESC LIMIT 1) AS event ON true
            WHERE event.after ->> '{column}' IS DISTINCT FROM tickets.{column}"""
        assert await database.fetch(wrong) == []
    found = "query($search: String!) { tickets(filter: {search: $search}) { totalCount } }"
    assert (await api(found, search="quackenbush"))["tickets"]["totalCount"] == 0
    assert (await api(found, search="erased customer"))["tickets"]["totalCount"] > 0


async def test_repeating_an_erasure_changes_nothing(api: Api, everywhere: Everywhere, database: Database) -> None:
    first = await erased(api, everywhere.customer)
    events = await database.fetchval("SELECT count(*) FROM ticket_events")
    assert await erased(api, everywhere.customer) == first
    assert await database.fetchval("SELECT count(*) FROM ticket_events") == events


async def test_an_erasure_is_an_entry_of_the_audit_trail(api: Api, everywhere: Everywhere, database: Database) -> None:
    """The entries from before keep who changed which field and when."""
    await erased(api, everywhere.customer)
    await erased(api, everywhere.customer)
    listed = """query($id: ID!) { auditEntries(filter: {objectId: $id}) { nodes {
        action actor { name } changes { field before after } } } }"""
    erasing, updated, created = (await api(listed, id=everywhere.customer))["auditEntries"]["nodes"]
    assert (erasing["action"], erasing["actor"]["name"]) == ("ERASED", "The Boss")
    assert {"field": "name", "before": None, "after": "Erased customer"} in erasing["changes"]
    assert updated["changes"] == [{"field": "email", "before": "[erased]", "after": "[erased]"}]
    assert {change["after"] for change in created["changes"]} == {"[erased]"}


# Rights and refusals


async def test_open_tickets_stop_an_erasure(api: Api) -> None:
    customer = await api.new_customer()
    tickets = [await api.new_ticket(customerId=customer) for _ in range(12)]
    payload = await api.do("customerErase", f"done ticketsLeft {ERASED[17:]}", customerId=customer)
    (error,) = payload["userErrors"]
    assert (error["code"], error["field"]) == ("NOT_ALLOWED", ["input", "customerId"])
    assert re.fullmatch(
        r"The customer has open tickets: (TKT-\w{6}(, )?){10} and 2 more\. Resolve or close them first\.",
        error["message"],
    )
    assert (payload["done"], payload["customer"]["erasedAt"]) == (None, None)
    assert payload["customer"]["name"] != "Erased customer"
    await resolved(api, *tickets)
    await erased(api, customer)


async def test_an_erased_customer_loses_access_at_once(api: Api) -> None:
    customer = await api.new_customer()
    async with api.customer(customer) as zebulon, live(zebulon) as socket:
        assert (await zebulon("{ me { name } }"))["me"]["name"].startswith("Customer")
        await erased(api, customer)
        assert await socket.closed() == (4403, "Forbidden")

        async def refused() -> bool:
            response: httpx.Response = await zebulon.http.post("/graphql", json={"query": "{ me { name } }"})
            return response.status_code == 401

        async with asyncio.timeout(WITHIN):
            while not await refused():  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.05)


async def test_nothing_new_is_made_for_an_erased_customer(api: Api, database: Database) -> None:
    customer = await api.new_customer(email="gone@gone.test", accountNumber="GONE-1")
    site = await api.new_property(customer)
    ticket = await api.new_ticket(customerId=customer)
    await resolved(api, ticket)
    placeholder = (await erased(api, customer))["email"]
    given = {"subject": "s", "description": "d"}
    contact = {"name": "A", "email": "a@a.test"}
    assert await api.refused("ticketCreate", **given, customerId=customer) == [("NOT_FOUND", "customerId")]
    assert await api.refused("propertyCreate", customerId=customer, address="a", accountNumber="b") == [
        ("NOT_FOUND", "customerId")
    ]
    assert await api.refused("customerUpdate", customerId=customer, name="Back") == [("NOT_ALLOWED", "customerId")]
    assert await api.refused("propertyUpdate", propertyId=site, address="Back") == [("NOT_ALLOWED", "propertyId")]
    other = await api.new_ticket()
    assert await api.refused("ticketUpdate", ticketId=other, customerId=customer) == [("NOT_FOUND", "customerId")]
    async with api.service() as chatbot:
        for found in ({"contact": contact | {"email": placeholder}}, {"contact": contact, "accountNumber": "GONE-1"}):
            made = await chatbot.new_ticket(**found)
            assert (await api(TICKET, id=made))["ticket"]["customer"] is None
        taken = await ingest(api, message(f"A <{placeholder}>", "Boo."))
        assert taken["outcome"] == "KEPT_ASIDE"
        again = await ingest(api, message("Gone <gone@gone.test>", "I am back."))
        assert (await api(TICKET, id=again["ticket"]["id"]))["ticket"]["customer"] is None


async def test_no_mail_goes_to_an_erased_customer(api: Api, database: Database) -> None:
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    await until(database, f"state = 'DEAD' FROM deliveries WHERE ticket_id = '{key(ticket)}'")
    await resolved(api, ticket)
    await erased(api, customer)
    await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="OPEN")
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Hello?", internalOnly=False)
    await api.done("ticketResolve", "__typename", ticketId=ticket, resolution="Again.")
    listed = "query($id: ID!) { deliveries(filter: {ticketId: $id}) { nodes { id state recipient said } } }"
    deliveries = (await api(listed, id=ticket))["deliveries"]["nodes"]
    assert [each["state"] for each in deliveries] == ["DEAD", "DEAD"]  # of its creation and of its first resolution
    assert {each["recipient"].partition("@")[2] for each in deliveries} == {"erased.invalid"}
    assert await api.refused("deliveryRetry", deliveryId=deliveries[0]["id"]) == [("NOT_ALLOWED", "deliveryId")]


# Values


async def test_short_values_are_replaced_as_words_in_their_own_tickets_only(api: Api) -> None:
    customer = await api.new_customer(name="Li", phone="1", accountNumber="77", email="li@short.test")
    text = "Li's panel in the living room has 1 light, 77 beeps and LI on it."
    own, other = await api.new_ticket(customerId=customer, description=text), await api.new_ticket(description=text)
    await resolved(api, own, other)
    await erased(api, customer)
    assert (await api(TICKET, id=own))["ticket"]["description"] == (
        "[erased]'s panel in the living room has 1 light, [erased] beeps and [erased] on it."
    )
    assert (await api(TICKET, id=other))["ticket"]["description"] == text


async def test_values_that_others_share_are_replaced_in_their_own_tickets_only(api: Api) -> None:
    name, address = "Mary Quitecommon", "5 Shared Road, Town"
    first, second = (await api.new_customer(name=name), await api.new_customer(name=name))
    for each in (first, second):
        await api.new_property(each, address=address)
    text = f"{name} lives at {address}."
    own, others = [await api.new_ticket(customerId=each, description=text) for each in (first, second)]
    await resolved(api, own, others)
    await erased(api, first)
    assert (await api(TICKET, id=own))["ticket"]["description"] == "[erased] lives at [erased]."
    kept = (await api(TICKET, id=others))["ticket"]
    assert (kept["description"], kept["contact"]["name"], kept["customer"]["name"]) == (text, name, name)


async def test_a_text_at_its_limit_stays_within_it(api: Api) -> None:
    customer = await api.new_customer(name="Oz", email="oz@limit.test")
    ticket = await api.new_ticket(customerId=customer, subject="Oz " * 66 + "Oz")
    await resolved(api, ticket)
    await erased(api, customer)
    subject = (await api(TICKET, id=ticket))["ticket"]["subject"]
    assert len(subject) == 200
    assert set(subject.split()) == {"[erased]", "[e"}


async def test_viewers_who_follow_a_list_see_each_ticket_once(api: Api) -> None:
    customer = await api.new_customer()
    tickets = [await api.new_ticket(customerId=customer) for _ in range(3)]
    await resolved(api, *tickets)
    async with following(api) as dashboard:
        await erased(api, customer)
        changes = [await dashboard.next() for _ in tickets]
        assert [(each["ticketId"], each["change"], each["kind"], each["changedFields"]) for each in changes] == [
            (ticket, "UPDATED", "UPDATED", []) for ticket in tickets
        ]
        assert [each["ticket"]["version"] for each in changes] == [3, 3, 3]
        assert {each["actor"]["name"] for each in changes} == {"The Boss"}
        await dashboard.quiet()
