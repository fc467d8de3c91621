"""Documents that requests name: Apollo's automatic persisted queries, and trusted documents from a manifest."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from callout.http.console import documents
from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import WITHIN, live
from tests.helpers.process import callout_process

ME = "query Me { me { role } }"
NAMED = "query Named { __typename }"
CHANGES = "subscription Changes { ticketChanged { __typename } }"
ADD = "mutation Add($key: String!) { articleCreate(input: {problem: $key, solution: $key}) { userErrors { code } } }"
MANIFEST = {"me-1": ME, "changes-1": CHANGES, "add-1": ADD, "invalid-1": "{ nothing }"}
NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifest") / "persisted-documents.json"
    path.write_text(json.dumps(MANIFEST))
    return path


@pytest.fixture(scope="module")
def server_settings(manifest: Path) -> dict[str, str]:
    return {"trusted_documents": str(manifest)}


@pytest.fixture(scope="module")
def strict(database_url: str, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that accepts trusted documents only."""
    directory = tmp_path_factory.mktemp("strict")
    secret = secrets.token_urlsafe(48)
    settings = {"database_url": database_url, "jwt_secret": secret}
    only = {"trusted_documents": str(manifest), "trusted_documents_only": "true"}
    with callout_process(directory, **settings, **only) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret=secret, data_dir=directory)
        yield Server(process.url, known, database_url, process)


def hash_of(document: str) -> str:
    return sha256(document.encode()).hexdigest()


def persisted(hash: str, version: int = 1) -> dict[str, Any]:
    return {"persistedQuery": {"version": version, "sha256Hash": hash}}


def by_hash(document: str) -> dict[str, Any]:
    """A request as Apollo's clients send it at first."""
    return {"extensions": persisted(hash_of(document))}


def fresh() -> str:
    """A document that nobody has sent before."""
    return f"query Q{secrets.token_hex(8)} {{ __typename }}"


def code_of(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    return str(error["extensions"]["code"])


async def post(viewer: Api, request: Any, path: str = "/graphql", **headers: str) -> httpx.Response:
    return await viewer.http.post(path, json=request, headers=headers)


# Automatic persisted queries


async def test_a_client_sends_the_hash_then_the_document_and_then_the_hash_alone(api: Api) -> None:
    document = fresh()
    for accept in ("application/json", "application/graphql-response+json"):
        unknown = await post(api, by_hash(document), accept=accept)
        assert (unknown.status_code, unknown.headers["cache-control"]) == (200, "no-store")
        (error,) = unknown.json()["errors"]
        assert error["message"] == "PersistedQueryNotFound"
        assert error["extensions"]["code"] == NOT_FOUND
    assert (await post(api, {"query": document} | by_hash(document))).json() == {"data": {"__typename": "Query"}}
    for request in (by_hash(document), {"query": "", **by_hash(document)}, {"query": None, **by_hash(document)}):
        assert (await post(api, request)).json() == {"data": {"__typename": "Query"}}
    assert (await post(api, {"documentId": f"sha256:{hash_of(document)}"})).status_code == 200


async def test_hashes_are_accepted_by_get_and_never_stored_by_caches(api: Api) -> None:
    document = "query($on: Boolean!) { __typename @include(if: $on) } # " + secrets.token_hex(8)
    asked = {"variables": '{"on":true}', "extensions": json.dumps(persisted(hash_of(document)))}
    assert code_of(await api.http.get(f"/graphql?{urlencode(asked)}")) == NOT_FOUND
    for more in ({"query": document}, {}):
        response = await api.http.get(f"/graphql?{urlencode(asked | more)}")
        assert response.json() == {"data": {"__typename": "Query"}}
        assert response.headers["cache-control"] == "no-store"


async def test_a_mutation_is_not_executed_by_get_for_its_hash(api: Api) -> None:
    document = "mutation { __typename } # " + secrets.token_hex(8)
    assert (await post(api, {"query": document} | by_hash(document))).status_code == 200
    query = urlencode({"extensions": json.dumps(persisted(hash_of(document)))})
    assert (await api.http.get(f"/graphql?{query}")).status_code == 405
    query = urlencode({"documentId": "add-1", "variables": '{"key":"x"}'})
    assert (await api.http.get(f"/graphql?{query}")).status_code == 405


async def test_a_document_with_another_hash_is_refused_and_not_kept(api: Api) -> None:
    document, other = fresh(), hash_of(fresh())
    for hash in (other, hash_of(document).upper(), hash_of(document)[:-1]):
        response = await post(api, {"query": document, "extensions": persisted(hash)})
        assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST")
        assert code_of(await post(api, {"extensions": persisted(hash)})) == NOT_FOUND


async def test_an_invalid_document_is_not_kept(api: Api) -> None:
    for document in ("{", "{ nothing" + secrets.token_hex(4) + " }"):
        assert (await post(api, {"query": document} | by_hash(document))).status_code == 400
        assert code_of(await post(api, by_hash(document))) == NOT_FOUND


@pytest.mark.parametrize(
    "request_",
    [
        {"extensions": persisted("0" * 64, version=2)},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 5}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": ""}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 201}}},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"documentId": 5},
        {"documentId": ""},
        {"documentId": "x" * 201},
        {"id": ["me-1"]},
    ],
)
async def test_a_malformed_hash_or_id_is_refused(api: Api, request_: dict[str, Any]) -> None:
    response = await post(api, request_)
    assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST")


async def test_what_one_viewer_has_registered_nobody_else_can_ask_for(api: Api) -> None:
    document = fresh()
    assert (await post(api, {"query": document} | by_hash(document))).status_code == 200
    async with api.service() as service, Api(api.server, subject="another boss") as boss:
        for other in (service, boss):
            assert code_of(await post(other, by_hash(document))) == NOT_FOUND
    assert (await post(api, by_hash(document))).status_code == 200


async def test_hashes_work_over_sockets_event_streams_and_in_batches(api: Api) -> None:
    document = fresh()
    found = await post(api, [by_hash(document), {"query": document} | by_hash(document)])
    assert [list(each) for each in found.json()] == [["errors"], ["data"]]
    streamed = await post(api, by_hash(document), "/graphql/stream")
    assert '{"data":{"__typename":"Query"}}' in streamed.text
    assert NOT_FOUND in (await post(api, by_hash(fresh()), "/graphql/stream")).text
    assert await asked(api, by_hash(document)) == {"data": {"__typename": "Query"}}
    (error,) = await asked(api, by_hash(fresh()))
    assert (error["message"], error["extensions"]["code"]) == ("PersistedQueryNotFound", NOT_FOUND)


async def asked(viewer: Api, request: Any) -> Any:
    """The payload of the first message that a socket answers the request with."""
    async with live(viewer) as client:
        await client.send(type="subscribe", id="1", payload=request)
        async with asyncio.timeout(WITHIN):
            return json.loads(await client.connection.recv())["payload"]


# Trusted documents


@pytest.mark.parametrize("name", ["documentId", "id", "doc_id"])
async def test_a_trusted_document_is_named_by_its_id(api: Api, name: str) -> None:
    assert (await post(api, {name: "me-1"})).json() == {"data": {"me": {"role": "ADMIN"}}}
    assert (await api.http.get("/graphql?" + urlencode({name: "me-1"}))).json() == {"data": {"me": {"role": "ADMIN"}}}


async def test_a_trusted_document_is_named_by_its_hash_as_well(api: Api) -> None:
    for request in ({"documentId": f"sha256:{hash_of(ME)}"}, by_hash(ME), {"extensions": persisted("me-1")}):
        async with api.service() as service:
            assert (await post(service, request)).json() == {"data": {"me": {"role": "SERVICE"}}}


async def test_an_unknown_id_is_one_error(api: Api) -> None:
    for id in ("me-2", "sha256:" + "0" * 64, "x:y", "\0"):
        response = await post(api, {"documentId": id})
        assert (response.status_code, code_of(response)) == (400, "DOCUMENT_NOT_FOUND")


async def test_a_trusted_document_that_the_schema_does_not_know_is_refused_by_itself(api: Api) -> None:
    assert code_of(await post(api, {"documentId": "invalid-1"})) == "GRAPHQL_VALIDATION_FAILED"


async def test_variables_and_operation_names_go_with_an_id(api: Api) -> None:
    answer = await post(api, {"documentId": "add-1", "operationName": "Add", "variables": {"key": "It beeps"}})
    assert answer.json() == {"data": {"articleCreate": {"userErrors": []}}}
    assert code_of(await post(api, {"documentId": "me-1", "operationName": "Add"})) == "BAD_REQUEST"


REFUSED = {
    "another document": {"query": "{ me { name } }"},
    "one with a blank more": {"query": ME + " "},
    "introspection": {"query": "{ __schema { types { name } } }"},
    "one that is invalid": {"query": "{"},
    "another subscription": {"query": "subscription { ticketChanged { __typename } }"},
    "one that the client registers": {"query": NAMED} | by_hash(NAMED),
    "an unknown hash": by_hash(NAMED),
    "an unknown id": {"documentId": "me-2"},
    "a trusted id for another document": {"query": NAMED, "documentId": "me-1"},
    "a trusted hash for another document": {"query": NAMED} | by_hash(ME),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_all_other_documents_are_refused_if_so_set(strict: Server, name: str) -> None:
    async with Api(strict) as admin:
        response = await post(admin, REFUSED[name], accept="application/graphql-response+json")
        assert (response.status_code, code_of(response)) == (403, "DOCUMENT_NOT_TRUSTED")
        (batched,) = (await post(admin, [REFUSED[name]])).json()
        assert batched["errors"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
        assert "DOCUMENT_NOT_TRUSTED" in (await post(admin, REFUSED[name], "/graphql/stream")).text
        (error,) = await asked(admin, REFUSED[name])
        assert error["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"


async def test_trusted_documents_are_accepted_by_every_name_if_others_are_refused(strict: Server) -> None:
    requests = ({"documentId": "me-1"}, by_hash(ME), {"query": ME}, {"query": ME} | by_hash(ME))
    async with Api(strict) as admin:
        for request in requests:
            assert (await post(admin, request)).json() == {"data": {"me": {"role": "ADMIN"}}}
            assert await asked(admin, request) == {"data": {"me": {"role": "ADMIN"}}}
        assert (await asked(admin, {"documentId": "changes-1"}))["data"]["ticketChanged"]["__typename"] == "StreamReady"


async def test_the_console_works_where_only_trusted_documents_are_accepted(strict: Server) -> None:
    sent = documents()
    if not sent:
        pytest.skip("needs what `make console` builds")
    (me,) = (text for text in sent.values() if text.startswith("query StaffViewer"))
    async with Api(strict) as api:
        assert "errors" not in await api.respond(me)
        assert "errors" in await api.respond(me + " ")
