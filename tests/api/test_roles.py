"""Rights by role: docs/roles.md agrees with the schema, and the server agrees with the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import httpx
import pytest

from db.compiler.fields import Root
from db.enums import NO_SCOPE, STAFF, Role, ServiceScope
from resolvers.viewer import me
from schema import check_scopes
from tests.helpers import role_tables as roles
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.database_checks import Database, dump
from tests.helpers.graphql_ws_client import live
from tests.helpers.schema_walker import call, root_fields, unknown

Restriction: TypeAlias = tuple[str, frozenset[Role]]

A, T, C, S = Role
INITIALS = {A: "A", T: "T", C: "C", S: "S"}

# These tables repeat the decisions on roles, so that a change in the schema has to be made here too. Fields that are
# not listed are open to every role.
QUERIES = {
    "ticketTrack": "AS",
    "technicians": "AT",
    "deliveries": "A",
    "supportSettings": "A",
    "apiKeys": "A",
    "identities": "A",
    "admins": "A",
    "sessions": "ATC",
    "inboundMessages": "A",
    "auditEntries": "A",
    "webhooks": "AS",
    "webhookDeliveries": "AS",
    "pushPublicKey": "ATC",
}
MUTATIONS = {
    "ticketUpdate": "A",
    "ticketAssign": "A",
    "ticketSetStatus": "ATC",
    "ticketResolve": "AT",
    "presenceSet": "AT",
    "ticketsBulkUpdate": "A",
    "assignmentAdvance": "AT",
    "customerCreate": "A",
    "customerUpdate": "A",
    "customerErase": "A",
    "customerLookUp": "T",
    "propertyCreate": "A",
    "propertyUpdate": "A",
    "propertyAccessNoteAdd": "AT",
    "technicianCreate": "A",
    "technicianUpdate": "A",
    "articleCreate": "A",
    "articleCreateFromTicket": "A",
    "articleUpdate": "A",
    "deliveryRetry": "A",
    "supportSettingsUpdate": "A",
    "supportSettingsTest": "A",
    "apiKeyCreate": "A",
    "apiKeyUpdate": "A",
    "apiKeyRevoke": "A",
    "tokensRevoke": "A",
    "identityLink": "A",
    "identityRevoke": "A",
    "adminCreate": "A",
    "adminUpdate": "A",
    "sessionRevoke": "ATC",
    "inboundEmailIngest": "AS",
    "inboundMessageAccept": "A",
    "inboundMessageDiscard": "A",
    "webhookCreate": "AS",
    "webhookUpdate": "AS",
    "webhookRotateSecret": "AS",
    "webhookSuspend": "AS",
    "webhookResume": "AS",
    "webhookReplay": "AS",
    "webhookTest": "AS",
    "webhookDelete": "AS",
    "pushSubscriptionSet": "ATC",
    "pushSubscriptionRemove": "ATC",
}
SUBSCRIPTIONS = {
    "customerChanged": "ATC",
    "propertyChanged": "ATC",
    "technicianChanged": "AT",
    "auditEntryAdded": "A",
}
FIELDS = {
    "Note.senderVerified": "AT",
    "Note.quoted": "ATC",
    "Ticket.senderVerified": "AT",
    "Ticket.customerLinked": "AT",
    "TicketEvent.customerLinked": "AT",
    "TicketChange.deliveries": "AT",
    **{f"Assignment.{name}": "AT" for name in ("offeredAt", "deliveredAt", "seenAt", "acceptedAt", "reason")},
    "TicketPresence.ticketId": "AT",
    "TicketPresence.present": "AT",
    "Ticket.chat": "ATS",
    "Ticket.deliveries": "AT",
    "Customer.accountNumber": "ATC",
    "Customer.email": "ATC",
    "Customer.phone": "ATC",
    "Customer.properties": "ATC",
    "Customer.erasedAt": "AT",
    "Property.accessNotes": "AT",
    "Technician.email": "AT",
    "Technician.phone": "AT",
    "Technician.active": "AT",
    "Technician.tickets": "AT",
    "Technician.openTicketCount": "AT",
    "Technician.createdAt": "AT",
}
SCOPES = {
    ServiceScope.CHATBOT: {
        "Query": {
            *(
                "_entities",
                "node",
                "nodes",
                "me",
                "tickets",
                "ticket",
                "ticketCounts",
                "ticketTrack",
                "ticketEvents",
                "articles",
                "webhooks",
                "webhookDeliveries",
            ),
        },
        "Mutation": {
            *("ticketCreate", "attachmentCreate", "noteAdd", "commandsApply", "webhookCreate", "webhookUpdate"),
            *("webhookRotateSecret", "webhookSuspend", "webhookResume", "webhookReplay", "webhookTest"),
            "webhookDelete",
        },
        "Subscription": {
            *("ticketChanged", "ticketFollow", "ticketCountsChanged", "ticketsLive", "noteAdded", "articleChanged"),
        },
    },
    ServiceScope.MAIL_GATEWAY: {"Query": set(), "Mutation": {"inboundEmailIngest"}, "Subscription": set()},
}


PRESENCE = "TicketPresence"
"""A type of which only a subscription has fields."""


class Scene:
    """One ticket that a viewer of each role sees, with the customer and the technician on it."""

    def __init__(self, viewers: dict[Role, Api], ids: dict[str, str]) -> None:
        self.viewers = viewers
        self.ids = ids


@pytest.fixture(scope="module")
async def scene(server: Server) -> AsyncIterator[Scene]:
    async with Api(server) as admin, admin.service() as chatbot:
        customer = await admin.new_customer()
        property_id = await admin.new_property(customer)
        technician = await admin.new_technician()
        ticket = await chatbot.new_ticket(chat={"messages": [{"author": "BOT", "body": "Hello.", "at": NOW}]})
        await admin.done("ticketUpdate", "__typename", ticketId=ticket, customerId=customer, propertyId=property_id)
        await admin.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
        offered = await admin("query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }", id=ticket)
        assignment = offered["ticket"]["assignment"]["id"]
        await admin.done("assignmentAdvance", "__typename", assignmentId=assignment, to="ACCEPTED")
        history = "query($id: ID!) { ticket(by: {id: $id}) { history(first: 1) { nodes { id } } } }"
        created = await chatbot(history, id=ticket)
        noted = await admin.done("noteAdd", "note { id }", ticketId=ticket, body="x", internalOnly=False)
        ids = {
            "Note": noted["note"]["id"],
            "Ticket": ticket,
            "Assignment": assignment,
            "Customer": customer,
            "Property": property_id,
            "Technician": technician,
            "TicketEvent": created["ticket"]["history"]["nodes"][0]["id"],
        }
        async with admin.technician(technician) as worker, admin.customer(customer) as owner:
            yield Scene({A: admin, T: worker, C: owner, S: chatbot}, ids)


NOW = "2026-11-23T08:15:00Z"
NEW_TICKET: dict[str, Any] = {"subject": "x", "description": "x", "contact": {"name": "x", "email": "x@example.com"}}
HARMLESS = """first: ticketCreate(
    input: { subject: "x", description: "x", contact: { name: "x", email: "x@example.com" } }
) { __typename }"""


def outcome(response: httpx.Response) -> str:
    """Returns `FORBIDDEN` for a refusal with only that code, `allowed` for a response without errors, or with errors of
    objects alone that there are not."""
    body = response.json()
    codes = {error["extensions"]["code"] for error in body.get("errors", ())}
    if codes <= {"NOT_FOUND"}:
        assert (response.status_code, set(body) - {"errors"}) == (200, {"data"})
        return "allowed"
    assert "data" not in body
    assert (response.status_code, codes) == (403, {"FORBIDDEN"}), body
    return "FORBIDDEN"


async def allowed_by_server(scene: Scene, names: list[str], request: Callable[[str], dict[str, Any]]) -> dict[str, str]:
    """Returns, for each name, the initials of the roles that the server allows."""
    allowed = {}
    for name in names:
        outcomes = {
            role: outcome(await viewer.http.post("/graphql", json=request(name)))
            for role, viewer in scene.viewers.items()
        }
        allowed[name] = "".join(INITIALS[role] for role in Role if outcomes[role] == "allowed")
    return allowed


def test_the_page_agrees_with_the_schema() -> None:
    assert roles.PAGE.read_text() == roles.page(), "run `make schema`"


@pytest.mark.parametrize(
    ("derived", "decided"),
    [
        (list(roles.operations("Query")), QUERIES),
        (list(roles.operations("Mutation")), MUTATIONS),
        (list(roles.operations("Subscription")), SUBSCRIPTIONS),
        (list(roles.restricted_fields()), FIELDS),
    ],
    ids=["queries", "mutations", "subscriptions", "fields"],
)
def test_the_schema_agrees_with_the_decisions(derived: list[Restriction], decided: dict[str, str]) -> None:
    restricted = {name: "".join(INITIALS[role] for role in Role if role in allowed) for name, allowed in derived}
    assert restricted
    assert {name: allowed for name, allowed in restricted.items() if allowed != "ATCS"} == decided


async def test_each_query_is_allowed_as_on_the_page(scene: Scene) -> None:
    names = list(root_fields("Query"))
    allowed = await allowed_by_server(scene, names, lambda name: call("Query", name, unknown))
    assert allowed == {name: QUERIES.get(name, "ATCS") for name in names}


async def test_each_mutation_is_allowed_as_on_the_page(scene: Scene) -> None:
    """With unknown ids, so that allowed mutations change little: user errors are not errors."""
    names = list(root_fields("Mutation"))
    allowed = await allowed_by_server(scene, names, lambda name: call("Mutation", name, unknown))
    assert allowed == {name: MUTATIONS.get(name, "ATCS") for name in names}


async def test_each_subscription_is_allowed_as_on_the_page(scene: Scene) -> None:
    """tests/live/test_live.py tests which events each role receives."""
    first = dict.fromkeys(root_fields("Subscription"), "StreamReady")
    first |= {"ticketCountsChanged": "TicketCounts", "ticketsLive": "WindowSnapshot"}
    for role, viewer in scene.viewers.items():
        async with live(viewer) as screen:
            for name, expected in first.items():
                request = call("Subscription", name, unknown)
                await screen.subscribe(name, request["query"], **request["variables"])
                if INITIALS[role] in SUBSCRIPTIONS.get(name, "ATCS"):
                    assert (await screen.next())["__typename"] == expected
                else:
                    refused = await screen.receive()
                    assert (refused["type"], refused["id"]) == ("error", name)
                    assert [error["extensions"]["code"] for error in refused["payload"]] == ["FORBIDDEN"]


async def test_each_restricted_field_is_allowed_as_on_the_page(scene: Scene) -> None:
    def request(name: str) -> dict[str, Any]:
        type_, _, field = name.partition(".")
        if type_ == "TicketChange":
            return {"query": f"{{ ticketEvents {{ nodes {{ {field} {{ id }} }} }} }}"}
        lists = ("properties", "tickets", "deliveries")
        selection = f"{field} {{ totalCount }}" if field in lists else {"chat": "chat { body }"}.get(field, field)
        document = f"query($id: ID!) {{ node(id: $id) {{ ... on {type_} {{ {selection} }} }} }}"
        return {"query": document, "variables": {"id": scene.ids[type_]}}

    fields = {name: roles for name, roles in FIELDS.items() if not name.startswith(f"{PRESENCE}.")}
    assert await allowed_by_server(scene, list(fields), request) == fields


async def test_each_field_of_presence_is_allowed_as_on_the_page(scene: Scene) -> None:
    fields = [(name, roles) for name, roles in FIELDS.items() if name.startswith(f"{PRESENCE}.")]
    assert fields
    for role, viewer in scene.viewers.items():
        async with live(viewer) as screen:
            for name, allowed in fields:
                field = {"present": "present { state }"}.get(name.partition(".")[2], name.partition(".")[2])
                document = f"subscription($id: ID!) {{ ticketFollow(id: $id) {{ ... on {PRESENCE} {{ {field} }} }} }}"
                await screen.subscribe(name, document, id=scene.ids["Ticket"])
                first = await screen.receive()
                assert first["type"] == ("next" if INITIALS[role] in allowed else "error"), (role, name)


async def test_a_forbidden_mutation_changes_nothing(scene: Scene, database: Database) -> None:
    """Each forbidden mutation, on existing objects, and together with an allowed one."""

    def existing(name: str) -> str:
        return scene.ids.get(name.removesuffix("Id").removesuffix("Ids").capitalize(), unknown(name))

    before = await dump(database)
    refused = 0
    for name, allowed in MUTATIONS.items():
        for role, viewer in scene.viewers.items():
            if INITIALS[role] not in allowed:
                request = call("Mutation", name, existing)
                document = request["query"]
                request["query"] = document.replace("{ ", f"{{ {HARMLESS} ", 1)
                response = await viewer.http.post("/graphql", json=request)
                assert outcome(response) == "FORBIDDEN"
                refused += 1
    assert refused == sum(4 - len(allowed) for allowed in MUTATIONS.values())
    assert await dump(database) == before


async def test_a_refusal_reveals_no_more_than_the_page(scene: Scene) -> None:
    """The message is the same for existing and unknown objects, wherever the field is selected."""
    refusals = set()
    for id_ in (scene.ids["Ticket"], unknown("id")):
        for document in (
            "query($id: ID!) { node(id: $id) { ... on Ticket { chat { body } } } }",
            "query($id: ID!) { me { name } node(id: $id) { ...F } } fragment F on Ticket { a: chat { body } }",
        ):
            with pytest.raises(Refusal) as refusal:
                await scene.viewers[C](document, id=id_)
            (error,) = refusal.value.response["errors"]
            refusals.add((error["extensions"]["code"], error["message"]))
    assert refusals == {("FORBIDDEN", "The role customer cannot read Ticket.chat.")}


async def test_a_forbidden_field_is_refused_next_to_introspection(scene: Scene) -> None:
    body = {"query": "{ __schema { queryType { name } } apiKeys { totalCount } }"}
    for role in (T, C, S):
        assert outcome(await scene.viewers[role].http.post("/graphql", json=body)) == "FORBIDDEN"


async def test_a_skipped_forbidden_field_is_not_refused(scene: Scene) -> None:
    document = "query($staff: Boolean!) { me { name } apiKeys @include(if: $staff) { totalCount } }"
    assert list(await scene.viewers[C](document, staff=False)) == ["me"]
    with pytest.raises(Refusal) as refusal:
        await scene.viewers[C](document, staff=True)
    assert refusal.value.codes == ["FORBIDDEN"]


async def test_every_operation_needs_a_token(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as nobody:
        for operation in ("Query", "Mutation"):
            for name in root_fields(operation):
                response = await nobody.post("/graphql", json=call(operation, name, unknown))
                assert response.status_code == 401
                assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["UNAUTHENTICATED"]
        assert (await nobody.post("/graphql", json={"query": "{ __schema { queryType { name } } }"})).status_code == 401


# Scopes of services


@pytest.fixture(scope="module")
async def keys(scene: Scene) -> AsyncIterator[dict[ServiceScope, Api]]:
    """A client with an API key of each scope."""
    async with AsyncExitStack() as stack:
        yield {
            scope: await stack.enter_async_context(await scene.viewers[A].with_new_key(scope=scope))
            for scope in ServiceScope
        }


@pytest.mark.parametrize("operation", ["Query", "Mutation", "Subscription"])
def test_the_schema_agrees_with_the_decisions_on_scopes(operation: str) -> None:
    derived = {name: {each for each in rights if each in SCOPES} for name, rights in roles.operations(operation)}
    assert derived == {name: {scope for scope in SCOPES if name in SCOPES[scope][operation]} for name in derived}


@pytest.mark.parametrize("operation", ["Query", "Mutation"])
async def test_each_root_field_is_allowed_to_each_scope_as_on_the_page(
    scene: Scene, keys: dict[ServiceScope, Api], operation: str
) -> None:
    """Also when a service without a scope, or of another one, has just asked the same."""
    for name in root_fields(operation):
        body = call(operation, name, unknown)
        for viewer in (scene.viewers[S], scene.viewers[A]):
            await viewer.http.post("/graphql", json=body)
        for scope, viewer in (keys | dict(reversed(keys.items()))).items():
            allowed = name in SCOPES[scope][operation]
            answered = outcome(await viewer.http.post("/graphql", json=body))
            assert answered == ("allowed" if allowed else "FORBIDDEN"), (name, scope)


async def test_each_subscription_is_allowed_to_each_scope_as_on_the_page(keys: dict[ServiceScope, Api]) -> None:
    for scope, viewer in keys.items():
        async with live(viewer) as screen:
            for name in root_fields("Subscription"):
                request = call("Subscription", name, unknown)
                await screen.subscribe(name, request["query"], **request["variables"])
                answer = await screen.receive()
                if name in SCOPES[scope]["Subscription"]:
                    assert answer["type"] == "next"
                else:
                    assert [each["extensions"]["code"] for each in answer["payload"]] == ["FORBIDDEN"]


INGEST = 'inboundEmailIngest(input: {message: {text: "From: a@x.example\\n\\nHello."}})'


FRAGMENT = "fragment F on InboundEmailIngestPayload { t: ticket { id } }"


async def test_a_scope_is_not_widened_by_the_form_of_a_document(
    keys: dict[ServiceScope, Api], database: Database
) -> None:
    """By neighbours, aliases, fragments, directives, introspection, the other transport, or what is allowed."""
    gateway, chatbot = keys[ServiceScope.MAIL_GATEWAY], keys[ServiceScope.CHATBOT]
    before = await dump(database)
    for viewer, document in (
        (gateway, "{ __typename a: tickets { totalCount } }"),
        (gateway, "{ ...F } fragment F on Query { me { name } }"),
        (gateway, "{ ... on Query @include(if: true) { articles { totalCount } } }"),
        (gateway, "{ __schema { queryType { name } } tickets { totalCount } }"),
        (gateway, f"mutation {{ {HARMLESS} a: {INGEST} {{ __typename }} }}"),
        (gateway, f"mutation {{ {INGEST} {{ outcome ticket {{ id }} }} }}"),
        (gateway, f"mutation {{ {INGEST} {{ ...F }} }} {FRAGMENT}"),
        (chatbot, f"mutation {{ {HARMLESS} a: {INGEST} {{ outcome }} }}"),
        (chatbot, "{ me { name } customers { totalCount } }"),
        (chatbot, f'{{ node(id: "{unknown("id")}") {{ id }} apiKeys {{ totalCount }} }}'),
    ):
        assert outcome(await viewer.http.post("/graphql", json={"query": document})) == "FORBIDDEN", document
        streamed = await viewer.http.post("/graphql/stream", json={"query": document})
        assert "FORBIDDEN" in streamed.text, document
    assert await dump(database) == before
    for viewer in (gateway, chatbot):
        assert await viewer("{ __typename }") == {"__typename": "Query"}
    assert (await gateway(f"mutation {{ {INGEST} {{ outcome }} }}"))["inboundEmailIngest"] == {"outcome": "RECEIVED"}


async def test_a_refusal_by_scope_names_the_scope(keys: dict[ServiceScope, Api]) -> None:
    with pytest.raises(Refusal) as refusal:
        await keys[ServiceScope.CHATBOT]("{ customers { totalCount } }")
    (error,) = refusal.value.response["errors"]
    assert error["message"] == "The scope chatbot does not allow Query.customers."


async def test_a_root_field_for_services_cannot_be_declared_without_scopes() -> None:
    for mapping, good in ((Root(me), False), (Root(me, roles=STAFF), True), (Root(me, scopes=NO_SCOPE), True)):
        if good:
            check_scopes("Query.new", mapping)
        else:
            with pytest.raises(TypeError, match=r"Query\.new"):
                check_scopes("Query.new", mapping)


# Mutations that several roles share, but with different inputs


async def test_only_an_admin_assigns_a_new_ticket_to_someone_else(scene: Scene) -> None:
    other = await scene.viewers[A].new_technician()
    for role in (T, C, S):
        objections = await scene.viewers[role].refused("ticketCreate", technicianId=other, **NEW_TICKET)
        assert objections == [("NOT_ALLOWED", "technicianId")]
    own = await scene.viewers[T].done(
        "ticketCreate", "ticket { technician { id } }", technicianId=scene.ids["Technician"], **NEW_TICKET
    )
    assert own["ticket"]["technician"] == {"id": scene.ids["Technician"]}


async def test_customers_create_tickets_only_for_themselves(scene: Scene) -> None:
    other = await scene.viewers[A].new_customer()
    owner, given = scene.viewers[C], {"subject": "x", "description": "x"}
    assert await owner.refused("ticketCreate", customerId=other, **NEW_TICKET) == [("NOT_ALLOWED", "customerId")]
    for said in ({}, {"customerId": scene.ids["Customer"]}):
        created = await owner.done("ticketCreate", "ticket { source customer { id } }", **given, **said)
        assert created["ticket"] == {"source": "CUSTOMER", "customer": {"id": scene.ids["Customer"]}}


async def test_only_a_service_sets_the_source_of_a_ticket(scene: Scene) -> None:
    chat = {"messages": [{"author": "BOT", "body": "Hello.", "at": NOW}]}
    for role in (A, T, C):
        objections = await scene.viewers[role].refused("ticketCreate", chat=chat, source="EMAIL", **NEW_TICKET)
        assert objections == [("NOT_ALLOWED", "chat"), ("NOT_ALLOWED", "source")]
    created = await scene.viewers[S].done("ticketCreate", "ticket { source }", source="EMAIL", **NEW_TICKET)
    assert created["ticket"] == {"source": "EMAIL"}
    for source in ("ADMIN", "TECHNICIAN", "CUSTOMER"):
        assert await scene.viewers[S].refused("ticketCreate", source=source, **NEW_TICKET) == [("INVALID", "source")]


async def test_notes_of_customers_are_public_and_others_internal_by_default(scene: Scene) -> None:
    ticket = scene.ids["Ticket"]
    for role, expected in ((A, True), (T, True), (C, False)):
        added = await scene.viewers[role].done("noteAdd", "note { internalOnly }", ticketId=ticket, body="x")
        assert added["note"] == {"internalOnly": expected}
    refused = await scene.viewers[C].refused("noteAdd", ticketId=ticket, body="x", internalOnly=True)
    assert refused == [("NOT_ALLOWED", "internalOnly")]


async def test_technicians_cannot_close_or_reopen_a_closed_ticket(scene: Scene) -> None:
    admin, worker = scene.viewers[A], scene.viewers[T]
    ticket = await worker.new_ticket()
    for status in ("IN_PROGRESS", "OPEN"):
        await worker.done("ticketSetStatus", "__typename", ticketId=ticket, status=status)
    assert await worker.refused("ticketSetStatus", ticketId=ticket, status="CLOSED") == [("NOT_ALLOWED", "status")]
    await admin.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
    for status in ("OPEN", "IN_PROGRESS", "RESOLVED"):
        assert await worker.refused("ticketSetStatus", ticketId=ticket, status=status) == [("NOT_ALLOWED", "status")]
    assert await worker.refused("ticketResolve", ticketId=ticket, resolution="x") == [("NOT_ALLOWED", "status")]


async def test_allowed_statuses_are_those_that_the_viewer_can_set(scene: Scene) -> None:
    """For each role and status, exactly the statuses in `allowedStatuses` can be set."""
    admin = scene.viewers[A]
    customer, technician = scene.ids["Customer"], scene.ids["Technician"]
    steps = {"OPEN": [], "IN_PROGRESS": ["IN_PROGRESS"], "RESOLVED": ["RESOLVED"], "CLOSED": ["CLOSED"]}
    expected = {
        ("OPEN", A): ["IN_PROGRESS", "RESOLVED", "CLOSED"],
        ("OPEN", T): ["IN_PROGRESS", "RESOLVED"],
        ("OPEN", C): [],
        ("IN_PROGRESS", A): ["OPEN", "RESOLVED", "CLOSED"],
        ("IN_PROGRESS", T): ["OPEN", "RESOLVED"],
        ("IN_PROGRESS", C): [],
        ("RESOLVED", A): ["OPEN", "IN_PROGRESS", "CLOSED"],
        ("RESOLVED", T): ["IN_PROGRESS"],
        ("RESOLVED", C): ["OPEN", "CLOSED"],
        ("CLOSED", A): ["OPEN", "IN_PROGRESS"],
        ("CLOSED", T): [],
        ("CLOSED", C): ["OPEN"],
    }
    for status, taken in steps.items():
        for role in (A, T, C):
            allowed = await _allowed(scene, role, await _at(admin, customer, technician, taken))
            assert allowed == expected[status, role]
            for target in steps:
                ticket = await _at(admin, customer, technician, taken)
                given = {"resolution": "Done."} if target == "RESOLVED" and role is not C else {}
                payload = await scene.viewers[role].do(
                    "ticketSetStatus", "ticket { status }", ticketId=ticket, status=target, **given
                )
                assert (payload["userErrors"] == []) is (target in allowed or target == status), (role, status, target)


async def _at(admin: Api, customer: str, technician: str, taken: list[str]) -> str:
    ticket = await admin.new_ticket(customerId=customer, technicianId=technician)
    for status in taken:
        given = {"resolution": "Done."} if status == "RESOLVED" else {}
        await admin.done("ticketSetStatus", "__typename", ticketId=ticket, status=status, **given)
    return ticket


async def _allowed(scene: Scene, role: Role, ticket: str) -> list[str]:
    found = await scene.viewers[role]("query($id: ID!) { ticket(by: { id: $id }) { allowedStatuses } }", id=ticket)
    statuses: list[str] = found["ticket"]["allowedStatuses"]
    return statuses
