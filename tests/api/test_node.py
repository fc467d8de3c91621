"""`node` and `nodes`: they return any object by its id, and refuse invalid ids."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import is_interface_type, is_object_type

from db.enums import Role
from tests.helpers.api import SCHEMA, Api, Refusal, Server
from tests.helpers.attached_files import attach
from tests.helpers.schema_walker import Everything
from tests.helpers.sessions import new_admin, signed_in

NOBODY = "00000000-0000-7000-8000-000000000000"

NODE = """
query($id: ID!) { node(id: $id) { __typename id
  ... on Ticket { subject } ... on Note { body } ... on Attachment { contentType }
  ... on Assignment { step: state } ... on TicketEvent { kind }
  ... on Customer { name } ... on Property { address } ... on Technician { technician: name }
  ... on Article { problem } ... on Delivery { state } ... on ApiKey { key: name } ... on Identity { account: subject }
  ... on Admin { email } ... on Session { userAgent }
  ... on InboundMessage { outcome } ... on AuditEntry { action }
  ... on Webhook { url } ... on WebhookDelivery { attempt } } }
"""
NODES = NODE.replace("$id: ID!", "$ids: [ID!]!").replace("node(id: $id)", "nodes(ids: $ids)")


@pytest.fixture(scope="module")
async def things(server: Server) -> dict[str, dict[str, Any]]:
    """One object of each kind, as `node` should return it."""
    async with Api(server) as api:
        customer = await api.new_customer(name="Ada Byron")
        property_id = await api.new_property(customer, address="12 Elm Street")
        technician = await api.new_technician(name="Tess Okafor")
        ticket = await api.new_ticket(
            subject="Beeping", customerId=customer, propertyId=property_id, technicianId=technician
        )
        added = await api.done("noteAdd", "note { id }", ticketId=ticket, body="Called.", internalOnly=False)
        file = await attach(api, b"panel", ticketId=ticket, internalOnly=False)
        offered = await api("query($id: ID!) { ticket(by: {id: $id}) { assignment { id } } }", id=ticket)
        accepted = {"assignmentId": offered["ticket"]["assignment"]["id"], "to": "ACCEPTED"}
        await api.done("assignmentAdvance", "__typename", **accepted)
        article = await api.done("articleCreate", "article { id }", problem="It beeps", solution="Battery")
        key = await api.done("apiKeyCreate", "apiKey { id }", name="Chatbot")
        await api.done("inboundEmailIngest", "outcome", message={"text": "From: x@example.com\n\nIt beeps."})
        account = {"issuer": "https://login.test/", "subject": "auth0|1", "person": {"technicianId": technician}}
        identity = await api.done("identityLink", "identity { id }", **account)
        admin = await new_admin(server.database_url)
        await signed_in(server.database_url, Role.ADMIN, admin, user_agent="Firefox")
        seated = await api("{ sessions { nodes { id userAgent } } admins { nodes { id email } } }")
        made = {"url": "https://hooks.invalid/", "document": "subscription { ticketChanged { __typename } }"}
        webhook = (await api.done("webhookCreate", "webhook { id }", **made))["webhook"]["id"]
        tried = await api.done("webhookTest", "delivery { id attempt }", webhookId=webhook)
        listed = await api(
            """query($id: ID!) { deliveries(filter: {ticketId: $id, audience: [TECHNICIAN]}) { nodes { id state } }
            inboundMessages { nodes { id outcome } } auditEntries { nodes { id action } } }""",
            id=ticket,
        )
        history = await api(
            "query($id: ID!) { node(id: $id) { ... on Ticket { history { nodes { id } } } } }", id=ticket
        )
    found = {
        "Ticket": {"id": ticket, "subject": "Beeping"},
        "Note": {"id": added["note"]["id"], "body": "Called."},
        "Attachment": {"id": file, "contentType": "application/octet-stream"},
        "Assignment": {"id": offered["ticket"]["assignment"]["id"], "step": "ACCEPTED"},
        "TicketEvent": {"id": history["node"]["history"]["nodes"][0]["id"], "kind": "CREATED"},
        "Customer": {"id": customer, "name": "Ada Byron"},
        "Property": {"id": property_id, "address": "12 Elm Street"},
        "Technician": {"id": technician, "technician": "Tess Okafor"},
        "Article": {"id": article["article"]["id"], "problem": "It beeps"},
        "Delivery": listed["deliveries"]["nodes"][0],
        "ApiKey": {"id": key["apiKey"]["id"], "key": "Chatbot"},
        "Identity": {"id": identity["identity"]["id"], "account": "auth0|1"},
        "Admin": seated["admins"]["nodes"][0],
        "Session": seated["sessions"]["nodes"][0],
        "InboundMessage": listed["inboundMessages"]["nodes"][0],
        "AuditEntry": listed["auditEntries"]["nodes"][0],
        "Webhook": {"id": webhook, "url": made["url"]},
        "WebhookDelivery": tried["delivery"],
    }
    return {name: {"__typename": name} | thing for name, thing in found.items()}


async def refusal(api: Api, document: str, **variables: Any) -> str:
    """Returns the message of the only error of a request that is refused."""
    response = await api.respond(document, variables)
    assert "data" not in response
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    return str(error["message"])


async def invalid(api: Api, document: str, *path: str | int, **variables: Any) -> str:
    """Returns the message of the only error, which is that of an invalid id at this path, where the object is null."""
    response = await api.respond(document, variables)
    (error,) = response["errors"]
    assert (error["path"], error["extensions"]["code"]) == (list(path), "BAD_USER_INPUT")
    value = response["data"]
    for key in path:
        value = value[key]
    assert value is None
    return str(error["message"])


async def test_node_finds_one_of_each_kind(api: Api, things: dict[str, dict[str, Any]]) -> None:
    schema = await api('{ __type(name: "Node") { possibleTypes { name } } }')
    assert {type_["name"] for type_ in schema["__type"]["possibleTypes"]} == things.keys()
    for thing in things.values():
        assert (await api(NODE, id=thing["id"]))["node"] == thing


async def test_each_kind_has_its_own_prefix(things: dict[str, dict[str, Any]]) -> None:
    assert {name: thing["id"].partition("_")[0] for name, thing in things.items()} == {
        "Ticket": "tkt",
        "Note": "not",
        "Attachment": "att",
        "Assignment": "asg",
        "TicketEvent": "evt",
        "Customer": "cus",
        "Property": "prp",
        "Technician": "tec",
        "Article": "art",
        "Delivery": "dlv",
        "ApiKey": "key",
        "Identity": "idn",
        "Admin": "adm",
        "Session": "ses",
        "InboundMessage": "inb",
        "AuditEntry": "aud",
        "Webhook": "whk",
        "WebhookDelivery": "whd",
    }


def test_everything_with_an_id_is_a_node() -> None:
    node = SCHEMA.type_map["Node"]
    assert is_interface_type(node)
    nodes = {type_.name for type_ in SCHEMA.get_possible_types(node)}
    with_ids = {type_.name for type_ in SCHEMA.type_map.values() if is_object_type(type_) and "id" in type_.fields}
    assert with_ids - {"PresentViewer"} == nodes  # an admin is no object


async def test_only_fragments_on_the_objects_type_apply(api: Api, things: dict[str, dict[str, Any]]) -> None:
    document = "query($id: ID!) { node(id: $id) { ... on Customer { id } ... on Note { ticket { id } } } }"
    assert await api(document, id=things["Customer"]["id"]) == {"node": {"id": things["Customer"]["id"]}}
    assert await api(document, id=things["Note"]["id"]) == {"node": {"ticket": {"id": things["Ticket"]["id"]}}}
    assert await api(document, id=things["Ticket"]["id"]) == {"node": {}}


async def test_an_unknown_id_returns_null(api: Api, things: dict[str, dict[str, Any]]) -> None:
    for name, thing in things.items():
        prefix, _, key = thing["id"].partition("_")
        assert await api.seen(NODE, id=f"{prefix}_{NOBODY}") == {"node": None}, name
        for other in things.values():
            other_prefix = other["id"].partition("_")[0]
            if other_prefix != prefix:
                assert await api.seen(NODE, id=f"{other_prefix}_{key}") == {"node": None}


NO_IDS = [
    "",
    " ",
    "_",
    "tkt",
    "tkt_",
    "_" + NOBODY,
    NOBODY,
    "xyz_" + NOBODY,
    "TKT_" + NOBODY,
    "tkt-" + NOBODY,
    "tkt_" + NOBODY.replace("-", ""),
    "tkt_" + NOBODY + " ",
    " tkt_" + NOBODY,
    "tkt_" + NOBODY + "\n",
    "tkt_" + NOBODY.replace("0", "\u0660"),
    "tkt_" + "A" * 36,
    "tkt_tkt_" + NOBODY,
    "tkt_1",
    "tkt_" + "1" * 100_000,
    "evt_1",
    "tkt_\0",
    "💥",
]


@pytest.mark.parametrize("id_", NO_IDS, ids=range(len(NO_IDS)))
async def test_an_invalid_id_is_refused(api: Api, id_: str) -> None:
    message = await invalid(api, NODE, "node", id=id_)
    assert message.endswith("is not a valid id.")
    assert len(message) < 120
    assert await invalid(api, NODES, "nodes", 0, ids=[id_]) == message


@pytest.mark.parametrize("id_", [1.5, True, [], {}, None])
async def test_an_id_of_the_wrong_type_is_refused(api: Api, id_: Any) -> None:
    await refusal(api, NODE, id=id_)
    await refusal(api, NODES, ids=[id_])


async def test_an_integer_is_treated_as_its_text(api: Api) -> None:
    """The GraphQL specification allows integers as IDs; none is valid here."""
    assert await invalid(api, NODE, "node", id=5) == '"5" is not a valid id.'


async def test_an_invalid_id_leaves_the_rest_of_the_request_alone(api: Api, things: dict[str, dict[str, Any]]) -> None:
    ticket = things["Ticket"]["id"]
    document = """query($id: ID!, $none: ID!, $ids: [ID!]!) { bad: node(id: "x") { id } good: node(id: $id) { id }
        none: node(id: $none) { id } nodes(ids: $ids) { id } me { role } }"""
    variables = {"id": ticket, "none": f"tkt_{NOBODY}", "ids": ["", ticket, f"evt_{NOBODY}", ticket, "key_1"]}
    data = {
        "bad": None,
        "good": {"id": ticket},
        "none": None,
        "nodes": [None, {"id": ticket}, None, {"id": ticket}, None],
        "me": {"role": "ADMIN"},
    }
    codes = {
        ("bad",): "BAD_USER_INPUT",
        ("none",): "NOT_FOUND",
        ("nodes", 0): "BAD_USER_INPUT",
        ("nodes", 2): "NOT_FOUND",
        ("nodes", 4): "BAD_USER_INPUT",
    }
    for introspecting in ("", '__type(name: "Ticket") { name } '):
        response = await api.respond(document.replace("me {", f"{introspecting}me {{"), variables)
        assert response["data"] == data | ({"__type": {"name": "Ticket"}} if introspecting else {})
        assert {tuple(error["path"]): error["extensions"]["code"] for error in response["errors"]} == codes
        assert all(error["locations"] for error in response["errors"])


async def test_a_text_like_a_mark_changes_nothing(api: Api, things: dict[str, dict[str, Any]]) -> None:
    customer = await api.new_customer(name='", null, "1')
    found = await api.seen(NODES, ids=[customer, f"tkt_{NOBODY}"])
    assert [node and node["name"] for node in found["nodes"]] == ['", null, "1', None]


async def test_nodes_are_returned_in_the_order_of_their_ids(api: Api, things: dict[str, dict[str, Any]]) -> None:
    expected = list(things.values())
    for order in (expected, expected[::-1], expected[3:] + expected[:3]):
        assert (await api(NODES, ids=[thing["id"] for thing in order]))["nodes"] == order


async def test_repeated_ids_repeat_nodes_and_unknown_ids_are_null(api: Api, things: dict[str, dict[str, Any]]) -> None:
    ticket, note = things["Ticket"], things["Note"]
    ids = [ticket["id"], f"tkt_{NOBODY}", note["id"], ticket["id"], f"evt_{NOBODY}", ticket["id"], f"cus_{NOBODY}"]
    assert (await api.seen(NODES, ids=ids))["nodes"] == [ticket, None, note, ticket, None, ticket, None]


async def test_nodes_accepts_no_id_or_a_single_one(api: Api, things: dict[str, dict[str, Any]]) -> None:
    ticket = things["Ticket"]
    assert (await api(NODES, ids=[]))["nodes"] == []
    assert (await api(NODES, ids=[ticket["id"]]))["nodes"] == [ticket]
    assert (await api(NODES, ids=ticket["id"]))["nodes"] == [ticket]
    assert (await api.seen(NODES, ids=[f"tkt_{NOBODY}"]))["nodes"] == [None]


async def test_nodes_is_limited_to_a_hundred_ids(api: Api, things: dict[str, dict[str, Any]]) -> None:
    every = list(things.values())
    hundred = [every[n % len(every)] for n in range(100)]
    ids = [thing["id"] for thing in hundred]
    assert (await api(NODES, ids=ids))["nodes"] == hundred
    assert await refusal(api, NODES, ids=[*ids, ids[0]]) == "At most 100 ids are allowed."
    await refusal(api, NODES, ids=[f"tkt_{NOBODY}"] * 10_000)


async def test_ids_may_be_literals(api: Api, things: dict[str, dict[str, Any]]) -> None:
    ticket, customer = things["Ticket"]["id"], things["Customer"]["id"]
    got = await api(f'{{ node(id: "{ticket}") {{ id }} nodes(ids: ["{customer}", "{ticket}"]) {{ __typename }} }}')
    assert got == {"node": {"id": ticket}, "nodes": [{"__typename": "Customer"}, {"__typename": "Ticket"}]}


async def test_one_prepared_node_serves_every_kind(api: Api, things: dict[str, dict[str, Any]]) -> None:
    for thing in [*things.values(), *things.values()][::-1]:
        assert (await api(NODE, id=thing["id"]))["node"] == thing
        assert (await api(NODES, ids=[thing["id"]]))["nodes"] == [thing]


async def test_objects_that_a_viewer_does_not_see_are_null(api: Api, things: dict[str, dict[str, Any]]) -> None:
    stranger = await api.new_customer(name="A Stranger")
    other = await api.new_technician(name="Another")
    ids = {name: thing["id"] for name, thing in things.items()}
    document = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    asked = [*ids.values()]

    async def seen(viewer: Api) -> set[str]:
        async with viewer:
            nodes = (await viewer.seen(document, ids=asked))["nodes"]
            for id_, node in zip(asked, nodes, strict=True):
                assert node is None or node["id"] == id_
                alone = await viewer.seen("query($id: ID!) { node(id: $id) { __typename id } }", id=id_)
                assert alone["node"] == node
        return {node["__typename"] for node in nodes if node}

    of_admins = {"ApiKey", "Identity", "Admin", "Session", "InboundMessage", "AuditEntry", "Webhook", "WebhookDelivery"}
    assert await seen(api.technician(ids["Technician"])) == things.keys() - of_admins
    assert await seen(api.customer(ids["Customer"])) == things.keys() - of_admins - {"Article", "Delivery"}
    assert await seen(api.technician(other)) == {"Article"}
    assert await seen(api.customer(stranger)) == set()
    assert await seen(api.service()) == set()
    await api.done("articleUpdate", "article { id }", articleId=ids["Article"], published=True)
    assert await seen(api.customer(stranger)) == await seen(api.service()) == {"Article"}


async def test_an_internal_note_and_its_event_are_nodes_only_for_staff(
    api: Api, things: dict[str, dict[str, Any]]
) -> None:
    ticket = things["Ticket"]["id"]
    added = await api.done("noteAdd", "note { id }", ticketId=ticket, body="Between us.")
    history = await api(
        "query($id: ID!) { node(id: $id) { ... on Ticket { history(last: 1) { nodes { id kind } } } } }", id=ticket
    )
    (event,) = history["node"]["history"]["nodes"]
    assert event["kind"] == "NOTE_ADDED"
    asked = [added["note"]["id"], event["id"]]
    async with (
        api.technician(things["Technician"]["id"]) as technician,
        api.customer(things["Customer"]["id"]) as customer,
    ):
        assert (await technician(NODES, ids=asked))["nodes"] == [
            {"__typename": "Note", "id": asked[0], "body": "Between us."},
            {"__typename": "TicketEvent", "id": asked[1], "kind": "NOTE_ADDED"},
        ]
        assert (await customer.seen(NODES, ids=asked))["nodes"] == [None, None]


async def test_a_fragment_with_a_forbidden_field_is_refused_for_any_object(
    api: Api, things: dict[str, dict[str, Any]]
) -> None:
    """A document is refused for its selection, whatever it would find."""
    document = "query($id: ID!) { node(id: $id) { id ... on Technician { email } } }"
    assert (await api(document, id=things["Ticket"]["id"]))["node"] == {"id": things["Ticket"]["id"]}
    async with api.customer(things["Customer"]["id"]) as customer:
        with pytest.raises(Refusal) as refused:
            await customer(document, id=things["Ticket"]["id"])
        assert refused.value.codes == ["FORBIDDEN"]


async def test_every_role_may_select_every_kind(api: Api, things: dict[str, dict[str, Any]]) -> None:
    """Also the kinds of which it sees nothing."""
    ids = [thing["id"] for thing in things.values()]
    async with (
        api.technician(things["Technician"]["id"]) as technician,
        api.customer(things["Customer"]["id"]) as customer,
        api.service() as service,
    ):
        for viewer in (api, technician, customer, service):
            everything = Everything(viewer.role, {})
            for name, thing in things.items():
                selection = everything.selection(SCHEMA.type_map[name], 1)
                document = f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on {name} {{ {selection} }} }} }}"
                await viewer.seen(document, ids=[thing["id"]])
                await viewer.seen("query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }", ids=ids)
