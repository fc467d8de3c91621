"""The schema: it equals the printed file, everything in it is documented, and every response conforms to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    build_client_schema,
    build_schema,
    get_introspection_query,
    get_named_type,
    is_abstract_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_leaf_type,
    is_non_null_type,
    is_object_type,
    is_scalar_type,
    lexicographic_sort_schema,
    print_schema,
)

from callout.cli import cli
from db.compiler.selection import MAPPING
from db.enums import STAFF, Role
from schema import graphql_schema, schema
from tests.helpers.api import Api
from tests.helpers.attached_files import announce, announced, attach, patch
from tests.helpers.database_checks import Database
from tests.helpers.database_checks import key as key_of
from tests.helpers.graphql_ws_client import OF_STREAMS, OF_WINDOWS
from tests.helpers.inbound_mail import SERVER
from tests.helpers.paths import ROOT
from tests.helpers.push_service import SETTINGS, SUBSCRIPTION
from tests.helpers.response_checker import departures
from tests.helpers.sessions import signed_in

PRINTED = ROOT / "schema" / "schema.graphql"
BUILT_IN = {"Int", "Float", "String", "Boolean", "ID"}
SERVED = graphql_schema(schema)


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return SETTINGS


@pytest.fixture(scope="module")
def sdl() -> str:
    """The output of `callout schema`."""
    return CliRunner().invoke(cli, ["schema"], catch_exceptions=False).stdout


@pytest.fixture(scope="module")
def printed(sdl: str) -> GraphQLSchema:
    return build_schema(sdl)


def own_types(schema: GraphQLSchema) -> list[GraphQLNamedType]:
    return [t for name, t in schema.type_map.items() if not name.startswith("__") and name not in BUILT_IN]


def described(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Yields the path and the description of each described part of the schema."""
    for type_ in own_types(schema):
        yield type_.name, type_.description
        if is_object_type(type_) or is_interface_type(type_):
            for name, field in type_.fields.items():
                yield f"{type_.name}.{name}", field.description
                for argument_name, argument in field.args.items():
                    yield f"{type_.name}.{name}({argument_name}:)", argument.description
        elif is_input_object_type(type_):
            for name, input_field in type_.fields.items():
                yield f"{type_.name}.{name}", input_field.description
        elif is_enum_type(type_):
            for name, value in type_.values.items():
                yield f"{type_.name}.{name}", value.description


def test_the_printed_schema_is_up_to_date(sdl: str) -> None:
    assert PRINTED.read_text() == sdl, "run `make schema`"


async def test_introspection_returns_the_printed_schema(api: Api, printed: GraphQLSchema) -> None:
    query = get_introspection_query(specified_by_url=True, input_value_deprecation=True, one_of=True)
    introspected = build_client_schema(await api(query))

    def normal(schema: GraphQLSchema) -> str:
        return print_schema(lexicographic_sort_schema(schema))

    assert normal(introspected) == normal(printed)


def test_everything_has_a_description(printed: GraphQLSchema) -> None:
    paths = dict(described(printed))
    assert len(paths) > 300
    assert [path for path, description in paths.items() if not description] == []


def test_descriptions_are_sentences(printed: GraphQLSchema) -> None:
    found = list(described(printed))
    assert len(found) > 300
    for path, description in found:
        assert description is not None
        assert description.endswith("."), path
        assert description[0].isupper() or description[0] in "`", path
        assert description == description.strip() and "\n" not in description, path


def test_the_schema_reveals_no_implementation_details(sdl: str, printed: GraphQLSchema) -> None:
    for word in ("strawberry", "graphql-core", "sqlalchemy", "python", "UNSET", "object at 0x", "__", "TODO", "FIXME"):
        assert word.lower() not in sdl.lower(), word
    of_gateways = {"_Any", "_Entity", "_Service"}  # Apollo Federation names them, and the fields of the query root
    for type_ in own_types(printed):
        assert type_.name in of_gateways or re.fullmatch(r"[A-Z][A-Za-z]+", type_.name)
    names = {path for path, _ in described(printed)}
    for base in ("Connection", "Edge", "Payload", "NodeQueries", "TicketPayload"):
        assert base not in names
    for path in names:
        _, _, member = path.partition(".")
        name, _, argument = member.partition("(")
        pattern = (
            r"[A-Z][A-Z_]*[A-Z]"
            if is_enum_type(printed.type_map[path.partition(".")[0]])
            else r"_?[a-z][A-Za-z]*|sha256|p256dh"
        )
        assert not member or re.fullmatch(pattern, name), path
        assert not argument or re.fullmatch(r"[a-z][A-Za-z]*:\)", argument), path


def test_no_type_is_unused(printed: GraphQLSchema) -> None:
    assert printed.query_type is not None
    assert printed.mutation_type is not None
    reached: set[str] = set()
    pending: list[Any] = [printed.query_type, printed.mutation_type, printed.subscription_type]
    while pending:
        type_ = get_named_type(pending.pop())
        if type_.name in reached:
            continue
        reached.add(type_.name)
        if is_abstract_type(type_):
            pending += printed.get_possible_types(type_)
        for field in getattr(type_, "fields", {}).values():
            pending.append(field.type)
            pending += [argument.type for argument in getattr(field, "args", {}).values()]
    assert {type_.name for type_ in own_types(printed)} - reached == set()


def test_lists_are_relay_connections(printed: GraphQLSchema) -> None:
    connections = [t for t in own_types(printed) if t.name.endswith("Connection")]
    assert {type_.name.removesuffix("Connection") for type_ in connections} == {
        *("Ticket", "Note", "TicketEvent", "Customer", "Property", "Technician", "Article", "Delivery", "ApiKey"),
        *("Identity", "InboundMessage", "AuditEntry", "Attachment", "Webhook", "WebhookDelivery"),
        *("Admin", "Session"),
    }
    for type_ in connections:
        assert is_object_type(type_)
        name = type_.name.removesuffix("Connection")
        shown = {field: str(type_.fields[field].type) for field in type_.fields}
        assert shown.pop("streamCursor", "String!") == "String!"
        assert shown == {
            "nodes": f"[{name}!]!",
            "edges": f"[{name}Edge!]!",
            "pageInfo": "PageInfo!",
            "totalCount": "Int!",
        }
        edge = printed.type_map[f"{name}Edge"]
        assert is_object_type(edge)
        found = {"Article": {"match": "ArticleMatch", "score": "Float"}}.get(name, {})
        if name in ("Article", "Ticket"):
            found |= {"excerpt": "[ExcerptPiece!]"}
        assert {field: str(edge.fields[field].type) for field in edge.fields} == {
            "cursor": "String!",
            "node": f"{name}!",
            **found,
        }
    led_to = set()
    for type_ in own_types(printed):
        if is_object_type(type_):
            for field_name, field in type_.fields.items():
                if get_named_type(field.type).name.endswith("Connection"):
                    arguments = {name: str(argument.type) for name, argument in field.args.items()}
                    assert arguments.items() >= {"first": "Int", "after": "String"}.items(), field_name
                    assert arguments.items() >= {"last": "Int", "before": "String"}.items(), field_name
                    led_to.add(get_named_type(field.type).name)
    assert led_to == {type_.name for type_ in connections}


def test_each_mutation_has_its_own_input_and_payload(printed: GraphQLSchema) -> None:
    assert printed.mutation_type is not None
    assert "ticketCreate" in printed.mutation_type.fields
    for name, field in printed.mutation_type.fields.items():
        title = name[0].upper() + name[1:]
        assert {key: str(argument.type) for key, argument in field.args.items()} == {"input": f"{title}Input!"}
        assert str(field.type) == f"{title}Payload!"
        payload = get_named_type(field.type)
        assert is_object_type(payload)
        assert str(payload.fields["userErrors"].type) == "[UserError!]!"
        for other, payload_field in payload.fields.items():
            # A refused mutation has no object to return.
            stored = is_object_type(get_named_type(payload_field.type)) and other != "userErrors"
            if stored and not str(payload_field.type).startswith("["):
                assert not is_non_null_type(payload_field.type) or other == "supportSettings", f"{name}.{other}"


def test_every_node_has_an_id_and_every_id_is_of_type_id(printed: GraphQLSchema) -> None:
    node = printed.type_map["Node"]
    assert is_interface_type(node)
    assert {t.name for t in printed.get_possible_types(node)} == {
        *("Ticket", "Note", "TicketEvent", "Customer", "Property", "Technician", "Article"),
        *("Attachment", "Assignment", "Delivery", "ApiKey", "Identity", "InboundMessage", "AuditEntry"),
        *("Webhook", "WebhookDelivery", "Admin", "Session"),
    }
    for type_ in own_types(printed):
        if is_object_type(type_) and "id" in type_.fields:
            assert str(type_.fields["id"].type) == "ID!"


def test_only_fields_that_may_be_missing_are_nullable(printed: GraphQLSchema) -> None:
    nullable = {
        f"{type_.name}.{name}"
        for type_ in own_types(printed)
        if is_object_type(type_) and not type_.name.endswith(("Payload", "Query"))
        for name, field in type_.fields.items()
        if not is_non_null_type(field.type)
    }
    assert nullable == {
        *("Ticket.customer", "Ticket.property", "Ticket.technician", "Ticket.resolution", "Ticket.resolvedAt"),
        *(
            "Ticket.closedAt",
            "Ticket.chat",
            "Ticket.article",
            "Ticket.followUpOf",
            "Contact.phone",
            "Customer.phone",
            "Technician.phone",
        ),
        "Customer.erasedAt",
        *("Article.sourceTicket", "TicketEvent.note", "FieldChange.before", "FieldChange.after", "ApiKey.revokedAt"),
        *(f"ApiKey.{name}" for name in ("scope", "createdBy", "creatorSubject", "expiresAt", "lastUsedAt")),
        *("Identity.technician", "Identity.customer", "Identity.revokedAt"),
        *("Session.admin", "Session.technician", "Session.customer", "Viewer.session", "Viewer.email"),
        *("TicketTracking.resolution", "TicketTracking.resolvedAt", "TicketTracking.closedAt"),
        *(f"{name}.occurredAt" for name in ("Note", "TicketEvent", "TicketChange")),
        *("TicketChange.key", "Property.accessNotes"),
        *(f"CommandResult.{name}" for name in ("ticket", "note", "assignment", "attachment", "uploadUrl", "property")),
        *("Note.senderVerified", "Note.quoted", "Ticket.senderVerified", "TicketEvent.attachment"),
        *(f"OverdueMinutes.{priority}" for priority in ("low", "medium", "high", "urgent")),
        *("TicketEvent.assignment", "TicketChange.assignment", "Ticket.assignment"),
        *("Assignment.ticket", "Assignment.technician", "Assignment.eta", "Assignment.reason"),
        *(f"Assignment.{name}At" for name in ("delivered", "seen", "accepted", "enRoute", "onSite", "left")),
        *(f"Attachment.{name}" for name in ("note", "width", "height", "url", "thumbnailUrl", "rejectedBecause")),
        *("PageInfo.startCursor", "PageInfo.endCursor", "Viewer.technician", "Viewer.customer"),
        *(
            "TicketBulkResult.ticket",
            "TicketChange.ticket",
            "TicketChange.note",
            "TicketChange.attachment",
            *(
                "CustomerChange.customer",
                "PropertyChange.property",
                "TechnicianChange.technician",
                "ArticleChange.article",
            ),
            "TicketChangePage.reset",
            "TicketProgress.note",
        ),
        *("Delivery.recipient", "Delivery.said"),
        *("Delivery.nextAttemptAt", "Delivery.finishedAt", "SupportSettingsTestResult.recipient"),
        "Delivery.acknowledgedAt",
        *(f"InboundMessage.{name}" for name in ("reason", "messageId", "fromAddress", "fromName", "subject", "raw")),
        *("InboundMessage.ticket", "InboundMessage.note", "InboundMessage.text"),
        *("AuditEntry.objectId", "AuditEntry.client", "AuditChange.before", "AuditChange.after"),
        *(f"Webhook.{name}" for name in ("suspension", "suspendedSaid", "suspendedAt", "failingSince")),
        *("Webhook.nextAttemptAt", "Webhook.acknowledgedAt"),
        *(f"WebhookDelivery.{name}" for name in ("webhook", "status", "cursor")),
        *("ArticleEdge.match", "ArticleEdge.score", "ArticleEdge.excerpt", "TicketEdge.excerpt"),
    }


def test_datetime_is_the_only_custom_scalar(printed: GraphQLSchema) -> None:
    """Besides that of Apollo Federation."""
    assert {t.name for t in own_types(printed) if is_scalar_type(t)} == {"DateTime", "_Any"}


# Responses


def readable(role: Role, field: GraphQLField) -> bool:
    mapping = field.extensions.get(MAPPING)
    return mapping is None or role in mapping.roles


class Everything:
    """Builds documents that select everything that a role may read, with objects nested to a depth."""

    def __init__(self, role: Role, *without: str) -> None:
        self._role = role
        self._without = without
        self._fragments: dict[str, str] = {}

    def of(self, operation: str, field: str, arguments: str, depth: int) -> str:
        """Returns a document with one root field."""
        self._fragments = {}
        root = SERVED.query_type if operation.startswith("query") else SERVED.mutation_type
        assert root is not None
        selection = self._below(root.fields[field], depth)
        return " ".join([f"{operation} {{ {field}{arguments}{selection} }}", *self._fragments.values()])

    def _below(self, field: GraphQLField, depth: int) -> str:
        type_ = get_named_type(field.type)
        if is_leaf_type(type_):
            return ""
        if is_abstract_type(type_):
            spread = " ".join(f"...{self._fragment(t, depth)}" for t in SERVED.get_possible_types(type_))
            return f" {{ __typename {spread} }}"
        assert is_object_type(type_)
        return f" {{ ...{self._fragment(type_, depth)} }}"

    def _fragment(self, type_: GraphQLObjectType, depth: int) -> str:
        name = f"{type_.name}{depth}"
        if name not in self._fragments:
            self._fragments[name] = ""
            fields = " ".join(self._fields(type_, depth))
            self._fragments[name] = f"fragment {name} on {type_.name} {{ __typename {fields} }}"
        return name

    def _fields(self, type_: GraphQLObjectType, depth: int) -> Iterator[str]:
        node = SERVED.type_map["Node"]
        assert is_interface_type(node)
        nodes = SERVED.get_possible_types(node)
        entities = {t.name for t in nodes}
        for name, field in type_.fields.items():
            target = get_named_type(field.type)
            far = target.name in entities or target.name.endswith("Connection")
            if type_.name in entities and far and not depth:
                continue
            if readable(self._role, field) and name not in self._without:
                arguments = self._arguments(field.args)
                # Fields of the same name conflict below `node` if their types differ.
                alike = {str(t.fields[name].type) for t in nodes if type_ in nodes and name in t.fields}
                alias = f"{type_.name[0].lower()}{type_.name[1:]}_{name}: " if len(alike) > 1 else ""
                yield f"{alias}{name}{arguments}{self._below(field, depth - (type_.name in entities and far))}"

    def _arguments(self, arguments: Mapping[str, GraphQLArgument]) -> str:
        return "(first: 2)" if "first" in arguments else ""


JUDGED = build_schema("""
    scalar DateTime
    enum E { X Y }
    interface Thing { id: ID! }
    type A implements Thing { id: ID! n: Int at: DateTime e: E l: [Int!] }
    type B implements Thing { id: ID! b: Boolean! }
    type Query { a: A! thing: Thing }
""")


@pytest.mark.parametrize(
    ("document", "data", "found"),
    [
        ("{ a { id n } }", {"a": {"id": "1", "n": 2}}, []),
        ("{ a { n at e l } thing { id } }", {"a": dict.fromkeys(("n", "at", "e", "l")), "thing": None}, []),
        ("{ a { id n } }", {"a": {"n": 2, "id": "1"}}, ["data.a has the keys ['n', 'id'] and not ['id', 'n']"]),
        ("{ a { id n } }", {"a": {"id": "1"}}, ["data.a has the keys ['id'] and not ['id', 'n']"]),
        ("{ a { e @skip(if: true) n } }", {"a": {"e": "X", "n": 2}}, ["data.a has the keys ['e', 'n'] and not ['n']"]),
        ("{ a { id } }", {"a": None}, ["data.a is null, but never may be"]),
        ("{ a { id } }", {"a": []}, ["data.a is no object"]),
        ("{ a { id } }", {"a": {"id": ""}}, ["data.a.id is '', which is no ID"]),
        ("{ a { n } }", {"a": {"n": "2"}}, ["data.a.n is '2', which is no Int"]),
        ("{ a { n } }", {"a": {"n": True}}, ["data.a.n is True, which is no Int"]),
        ("{ a { n } }", {"a": {"n": 2**31}}, ["data.a.n is 2147483648, which is no Int"]),
        ("{ a { at } }", {"a": {"at": "2026-01-01T00:00"}}, ["data.a.at is '2026-01-01T00:00', which is no DateTime"]),
        ("{ a { e } }", {"a": {"e": "Z"}}, ["data.a.e is 'Z', which is no E"]),
        ("{ a { l } }", {"a": {"l": 1}}, ["data.a.l is no list"]),
        ("{ a { l } }", {"a": {"l": [1, None]}}, ["data.a.l[1] is null, but never may be"]),
        ("{ a { __typename } }", {"a": {"__typename": "B"}}, ["data.a.__typename is 'B' and not A"]),
        ("{ thing { id ... on B { b } } }", {"thing": {"id": None}}, ["data.thing.id is null, but never may be"]),
        ("{ a { ...F } } fragment F on A { n }", {"a": {"m": 1}}, ["data.a has the keys ['m'] and not ['n']"]),
    ],
)
def test_the_response_checker_finds_every_difference(document: str, data: Any, found: list[str]) -> None:
    """Otherwise the checks below, and those of the tests' clients, would prove nothing."""
    assert departures(JUDGED, document, {}, data) == found


class Answers:
    """Sends requests, checks every response against the schema, and collects the fields that had a value."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.number = 0

    async def answer(self, viewer: Api, document: str, variables: Mapping[str, Any]) -> Any:
        """Returns the response's data, after checking it against the schema."""
        response = await viewer.respond(document, variables)
        assert "errors" not in response, (response, document)
        assert departures(SERVED, document, variables, response["data"], self.seen) == []
        self.number += 1
        return response["data"]

    async def do(self, viewer: Api, role: Role, mutation: str, **input: Any) -> Any:
        """Runs a mutation that selects its whole payload; returns the payload."""
        type_ = mutation[0].upper() + mutation[1:] + "Input"
        # A hundred tickets with all their fields would cost too much.
        bulk = mutation in ("ticketsBulkUpdate", "commandsApply")
        everything = Everything(role, "chat") if bulk else Everything(role)
        document = everything.of(f"mutation($input: {type_}!)", mutation, "(input: $input)", 0 if bulk else 1)
        return (await self.answer(viewer, document, {"input": input}))[mutation]

    async def done(self, viewer: Api, role: Role, mutation: str, **input: Any) -> Any:
        """Like `do`, and fails if there are user errors."""
        payload = await self.do(viewer, role, mutation, **input)
        assert payload["userErrors"] == []
        return payload


DESCRIBED = {"subject": "Beeping", "description": "It beeps."}
CONTACT = {"name": "John Smith", "email": "john@example.com"}
CHAT = {
    "conversationId": "1",
    "messages": [
        {"author": author, "body": "Hello", "at": "2026-11-20T10:00:00.5+01:00"}
        for author in ("CUSTOMER", "BOT", "AGENT")
    ],
}
VERIFIED = f"Authentication-Results: {SERVER}; dmarc=pass header.from=example.com\n"
MAIL = (
    f"{VERIFIED}From: Mia <mia@example.com>\nSubject: Beeping\nMessage-ID: <1@example.com>\n\nIt beeps.",
    f"{VERIFIED}From: Mia <mia@example.com>\nSubject: Re: Beeping\nIn-Reply-To: <1@example.com>\n\nStill.\n\n-- \nMia",
    "From: mia@example.com, ada@example.com\nTo: tess@example.com\n\nWho are we?",
    "From: Ada <ada@example.com>\nSubject: Away\nMessage-ID: <2@example.com>\nPrecedence: bulk\n\nI am away.",
    "From: bob@example.com\nAuto-Submitted: auto-replied\n\nI am away, too.",
)


async def test_every_response_conforms_to_the_schema(api: Api, database: Database) -> None:
    """Each mutation with its whole payload, accepted and refused; then each query with all its fields, for each role.
    In the end every field of the schema has had a value, except those of streams."""
    answers = Answers()
    admin = Role.ADMIN
    start = (await api("{ ticketEvents { cursor } }"))["ticketEvents"]["cursor"]

    async def done(mutation: str, **input: Any) -> Any:
        return await answers.done(api, admin, mutation, **input)

    customer_input = {"name": "Ada Byron", "email": "ada@example.com", "accountNumber": "C-1", "phone": "613-555-1234"}
    customer = (await done("customerCreate", **customer_input))["customer"]["id"]
    await done("customerUpdate", customerId=customer, name="Ada King")
    property_id = (await done("propertyCreate", customerId=customer, address="12 Elm Street", accountNumber="P-1"))[
        "property"
    ]["id"]
    await done("propertyUpdate", propertyId=property_id, address="14 Elm Street")
    await done("propertyAccessNoteAdd", propertyId=property_id, body="Mind the dog.")
    technician = (await done("technicianCreate", name="Tess", email="tess@example.com", phone="1"))["technician"]["id"]
    other = (await done("technicianCreate", name="Ola", email="ola@example.com"))["technician"]["id"]
    await done("technicianUpdate", technicianId=other, active=False)
    refers = {"customerId": customer, "propertyId": property_id, "technicianId": technician}
    made = await done("ticketCreate", **DESCRIBED, **refers, contact=CONTACT | {"phone": "1"})
    ticket, reference = made["ticket"]["id"], made["ticket"]["reference"]
    await done("ticketUpdate", ticketId=ticket, subject="Beeping louder", priority="URGENT", contact={"phone": None})
    await done("ticketAssign", ticketId=ticket, technicianId=None)
    await done("ticketAssign", ticketId=ticket, technicianId=technician)
    offered = await api("query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }", id=ticket)
    assignment = offered["ticket"]["assignment"]["id"]
    async with api.technician(technician) as tess:
        for step in ("ACCEPTED", "EN_ROUTE", "ON_SITE", "LEFT"):
            eta = {"eta": (datetime.now(UTC) + timedelta(hours=1)).isoformat()} if step == "EN_ROUTE" else {}
            await answers.done(tess, Role.TECHNICIAN, "assignmentAdvance", assignmentId=assignment, to=step, **eta)
    declined = (await done("ticketCreate", **DESCRIBED, contact=CONTACT, technicianId=technician))["ticket"][
        "assignment"
    ]["id"]
    await done("assignmentAdvance", assignmentId=declined, to="DECLINED", reason="Too far away.")
    await done("ticketSetStatus", ticketId=ticket, status="IN_PROGRESS")
    await done("noteAdd", ticketId=ticket, body="Called.", occurredAt=datetime.now(UTC).isoformat())
    sent = {"ticketId": ticket, "baseVersion": 1}
    await done(
        "commandsApply",
        deviceId="phone",
        commands=[
            {"note": {"key": "1", "body": "There.", **sent}},
            {"attachment": {"key": "2", **announced(b"door", noteKey="1")}},
            {"status": {"key": "3", "status": "OPEN", **sent}},
            {"status": {"key": "4", "status": "RESOLVED", "ticketId": ticket}},
            {"propertyAccessNote": {"key": "5", "propertyId": property_id, "body": "Ring twice."}},
            {"assignment": {"key": "6", "assignmentId": assignment, "to": "LEFT"}},
        ],
    )
    await done("noteAdd", ticketId=ticket, body="We come on Thursday.", internalOnly=False)
    note = (await done("noteAdd", ticketId=ticket, body="The panel:", internalOnly=False))["note"]["id"]
    await done("attachmentCreate", **announced(b"panel", noteId=note))
    await attach(api, b"panel", noteId=note)
    await database.execute("UPDATE attachments SET width = 4, height = 3, thumbnail = sha256 WHERE state = 'READY'")
    _, url = await announce(api, b"door", ticketId=ticket)
    assert (await patch(api, url, 0, b"roof")).status_code == 422
    document = """query($id: ID!) { ticket(by: {id: $id}) {
        history(last: 9) { nodes { attachment { id } assignment { id } } }
        attachments { nodes { rejectedBecause } } } }"""
    await answers.answer(api, document, {"id": ticket})
    await done("ticketResolve", ticketId=ticket, resolution="Replaced the battery.")
    article = (await done("articleCreateFromTicket", ticketId=ticket))["article"]["id"]
    await done("articleUpdate", articleId=article, published=True)
    await done("articleCreate", problem="Another", solution="Something else")
    await done("ticketSetStatus", ticketId=ticket, status="CLOSED")
    key = (await done("apiKeyCreate", name="Chatbot"))["apiKey"]["id"]
    await done("apiKeyUpdate", apiKeyId=key, expiresAt="2200-01-01T00:00:00Z")
    await database.execute("UPDATE api_keys SET last_used_at = now()")
    await done("apiKeyRevoke", apiKeyId=key)
    async with Api(api.server, subject="another boss") as leaving:
        await leaving.done("apiKeyCreate", "__typename", name="Another")
    await done("tokensRevoke", subject="another boss")
    account = {"issuer": "https://login.test/", "subject": "auth0|1"}
    identity = (await done("identityLink", **account, person={"customerId": customer}))["identity"]["id"]
    await done("identityLink", **account | {"subject": "auth0|2"}, person={"technicianId": technician})
    await done("identityRevoke", identityId=identity)
    ada = (await done("adminCreate", name="Ada", email="ada@admins.test"))["admin"]["id"]
    await done("adminUpdate", adminId=ada, name="Ada King")
    people = {Role.ADMIN: ada, Role.TECHNICIAN: technician, Role.CUSTOMER: customer}
    secrets = [await signed_in(api.server.database_url, role, key_of(id_)) for role, id_ in people.items()]
    async with Api(api.server) as browser:
        browser.http.headers["authorization"] = f"Bearer {secrets[0]}"
        await answers.answer(browser, "{ me { subject email session { id admin { id } } } }", {})
    await answers.answer(api, "{ sessions { nodes { id technician { id } customer { id } } } }", {})
    session = (await api("query($id: ID) { sessions(technicianId: $id) { nodes { id } } }", id=technician))["sessions"]
    await done("sessionRevoke", sessionId=session["nodes"][0]["id"])
    assert (await answers.do(api, admin, "supportSettingsTest", channel="EMAIL"))["userErrors"]
    await done("pushSubscriptionSet", **SUBSCRIPTION)
    await done("pushSubscriptionRemove", deviceId=SUBSCRIPTION["deviceId"])
    await database.execute("UPDATE deliveries SET acknowledged_at = now()")
    await _give_up(database)
    dead = (await api("{ deliveries(filter: {state: [DEAD]}) { nodes { id } } }"))["deliveries"]["nodes"]
    await done("deliveryRetry", deliveryId=dead[0]["id"])
    webhook = "https://chat.googleapis.com/v1/spaces/A/messages?key=B&token=C"
    settings: dict[str, Any] = {
        "adminRecipients": ["admin@example.com"],
        "googleChatWebhookUrl": webhook,
        "googleChatEnabled": True,
    }
    settings["overdueMinutes"] = {"low": 600, "medium": 600}
    await done("supportSettingsUpdate", **settings)
    await _hooked(answers, api, database, start)
    for mail in MAIL:
        await done("inboundEmailIngest", message={"text": mail})
    waiting = await api("{ inboundMessages(filter: {outcome: [IGNORED, KEPT_ASIDE]}) { nodes { id } } }")
    accepted, discarded = (node["id"] for node in waiting["inboundMessages"]["nodes"][:2])
    await done("inboundMessageAccept", inboundMessageId=accepted, ticketId=ticket)
    await done("inboundMessageDiscard", inboundMessageId=discarded)
    mia = {"name": "Mia", "email": "mia@leaving.test", "accountNumber": "C-2"}
    await done("customerErase", customerId=(await done("customerCreate", **mia))["customer"]["id"])
    nobody = "tkt_00000000-0000-7000-8000-000000000000"
    await done("ticketsBulkUpdate", ticketIds=[ticket, nobody], priority="HIGH")
    await done("presenceSet", ticketId=ticket, state="VIEWING")
    for mutation, input in (
        ("ticketCreate", {"subject": " ", "description": " "}),
        ("ticketUpdate", {"ticketId": nobody, "subject": "x"}),
        ("ticketUpdate", {"ticketId": ticket, "subject": "x", "ifVersion": 1}),
        ("ticketAssign", {"ticketId": ticket, "technicianId": other}),
        ("ticketSetStatus", {"ticketId": ticket, "status": "RESOLVED"}),
        ("ticketResolve", {"ticketId": ticket, "resolution": " "}),
        ("ticketsBulkUpdate", {"ticketIds": []}),
        ("noteAdd", {"ticketId": ticket, "body": ""}),
        ("presenceSet", {"ticketId": nobody, "state": "EDITING"}),
        ("attachmentCreate", announced(b"panel", ticketId=nobody)),
        ("assignmentAdvance", {"assignmentId": declined, "to": "ACCEPTED"}),
        ("customerCreate", customer_input),
        ("customerUpdate", {"customerId": customer, "name": " "}),
        ("customerErase", {"customerId": "cus_00000000-0000-7000-8000-000000000000"}),
        ("propertyCreate", {"customerId": customer, "address": "", "accountNumber": "P-1"}),
        ("propertyUpdate", {"propertyId": property_id, "address": "x" * 501}),
        ("propertyAccessNoteAdd", {"propertyId": property_id, "body": " "}),
        ("commandsApply", {"deviceId": "phone", "commands": []}),
        ("technicianCreate", {"name": "", "email": "no address"}),
        ("technicianUpdate", {"technicianId": other, "email": "tess@example.com"}),
        ("articleCreate", {"problem": "", "solution": ""}),
        ("articleCreateFromTicket", {"ticketId": nobody}),
        ("articleUpdate", {"articleId": "art_00000000-0000-7000-8000-000000000000", "problem": "x"}),
        ("apiKeyCreate", {"name": ""}),
        ("apiKeyUpdate", {"apiKeyId": key, "name": "x"}),
        ("apiKeyRevoke", {"apiKeyId": "key_00000000-0000-7000-8000-000000000000"}),
        ("tokensRevoke", {"everyone": False}),
        ("identityLink", account | {"subject": " ", "person": {"customerId": customer}}),
        ("adminCreate", {"name": "", "email": "ada@admins.test"}),
        ("adminUpdate", {"adminId": ada, "active": False}),
        ("sessionRevoke", {"sessionId": session["nodes"][0]["id"]}),
        ("identityRevoke", {"identityId": "idn_00000000-0000-7000-8000-000000000000"}),
        ("deliveryRetry", {"deliveryId": dead[0]["id"]}),
        ("pushSubscriptionSet", SUBSCRIPTION | {"auth": "short"}),
        ("pushSubscriptionRemove", {"deviceId": SUBSCRIPTION["deviceId"]}),
        ("supportSettingsUpdate", {"googleChatWebhookUrl": "http://example.com"}),
        ("inboundEmailIngest", {"message": {"encoded": "no base64!"}}),
        ("inboundMessageAccept", {"inboundMessageId": accepted}),
        ("inboundMessageDiscard", {"inboundMessageId": accepted}),
    ):
        assert (await answers.do(api, admin, mutation, **input))["userErrors"], mutation

    async with (
        api.technician(technician) as field_worker,
        api.customer(customer) as portal,
        api.service() as chatbot,
    ):
        viewers = {Role.TECHNICIAN: field_worker, Role.CUSTOMER: portal, Role.SERVICE: chatbot}
        for role, viewer in viewers.items():
            given: dict[str, Any] = {"contact": CONTACT} if role is not Role.CUSTOMER else {}
            if role is Role.SERVICE:
                given["chat"] = CHAT
            own = (await answers.done(viewer, role, "ticketCreate", **DESCRIBED, **given))["ticket"]["id"]
            if role is not Role.SERVICE:
                await answers.done(viewer, role, "noteAdd", ticketId=own, body="Noted.")
            if role is Role.TECHNICIAN:
                await answers.done(viewer, role, "customerLookUp", accountNumber="P-1")
                assert (await answers.do(viewer, role, "customerLookUp", phone="613-555-0000"))["userErrors"]
                await answers.done(viewer, role, "ticketResolve", ticketId=own, resolution="Done.")
        await _give_up(database)
        await database.execute("UPDATE tickets SET follows_id = $1 WHERE id <> $1", ticket.partition("_")[2])
        await _round_times(database)
        for role, viewer in (viewers | {admin: api}).items():
            await _ask_everything(answers, viewer, role, reference, start)
    assert answers.number > 60
    # Of the last see tests/mail/test_delivery.py: nothing can be sent here.
    others = OF_STREAMS | OF_WINDOWS | {"SupportSettingsTestResult"}
    types = [type_ for type_ in own_types(SERVED) if is_object_type(type_) and type_.name not in others]
    entire = {f"{type_.name}.{name}" for type_ in types for name in type_.fields}
    assert entire - answers.seen == {"SupportSettingsTestPayload.results"}


async def _hooked(answers: Answers, api: Api, database: Database, cursor: str) -> None:
    """Each mutation of webhooks; then one is suspended, one fails, and their attempts have been answered."""

    async def done(mutation: str, **input: Any) -> Any:
        return (await answers.done(api, Role.ADMIN, mutation, **input)) or {}

    made = {"url": "https://hooks.invalid/", "document": "subscription { ticketChanged { __typename } }"}
    ids = [(await done("webhookCreate", **made))["webhook"]["id"] for _ in range(3)]
    await done("webhookUpdate", webhookId=ids[0], variables="{}")
    await done("webhookRotateSecret", webhookId=ids[0])
    await done("webhookReplay", webhookId=ids[0], after=cursor)
    await done("webhookSuspend", webhookId=ids[0])
    await done("webhookResume", webhookId=ids[0])
    await done("webhookTest", webhookId=ids[0])
    await done("webhookDelete", webhookId=ids[2])
    for mutation in ("Update", "RotateSecret", "Suspend", "Resume", "Test", "Delete"):
        assert (await answers.do(api, Role.ADMIN, f"webhook{mutation}", webhookId=ids[2]))["userErrors"], mutation
    assert (await answers.do(api, Role.ADMIN, "webhookReplay", webhookId=ids[0], after="x"))["userErrors"]
    assert (await answers.do(api, Role.ADMIN, "webhookCreate", **made | {"url": ""}))["userErrors"]
    await database.execute(
        "UPDATE webhooks SET state = 'SUSPENDED', suspension = 'GONE', suspended_said = 'x', suspended_at = now()"
        " WHERE id = $1",
        ids[0].partition("_")[2],
    )
    await database.execute(
        "UPDATE webhooks SET failures = 1, failing_since = now(), next_attempt_at = now(), acknowledged_at = now()"
        " WHERE id = $1",
        ids[1].partition("_")[2],
    )
    await database.execute("UPDATE webhook_deliveries SET status = 500, cursor = 'x'")


async def _give_up(database: Database) -> None:
    """Marks the two newest deliveries as dead."""
    await database.execute(
        "UPDATE deliveries SET state = 'DEAD', said = '550 No', finished_at = now()"
        " WHERE id IN (SELECT id FROM deliveries ORDER BY created_at DESC, id DESC LIMIT 2)"
    )


async def _round_times(database: Database) -> None:
    """Makes the last digit of all times a zero, which answers must have, too."""
    await database.execute("SET session_replication_role = replica")  # no triggers: events are never changed
    for name, column in await database.fetch(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND data_type = 'timestamp with time zone' AND is_generated = 'NEVER' AND table_name <> 'event_log'"
    ):
        await database.execute(f"UPDATE {name} SET {column} = to_timestamp(trunc(extract(epoch FROM {column}), 5))")
    await database.execute("RESET session_replication_role")


async def _ask_everything(answers: Answers, viewer: Api, role: Role, reference: str, start: str) -> None:
    """Queries every root field that the role may read, with everything below it that the role may read. `start` is a
    cursor from before the first event."""
    assert SERVED.query_type is not None
    own = await viewer(
        "{ tickets(first: 5) { nodes { id reference history { nodes { id } } notes { nodes { id } } } } }"
    )
    tickets = own["tickets"]["nodes"]
    ids = [ticket["id"] for ticket in tickets]
    ids += [thing["id"] for ticket in tickets for list_ in ("history", "notes") for thing in ticket[list_]["nodes"]]
    arguments: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
        "node": [("($id: ID!)", "(id: $id)", {"id": id_}) for id_ in ids[:4]],
        "nodes": [("($ids: [ID!]!)", "(ids: $ids)", {"ids": ids[:30]})],
        "_entities": [
            (
                "($all: [_Any!]!)",
                "(representations: $all)",
                {"all": [{"__typename": "Ticket", "id": ticket["id"]} for ticket in tickets]},
            )
        ],
        "ticket": [("($id: ID!)", "(by: {id: $id})", {"id": ticket["id"]}) for ticket in tickets[:2]],
        "ticketEvents": [
            ("($after: String)", "(first: 1, after: $after)", {"after": cursor}) for cursor in (start, "unknown")
        ],
        "articles": [("", f"(first: 3{search})", {}) for search in ("", ', search: "another"')],
        "tickets": [("", f"(first: 3{filter})", {}) for filter in ("", ', filter: {text: "beeps"}')],
        "ticketTrack": [
            ("($r: String!, $e: String!)", "(reference: $r, email: $e)", {"r": reference, "e": CONTACT["email"]})
        ],
    }
    asked = 0
    for name, field in SERVED.query_type.fields.items():
        if not readable(role, field) or (name == "_service" and role not in STAFF):
            continue
        default = "(first: 3)" if "first" in field.args else ""
        for declared, given, variables in arguments.get(name, [("", default, {})]):
            depth = {"node": 0, "nodes": 0, "_entities": 0, "ticket": 2}.get(name, 1)
            # Tickets below tickets, assignments and excerpts are too many in most documents; others show that they
            # conform.
            tickets_below, excerpts = name == "tickets" and "text" not in given, name == "articles" or "text" in given
            without = [] if tickets_below else ["followUps", "followUpOf"]
            without += [] if excerpts else ["excerpt"]
            without += ["assignment"] if name == "ticket" else []
            document = Everything(role, *without).of(f"query{declared}", name, given, depth)
            await answers.answer(viewer, document, variables)
            asked += 1
    assert asked > 10
