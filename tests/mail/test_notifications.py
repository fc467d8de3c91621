"""Who is notified of what: the deliveries that each change of a ticket queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from resolvers.support_settings import SWITCHABLE
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.database_checks import Database, events, key
from tests.helpers.paging import both_ways

ADMINS = ["ada@company.test", "bea@company.test"]
WEBHOOK = "https://chat.test/v1/spaces/A/messages?key=K&token=T"

# The deliveries of a ticket's creation, without the one to its contact.
CREATED = [("CREATED", "EMAIL", "ADMIN", ADMINS[0]), ("CREATED", "EMAIL", "ADMIN", ADMINS[1])]


@dataclass
class Company:
    customer: str
    tess: str
    tom: str


@pytest.fixture(scope="module")
async def company(server: Server) -> AsyncIterator[Company]:
    async with Api(server) as api:
        await settings(api, adminRecipients=ADMINS)
        yield Company(
            customer=await api.new_customer(email="cora@customer.test"),
            tess=await api.new_technician(email="tess@company.test", name="Tess"),
            tom=await api.new_technician(email="tom@company.test", name="Tom"),
        )


async def settings(api: Api, **given: Any) -> None:
    await api.done("supportSettingsUpdate", "__typename", **given)


async def deliveries_of(api: Api, ticket: str) -> list[tuple[str, str, str, str | None]]:
    """Returns a ticket's queued deliveries, sorted, as kind, channel, audience and recipient."""
    document = """query($id: ID!) { ticket(by: { id: $id }) { deliveries(first: 100) { totalCount
        nodes { kind channel audience recipient state attempts } } } }"""
    found = (await api(document, id=ticket))["ticket"]["deliveries"]
    assert found["totalCount"] == len(found["nodes"])
    assert all((node["state"], node["attempts"]) == ("PENDING", 0) for node in found["nodes"])
    return sorted((node["kind"], node["channel"], node["audience"], node["recipient"]) for node in found["nodes"])


class Ticket:
    """A ticket and those of its deliveries that are already known."""

    def __init__(self, api: Api, id_: str, known: list[Any]) -> None:
        self.api = api
        self.id = id_
        self._known = known

    async def new_deliveries(self) -> list[tuple[str, str, str, str | None]]:
        now = await deliveries_of(self.api, self.id)
        new = list(now)
        for old in self._known:
            new.remove(old)
        self._known = now
        return new

    async def mutate(self, mutation: str, **given: Any) -> list[tuple[str, str, str, str | None]]:
        """Runs a mutation of the ticket; returns the deliveries that it queued."""
        await self.api.done(mutation, "__typename", ticketId=self.id, **given)
        return await self.new_deliveries()


async def ticket(api: Api, **given: Any) -> Ticket:
    id_ = await api.new_ticket(**given)
    return Ticket(api, id_, await deliveries_of(api, id_))


def mail(kind: str, audience: str, recipient: str) -> tuple[str, str, str, str | None]:
    return (kind, "EMAIL", audience, recipient)


def chat(kind: str) -> tuple[str, str, str, str | None]:
    return (kind, "GOOGLE_CHAT", "SPACE", None)


@pytest.fixture
async def chatting(api: Api, company: Company) -> AsyncIterator[None]:
    await settings(api, googleChatWebhookUrl=WEBHOOK, googleChatEnabled=True)
    yield
    await settings(api, googleChatEnabled=False)


# Created


async def test_a_new_ticket_notifies_the_admins_and_the_customer(api: Api, company: Company) -> None:
    new = await api.new_ticket(contact={"name": "John", "email": "john@customer.test"})
    assert await deliveries_of(api, new) == [*CREATED, mail("CREATED", "CUSTOMER", "john@customer.test")]
    async with api.customer(company.customer) as owner, api.technician(company.tess) as tess, api.service() as bot:
        for viewer, address in ((owner, "cora@customer.test"), (tess, "john@example.com"), (bot, "john@example.com")):
            given = {"customerId": company.customer} if viewer is owner else {}
            assert await deliveries_of(api, await viewer.new_ticket(**given)) == [
                *CREATED,
                mail("CREATED", "CUSTOMER", address),
            ]


async def test_a_ticket_created_with_a_technician_notifies_the_technician_too(api: Api, company: Company) -> None:
    both = [*CREATED, mail("CREATED", "CUSTOMER", "john@example.com")]
    tess = mail("ASSIGNED", "TECHNICIAN", "tess@company.test")
    assert await deliveries_of(api, await api.new_ticket(technicianId=company.tess)) == [tess, *both]
    async with api.technician(company.tess) as worker:
        assert await deliveries_of(api, await worker.new_ticket(technicianId=company.tess)) == both


async def test_nobody_is_notified_twice_of_one_event(api: Api, company: Company) -> None:
    """Even if an address is written in another case, or belongs to several audiences."""
    await settings(api, adminRecipients=["Tess@Company.test", "JOHN@customer.test", "ada@company.test"])
    new = await api.new_ticket(contact={"name": "John", "email": "john@Customer.test"}, technicianId=company.tess)
    await settings(api, adminRecipients=ADMINS)
    assert await deliveries_of(api, new) == [
        mail("ASSIGNED", "TECHNICIAN", "tess@company.test"),
        mail("CREATED", "ADMIN", "ada@company.test"),
        mail("CREATED", "CUSTOMER", "john@Customer.test"),
    ]


async def test_a_ticket_created_with_a_technician_notifies_the_space_once(
    api: Api, company: Company, chatting: None
) -> None:
    new = await api.new_ticket(technicianId=company.tess)
    assert [each for each in await deliveries_of(api, new) if each[1] == "GOOGLE_CHAT"] == [chat("CREATED")]


# Assigned


async def test_an_assignment_notifies_the_new_and_the_previous_technician(
    api: Api, company: Company, chatting: None
) -> None:
    given = await ticket(api)
    tess, tom = ("tess@company.test", "tom@company.test")
    assert await given.mutate("ticketAssign", technicianId=company.tess) == [
        mail("ASSIGNED", "TECHNICIAN", tess),
        chat("ASSIGNED"),
    ]
    assert await given.mutate("ticketAssign", technicianId=company.tess) == []  # she has it already
    assert await given.mutate("ticketAssign", technicianId=company.tom) == [
        mail("ASSIGNED", "TECHNICIAN", tom),
        chat("ASSIGNED"),
        mail("UNASSIGNED", "TECHNICIAN", tess),
    ]
    nobody: dict[str, Any] = {"technicianId": None}
    assert await given.mutate("ticketAssign", **nobody) == [mail("UNASSIGNED", "TECHNICIAN", tom)]
    assert await given.mutate("ticketAssign", **nobody) == []


async def test_a_bulk_update_notifies_of_each_ticket(api: Api, company: Company) -> None:
    tickets = [await ticket(api), await ticket(api, technicianId=company.tess), await ticket(api)]
    ids = [each.id for each in tickets]
    closed = await ticket(api)
    await closed.mutate("ticketSetStatus", status="CLOSED")
    both = {"technicianId": company.tom, "status": "RESOLVED", "resolution": "All mended."}
    await api.done("ticketsBulkUpdate", "__typename", ticketIds=[*ids, closed.id, ids[0]], **both)
    resolved = [mail("ASSIGNED", "TECHNICIAN", "tom@company.test"), mail("RESOLVED", "CUSTOMER", "john@example.com")]
    lost = mail("UNASSIGNED", "TECHNICIAN", "tess@company.test")
    assert [await each.new_deliveries() for each in tickets] == [resolved, [*resolved, lost], resolved]
    assert await closed.new_deliveries() == []  # a closed ticket cannot be resolved, so nothing changed


async def test_an_inactive_technician_is_not_notified(api: Api, company: Company) -> None:
    gone = await api.new_technician(email="gone@company.test")
    theirs = await ticket(api, technicianId=gone)
    await api.done("technicianUpdate", "__typename", technicianId=gone, active=False)
    assert await theirs.mutate("ticketAssign", technicianId=company.tess) == [
        mail("ASSIGNED", "TECHNICIAN", "tess@company.test")
    ]


# Resolved


async def test_each_resolution_notifies_the_customer(api: Api, company: Company) -> None:
    fixed = await ticket(api, technicianId=company.tess)
    john = [mail("RESOLVED", "CUSTOMER", "john@example.com")]
    assert await fixed.mutate("ticketResolve", resolution="Battery.") == john
    assert await fixed.mutate("ticketResolve", resolution="New battery.") == []  # only reworded
    assert await fixed.mutate("ticketUpdate", resolution="A new battery.") == []
    assert await fixed.mutate("ticketSetStatus", status="CLOSED") == []
    reopened = [mail("REOPENED", "TECHNICIAN", "tess@company.test")]
    assert await fixed.mutate("ticketSetStatus", status="IN_PROGRESS") == reopened
    assert await fixed.mutate("ticketSetStatus", status="RESOLVED", resolution="A better battery.") == john
    assert await fixed.mutate("ticketSetStatus", status="OPEN") == reopened
    async with api.technician(company.tess) as worker:
        await worker.done("ticketResolve", "__typename", ticketId=fixed.id, resolution="Again.")
    assert await fixed.new_deliveries() == john


async def test_closing_with_a_resolution_notifies_the_customer(api: Api, company: Company) -> None:
    given = await ticket(api)
    resolved = [mail("RESOLVED", "CUSTOMER", "john@example.com")]
    assert await given.mutate("ticketSetStatus", status="CLOSED", resolution="Was no fault.") == resolved
    assert await (await ticket(api)).mutate("ticketSetStatus", status="CLOSED") == []


async def test_the_current_contact_is_notified(api: Api, company: Company) -> None:
    moved = await ticket(api)
    linked = {"customerId": company.customer, "contactFromCustomer": True}
    assert await moved.mutate("ticketUpdate", **linked) == []
    assert await moved.mutate("ticketResolve", resolution="Done.") == [
        mail("RESOLVED", "CUSTOMER", "cora@customer.test")
    ]


async def test_other_changes_notify_nobody(api: Api, company: Company, chatting: None) -> None:
    quiet = await ticket(api, technicianId=company.tess)
    assert await quiet.mutate("ticketSetStatus", status="IN_PROGRESS") == []
    assert await quiet.mutate("ticketUpdate", subject="Other", priority="URGENT", customerId=company.customer) == []
    await api.done("ticketsBulkUpdate", "__typename", ticketIds=[quiet.id], category="CCTV", priority="LOW")
    assert await quiet.new_deliveries() == []


# Notes


async def test_a_public_note_notifies_the_customer_unless_they_wrote_it(
    api: Api, company: Company, chatting: None
) -> None:
    noted = await ticket(api, customerId=company.customer, technicianId=company.tess)
    cora = [mail("NOTE_ADDED", "CUSTOMER", "cora@customer.test")]
    assert await noted.mutate("noteAdd", body="Between us.") == []
    assert await noted.mutate("noteAdd", body="Between us.", internalOnly=True) == []
    assert await noted.mutate("noteAdd", body="We come on Monday.", internalOnly=False) == cora
    async with api.technician(company.tess) as tess, api.customer(company.customer) as owner:
        await tess.done("noteAdd", "__typename", ticketId=noted.id, body="Hello.", internalOnly=False)
        assert await noted.new_deliveries() == cora
        await owner.done("noteAdd", "__typename", ticketId=noted.id, body="Good.")
        assert await noted.new_deliveries() == [
            mail("CUSTOMER_ANSWERED", "TECHNICIAN", "tess@company.test"),
            chat("CUSTOMER_ANSWERED"),
        ]


# Settings


async def test_notifications_can_be_switched_by_kind_and_channel(api: Api, company: Company, chatting: None) -> None:
    fields = "supportSettings { notices { kind email googleChat } }"
    default = (await api(f"{{ {fields} }}"))["supportSettings"]["notices"]
    assert default == [
        {"kind": "CREATED", "email": True, "googleChat": True},
        {"kind": "ASSIGNED", "email": True, "googleChat": True},
        {"kind": "UNASSIGNED", "email": True, "googleChat": False},
        {"kind": "DECLINED", "email": True, "googleChat": True},
        {"kind": "OVERDUE", "email": True, "googleChat": True},
        {"kind": "NOTE_ADDED", "email": True, "googleChat": False},
        {"kind": "CUSTOMER_ANSWERED", "email": True, "googleChat": True},
        {"kind": "RESOLVED", "email": True, "googleChat": False},
        {"kind": "REOPENED", "email": True, "googleChat": True},
    ]
    changed = await api.done(
        "supportSettingsUpdate",
        fields,
        notices=[
            {"kind": "CREATED", "email": False},
            {"kind": "ASSIGNED", "email": False, "googleChat": False},
            {"kind": "RESOLVED", "googleChat": True},
            {"kind": "NOTE_ADDED", "googleChat": True, "email": False},
            {"kind": "CUSTOMER_ANSWERED", "googleChat": False, "email": False},
            {"kind": "UNASSIGNED"},
        ],
    )
    assert changed["supportSettings"]["notices"] == [
        {"kind": "CREATED", "email": False, "googleChat": True},
        {"kind": "ASSIGNED", "email": False, "googleChat": False},
        {"kind": "UNASSIGNED", "email": True, "googleChat": False},
        {"kind": "DECLINED", "email": True, "googleChat": True},
        {"kind": "OVERDUE", "email": True, "googleChat": True},
        {"kind": "NOTE_ADDED", "email": False, "googleChat": True},
        {"kind": "CUSTOMER_ANSWERED", "email": False, "googleChat": False},
        {"kind": "RESOLVED", "email": True, "googleChat": True},
        {"kind": "REOPENED", "email": True, "googleChat": True},
    ]
    given = await ticket(api, technicianId=company.tess, customerId=company.customer)
    assert await deliveries_of(api, given.id) == [chat("CREATED")]
    assert await given.mutate("ticketAssign", technicianId=company.tom) == [
        mail("UNASSIGNED", "TECHNICIAN", "tess@company.test")
    ]
    assert await given.mutate("noteAdd", body="Public.", internalOnly=False) == [chat("NOTE_ADDED")]
    assert await given.mutate("noteAdd", body="Internal.") == []
    async with api.customer(company.customer) as owner:
        await owner.done("noteAdd", "__typename", ticketId=given.id, body="Mine.")
    assert await given.new_deliveries() == [chat("NOTE_ADDED")]
    both = [mail("RESOLVED", "CUSTOMER", "cora@customer.test"), chat("RESOLVED")]
    assert await given.mutate("ticketResolve", resolution="Done.") == both
    await settings(api, notices=default)
    assert (await api(f"{{ {fields} }}"))["supportSettings"]["notices"] == default


async def test_settings_of_recipients_and_google_chat_apply_at_once(api: Api, company: Company) -> None:
    await settings(api, adminRecipients=["new@company.test"])
    john = mail("CREATED", "CUSTOMER", "john@example.com")
    assert await deliveries_of(api, await api.new_ticket()) == [mail("CREATED", "ADMIN", "new@company.test"), john]
    await settings(api, adminRecipients=[])
    await settings(api, googleChatWebhookUrl=WEBHOOK)
    assert await deliveries_of(api, await api.new_ticket()) == [john]  # a webhook alone does not switch Google Chat on
    await settings(api, googleChatEnabled=True)
    assert await deliveries_of(api, await api.new_ticket()) == [john, chat("CREATED")]
    await settings(api, googleChatEnabled=False)
    assert await deliveries_of(api, await api.new_ticket()) == [john]
    await settings(api, adminRecipients=ADMINS)


@pytest.mark.parametrize(
    ("notices", "objections"),
    [
        (None, [("REQUIRED", "notices")]),
        ([{"kind": "TEST", "email": True}], [("INVALID", "notices.0.kind")]),
        ([{"kind": "CONFIRM_ADDRESS", "email": False}], [("INVALID", "notices.0.kind")]),
        ([{"kind": "CREATED"}, {"kind": "CREATED", "email": False}], [("INVALID", "notices.1.kind")]),
        (
            [{"kind": "CREATED", "email": None, "googleChat": None}],
            [("REQUIRED", "notices.0.email"), ("REQUIRED", "notices.0.googleChat")],
        ),
        ([{"kind": "CREATED"}] * (len(SWITCHABLE) + 1), [("TOO_LONG", "notices")]),
    ],
)
async def test_invalid_notification_settings_are_user_errors(
    api: Api, notices: Any, objections: list[tuple[str, str]]
) -> None:
    assert await api.refused("supportSettingsUpdate", notices=notices) == objections


# A repeated request notifies once, a failed one not at all


async def count(database: Database) -> int:
    found: int = await database.fetchval("SELECT count(*) FROM deliveries")
    return found


async def test_a_repeated_request_notifies_once(api: Api, company: Company, database: Database) -> None:
    sent: dict[str, Any] = {"subject": "Panel", "description": "Beeps.", "idempotencyKey": "sent-once"}
    sent["contact"] = {"name": "John", "email": "john@example.com"}
    made = await asyncio.gather(*(api.done("ticketCreate", "ticket { id }", **sent) for _ in range(8)))
    (id_,) = {payload["ticket"]["id"] for payload in made}
    assert await deliveries_of(api, id_) == [*CREATED, mail("CREATED", "CUSTOMER", "john@example.com")]
    note: dict[str, Any] = {"ticketId": id_, "body": "Once.", "internalOnly": False, "idempotencyKey": "noted-once"}
    before = await count(database)
    for _ in range(3):
        await api.done("noteAdd", "__typename", **note)
    assert await count(database) == before + 1


async def test_a_repeated_conversation_notifies_once(api: Api, company: Company) -> None:
    message = {"author": "BOT", "body": "Hello.", "at": "2026-11-23T08:15:00Z"}
    sent = {"chat": {"conversationId": "sent-twice", "messages": [message]}}
    async with api.service() as bot:
        first, second = await bot.new_ticket(**sent), await bot.new_ticket(**sent)
    assert first == second
    assert await deliveries_of(api, first) == [*CREATED, mail("CREATED", "CUSTOMER", "john@example.com")]


async def test_a_refused_mutation_notifies_nobody(api: Api, company: Company, database: Database) -> None:
    given = await ticket(api)
    before = await count(database)
    unknown = "tec_00000000-0000-7000-8000-000000000000"
    assert await api.refused("ticketAssign", ticketId=given.id, technicianId=unknown)
    assert await api.refused("ticketResolve", ticketId=given.id, resolution="Done.", ifVersion=99)
    assert await api.refused("ticketCreate", subject="x", description="x", contact={"name": "x"})
    assert await count(database) == before


async def test_a_failed_commit_notifies_nobody(api: Api, company: Company, database: Database) -> None:
    """A deferred constraint makes the commit fail."""
    await database.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'refused at the end'; END $$;
        CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON deliveries DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse()"""
    )
    before = await count(database), await database.fetchval("SELECT count(*) FROM tickets")
    with pytest.raises(Refusal) as refusal:
        await api.new_ticket()
    assert refusal.value.codes == ["INTERNAL"]
    assert (await count(database), await database.fetchval("SELECT count(*) FROM tickets")) == before
    await database.execute("DROP TRIGGER refused ON deliveries; DROP FUNCTION refuse()")


async def test_a_delivery_has_its_event_technician_and_actor(api: Api, company: Company, database: Database) -> None:
    given = await ticket(api)
    await given.mutate("ticketAssign", technicianId=company.tess)
    rows = await database.fetch(
        "SELECT event_id::text, technician_id::text, actor_name, created_at FROM deliveries WHERE ticket_id = $1"
        " AND kind = 'ASSIGNED'",
        key(given.id),
    )
    event = (await events(database, given.id))[-1]
    assert [(row["event_id"], row["technician_id"], row["actor_name"]) for row in rows] == [
        (event["id"], key(company.tess), "The Boss")
    ]


# Who sees deliveries

DELIVERIES = """query($filter: DeliveryFilter, $first: Int, $after: String, $last: Int, $before: String) {
    deliveries(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        totalCount nodes { id ticket { id } kind channel audience recipient state }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


async def test_technicians_see_deliveries_to_customers_to_spaces_and_to_themselves(
    api: Api, company: Company, chatting: None
) -> None:
    shared = await ticket(api, technicianId=company.tom)
    await shared.mutate("ticketAssign", technicianId=company.tess)
    async with api.technician(company.tess) as tess, api.technician(company.tom) as tom:
        mine = await deliveries_of(tess, shared.id)
        assert mine == [
            mail("ASSIGNED", "TECHNICIAN", "tess@company.test"),
            chat("ASSIGNED"),
            mail("CREATED", "CUSTOMER", "john@example.com"),
            chat("CREATED"),
        ]
        assert len(await deliveries_of(api, shared.id)) == len(mine) + 4  # to two admins, and twice to Tom
        lost = "query($id: ID!) { ticket(by: {id: $id}) { deliveries { totalCount } } }"
        assert await tom(lost, id=shared.id) == {"ticket": None}


async def test_the_list_of_all_deliveries_is_forbidden_to_other_roles(api: Api, company: Company) -> None:
    owned = await ticket(api, customerId=company.customer, technicianId=company.tess)
    (node, *_) = (await api(DELIVERIES, filter={"ticketId": owned.id}))["deliveries"]["nodes"]
    async with api.technician(company.tess) as tess, api.customer(company.customer) as owner, api.service() as bot:
        for viewer in (tess, owner, bot):
            documents = [
                "{ deliveries { totalCount } }",
                "mutation { supportSettingsTest(input: {channel: EMAIL}) { results { said } } }",
                f'mutation {{ deliveryRetry(input: {{deliveryId: "{node["id"]}"}}) {{ __typename }} }}',
            ]
            if viewer is not tess:
                documents.append("{ tickets { nodes { deliveries { totalCount } } } }")
            for document in documents:
                with pytest.raises(Refusal) as refusal:
                    await viewer(document)
                assert refusal.value.codes == ["FORBIDDEN"]


async def test_deliveries_are_filtered_and_paged(api: Api, company: Company, database: Database) -> None:
    given = [await ticket(api, contact={"name": "P", "email": f"Page{n}@customer.test"}) for n in range(4)]
    await database.execute(
        "UPDATE deliveries SET state = 'DEAD', said = '550 No', finished_at = now() WHERE ticket_id = $1"
        " AND audience = 'CUSTOMER'",
        key(given[0].id),
    )

    async def listed(**filter: Any) -> list[Any]:
        async def fetch(**page: Any) -> dict[str, Any]:
            found: dict[str, Any] = (await api(DELIVERIES, filter=filter, **page))["deliveries"]
            return found

        return await both_ways(fetch, 3)

    everything = await listed()
    assert len(everything) == await count(database)
    newest = [row["id"] for row in await database.fetch("SELECT id FROM deliveries ORDER BY created_at DESC, id DESC")]
    assert [node["id"] for node in everything] == [f"dlv_{id_}" for id_ in newest]
    for filter, expected in (
        ({"ticketId": given[1].id}, lambda node: node["ticket"]["id"] == given[1].id),
        ({"recipient": " pAGE2@customer.TEST "}, lambda node: node["recipient"] == "Page2@customer.test"),
        ({"state": ["DEAD"]}, lambda node: node["state"] == "DEAD"),
        ({"state": ["PENDING", "SENT"]}, lambda node: node["state"] == "PENDING"),
        ({"kind": ["CREATED"], "audience": ["ADMIN"]}, lambda node: node["audience"] == "ADMIN"),
        ({"channel": ["GOOGLE_CHAT"]}, lambda node: node["channel"] == "GOOGLE_CHAT"),
        (
            {"state": ["PENDING"], "ticketId": given[0].id},
            lambda node: node["ticket"]["id"] == given[0].id and node["state"] == "PENDING",
        ),
        ({"recipient": "page%"}, lambda node: False),
        ({"createdAt": {"until": "2020-01-01T00:00:00Z"}}, lambda node: False),
        ({"kind": ["TEST"]}, lambda node: False),
    ):
        wanted = [node for node in everything if expected(node)]
        assert await listed(**filter) == wanted, filter
    assert any(node["state"] == "DEAD" for node in everything)


async def test_only_a_dead_delivery_can_be_retried(api: Api, company: Company, database: Database) -> None:
    given = await ticket(api)
    (node, *_) = (await api(DELIVERIES, filter={"ticketId": given.id}))["deliveries"]["nodes"]
    assert await api.refused("deliveryRetry", deliveryId=node["id"]) == [("NOT_ALLOWED", "deliveryId")]
    unknown = "dlv_00000000-0000-7000-8000-000000000000"
    assert await api.refused("deliveryRetry", deliveryId=unknown) == [("NOT_FOUND", "deliveryId")]
    assert await api.refused("deliveryRetry", deliveryId=given.id) == [("INVALID", "deliveryId")]
    await database.execute(
        "UPDATE deliveries SET state = 'DEAD', attempts = 7, said = '550 No', finished_at = now(),"
        " queued_at = now() - interval '9 days' WHERE id = $1",
        key(node["id"]),
    )
    selection = "delivery { state attempts said finishedAt nextAttemptAt }"
    again = await asyncio.gather(*(api.do("deliveryRetry", selection, deliveryId=node["id"]) for _ in range(4)))
    assert sorted(len(payload["userErrors"]) for payload in again) == [0, 1, 1, 1]
    for payload in again:
        assert payload["delivery"].pop("nextAttemptAt")
        assert payload["delivery"] == {"state": "PENDING", "attempts": 0, "said": "550 No", "finishedAt": None}


async def test_a_test_of_an_unconfigured_channel_is_refused(api: Api, company: Company) -> None:
    assert await api.refused("supportSettingsTest", channel="EMAIL") == [("NOT_ALLOWED", "channel")]
