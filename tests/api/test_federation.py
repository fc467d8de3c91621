"""Apollo Federation: what a gateway asks of this API as a subgraph."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from graphql import ObjectTypeDefinitionNode, parse

from callout.cli import cli
from db.limits import REPRESENTATIONS_MAX
from schema import schema
from schema.federation import federated
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.paths import ROOT

MODULES = Path(sys.prefix) / "node" / "node_modules"
COMPOSER = ROOT / "tests" / "node" / "compose.mjs"

ENTITIES = """query($all: [_Any!]!) { _entities(representations: $all) { __typename
  ... on Ticket { id subject customer { name } } ... on Customer { id name } ... on Property { id address }
  ... on Technician { id technician: name } } }"""
SDL = "{ _service { sdl } }"
NOBODY = "00000000-0000-7000-8000-000000000000"


def represented(type_: str, id: object, **more: Any) -> dict[str, Any]:
    return {"__typename": type_, "id": id} | more


@pytest.fixture(scope="module")
async def things(server: Server) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """One object of each kind, as `_entities` should return it."""
    async with Api(server) as api:
        customer = await api.new_customer(name="Ada Byron")
        property_id = await api.new_property(customer, address="12 Elm Street")
        technician = await api.new_technician(name="Tess Okafor")
        ticket = await api.new_ticket(
            subject="Beeping", customerId=customer, propertyId=property_id, technicianId=technician
        )
    yield {
        "Ticket": {"__typename": "Ticket", "id": ticket, "subject": "Beeping", "customer": {"name": "Ada Byron"}},
        "Customer": {"__typename": "Customer", "id": customer, "name": "Ada Byron"},
        "Property": {"__typename": "Property", "id": property_id, "address": "12 Elm Street"},
        "Technician": {"__typename": "Technician", "id": technician, "technician": "Tess Okafor"},
    }


async def test_entities_are_found_by_their_representations(api: Api, things: dict[str, dict[str, Any]]) -> None:
    every = [*things.values(), things["Ticket"], *reversed(things.values())]
    asked = [represented(thing["__typename"], thing["id"], weight=[{"unit": None}]) for thing in every]
    assert (await api(ENTITIES, all=asked))["_entities"] == every
    assert (await api(ENTITIES, all=[]))["_entities"] == []
    literal = f'{{__typename: "Ticket", id: "{things["Ticket"]["id"]}"}}'
    found = await api(f"{{ _entities(representations: [{literal}]) {{ __typename }} }}")
    assert found["_entities"] == [{"__typename": "Ticket"}]


async def test_what_a_viewer_does_not_see_is_null(api: Api, things: dict[str, dict[str, Any]]) -> None:
    asked = [represented(name, thing["id"]) for name, thing in things.items()]
    asked += [represented("Ticket", f"tkt_{NOBODY}"), represented("Customer", f"cus_{NOBODY}")]
    stranger, other = await api.new_customer(), await api.new_technician()
    async with (
        api.technician(things["Technician"]["id"]) as technician,
        api.customer(things["Customer"]["id"]) as customer,
        api.customer(stranger) as nobody,
        api.technician(other) as elsewhere,
        api.service() as service,
    ):
        for viewer in (api, technician, customer):
            assert (await viewer(ENTITIES, all=asked))["_entities"] == [*things.values(), None, None]
        for viewer in (nobody, elsewhere, service):
            assert (await viewer(ENTITIES, all=asked))["_entities"] == [None] * 6


async def test_an_invalid_representation_is_null_with_an_error(api: Api, things: dict[str, dict[str, Any]]) -> None:
    ticket, customer = things["Ticket"]["id"], things["Customer"]["id"]
    wrong: list[Any] = [
        represented("Note", "not_" + NOBODY),
        represented("Query", "x"),
        represented("Ticket", customer),
        represented("Ticket", "x"),
        represented("Ticket", 5),
        represented("Ticket", {"a": []}),
        represented("Ticket", None),
        {"__typename": "Ticket"},
        {"__typename": ["Ticket"], "id": ticket},
        {"id": ticket},
        "x",
        5,
        [],
    ]
    response = await api.respond(ENTITIES, {"all": [*wrong, represented("Ticket", ticket)]})
    assert response["data"]["_entities"] == [None] * len(wrong) + [things["Ticket"]]
    assert [error["path"] for error in response["errors"]] == [["_entities", n] for n in range(len(wrong))]
    assert {error["extensions"]["code"] for error in response["errors"]} == {"BAD_USER_INPUT"}


async def test_representations_are_limited(api: Api, things: dict[str, dict[str, Any]]) -> None:
    one = represented("Technician", things["Technician"]["id"])
    document = "query($all: [_Any!]!) { _entities(representations: $all) { ... on Technician { name } } }"
    assert len((await api(document, all=[one] * REPRESENTATIONS_MAX))["_entities"]) == REPRESENTATIONS_MAX
    with pytest.raises(Refusal) as refused:
        await api(document, all=[one] * (REPRESENTATIONS_MAX + 1))
    assert refused.value.codes == ["BAD_USER_INPUT"]


async def test_entities_cost_what_their_fields_do(api: Api, things: dict[str, dict[str, Any]]) -> None:
    customer = represented("Customer", things["Customer"]["id"])
    document = """query($all: [_Any!]!) { _entities(representations: $all) {
        ... on Customer { tickets(first: 100) { nodes { id } } } } }"""
    with pytest.raises(Refusal) as refused:
        await api(document, all=[customer] * REPRESENTATIONS_MAX)
    assert refused.value.codes == ["LIMIT_EXCEEDED"]


async def test_a_field_that_a_role_may_not_read_is_refused(api: Api, things: dict[str, dict[str, Any]]) -> None:
    document = "query($all: [_Any!]!) { _entities(representations: $all) { ... on Technician { email } } }"
    async with api.customer(things["Customer"]["id"]) as customer:
        with pytest.raises(Refusal) as refused:
            await customer(document, all=[represented("Technician", things["Technician"]["id"])])
        assert refused.value.codes == ["FORBIDDEN"]


async def test_only_those_who_introspect_read_the_subgraphs_schema(api: Api, things: dict[str, dict[str, Any]]) -> None:
    async with (
        api.technician(things["Technician"]["id"]) as technician,
        api.customer(things["Customer"]["id"]) as customer,
        api.service() as service,
    ):
        for viewer in (api, technician):
            assert (await viewer(SDL))["_service"]["sdl"] == federated(schema.as_str())
        for viewer in (customer, service):
            with pytest.raises(Refusal) as refused:
                await viewer(SDL)
            assert refused.value.codes == ["FORBIDDEN"]
    found = await api("{ _service { __typename sdl } me { role } _entities(representations: []) { __typename } }")
    assert (found["me"], found["_entities"], found["_service"]["__typename"]) == ({"role": "ADMIN"}, [], "_Service")


def test_the_subgraphs_schema_has_keys_and_nothing_that_gateways_add() -> None:
    document = parse(federated(schema.as_str()))
    types = {each.name.value: each for each in document.definitions if isinstance(each, ObjectTypeDefinitionNode)}
    keyed = {name for name, each in types.items() if any(d.name.value == "key" for d in each.directives or ())}
    assert keyed == {"Ticket", "Customer", "Property", "Technician"}
    assert "_entities" not in federated(schema.as_str()) and "_Any" not in federated(schema.as_str())
    printed = CliRunner().invoke(cli, ["schema", "--federation"])
    assert (printed.exit_code, printed.output) == (0, federated(schema.as_str()))


@pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "@apollo" / "composition").exists(),
    reason="needs Node and the package that `make test-node` installs",
)
async def test_apollo_composes_it_with_another_subgraph(api: Api, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(MODULES)
    script = shutil.copy(COMPOSER, tmp_path)
    (tmp_path / "callout.graphql").write_text((await api(SDL))["_service"]["sdl"])
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "node", script, tmp_path / "callout.graphql", stdout=pipe, stderr=pipe
    )
    printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    composed = json.loads(printed)
    assert composed["errors"] == []
    for line in ("warranty: String", "driver: Technician", "join__type(graph: CALLOUT"):
        assert line in composed["supergraph"]
