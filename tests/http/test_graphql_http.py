"""GraphQL over HTTP: media types, methods, statuses and bodies.

They follow the GraphQL over HTTP draft, as the audit of the npm package `graphql-http` does: a request that is not
executed gets a 4xx status in `application/graphql-response+json`. In the older `application/json` it gets 200 if it is
a well-formed GraphQL request.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, dump

MODERN, LEGACY = "application/graphql-response+json", "application/json"
QUERY = b'{"query": "{ __typename }"}'
ANSWER = {"data": {"__typename": "Query"}}
METHODS = "GET, HEAD, OPTIONS, POST"
CREATE = 'customerCreate(input: { name: "x", email: "get@example.com", accountNumber: "G-1" }) { customer { id } }'
MUTATION = "mutation { " + CREATE + " }"


@pytest.fixture(scope="module")
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """An admin's client, which sends no `Accept` header unless a test sets one."""
    async with Api(server) as admin:
        del admin.http.headers["accept"]
        yield admin.http


async def post(client: httpx.AsyncClient, content: bytes = QUERY, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/graphql", content=content, headers={"content-type": LEGACY} | named)


async def get(client: httpx.AsyncClient, query_string: str, **headers: str) -> httpx.Response:
    return await client.get(f"/graphql?{query_string}", headers=headers)


def type_of(response: httpx.Response) -> str:
    return response.headers["content-type"].split(";")[0]


def code_of(response: httpx.Response) -> str:
    """Returns the code of the response's only error, after checking that the response contains nothing else."""
    body = response.json()
    assert list(body) == ["errors"]
    (error,) = body["errors"]
    assert set(error) <= {"message", "locations", "path", "extensions"}
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    code: str = error["extensions"]["code"]
    return code


# What the client accepts


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (MODERN, MODERN),
        (LEGACY, LEGACY),
        (f"{MODERN}, {LEGACY};q=0.9", MODERN),  # as the specification recommends to clients
        (f"{MODERN}; charset=utf-8, {LEGACY}; charset=utf-8", MODERN),
        (f"{LEGACY}, {MODERN}", MODERN),
        (f"{MODERN};q=0.5, {LEGACY};q=0.6", LEGACY),
        (f"{MODERN}; q=0.5, {LEGACY} ; q=0.4", MODERN),
        (f"{MODERN};Q=0.1,{LEGACY};Q=0.2", LEGACY),
        (f"text/event-stream, {LEGACY}", LEGACY),
        (f"multipart/mixed;deferSpec=20220824,{MODERN},{LEGACY}", MODERN),
        ("APPLICATION/JSON", LEGACY),
        ("application/*", MODERN),
        ("*/*", MODERN),
        ("text/html, */*;q=0.1", MODERN),
        ("", MODERN),
        # The most specific of the ranges that match decides (RFC 9110, section 12.5.1).
        (f"{MODERN};q=0, */*", LEGACY),
        (f"{LEGACY};q=0, */*", MODERN),
        (f"application/*;q=0.2, {MODERN};q=0.1", LEGACY),
        (f"*/*;q=0, {LEGACY}", LEGACY),
        (f"{LEGACY};q=0.1, */*;q=0.2", MODERN),
    ],
)
async def test_the_response_has_the_media_type_that_the_client_prefers(
    client: httpx.AsyncClient, accept: str, expected: str
) -> None:
    response = await post(client, accept=accept)
    assert (response.status_code, response.json()) == (200, ANSWER)
    assert response.headers["content-type"] == f"{expected}; charset=utf-8"


async def test_a_client_without_an_accept_header_gets_the_new_media_type(client: httpx.AsyncClient) -> None:
    assert type_of(await post(client)) == MODERN


async def test_several_accept_headers_are_combined(client: httpx.AsyncClient) -> None:
    headers = [("content-type", LEGACY), ("accept", f"{MODERN};q=0.5"), ("accept", LEGACY)]
    response = await client.post("/graphql", content=QUERY, headers=headers)
    assert (response.status_code, type_of(response)) == (200, LEGACY)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/event-stream",
        "application/graphql+json",
        "application/jsonx",
        "*",
        "*/json",
        "*/*;q=0",
        f"{LEGACY};q=0",
        f"{LEGACY};q=0.0, {MODERN};q=0",
        f"{LEGACY};q=x",
        f"{LEGACY};q=NaN",
        f"{LEGACY};q=-1",
        f'text/plain;x="a,b/{LEGACY}"',
    ],
)
async def test_a_client_that_accepts_no_json_gets_406(client: httpx.AsyncClient, accept: str) -> None:
    response = await post(client, accept=accept)
    assert (response.status_code, code_of(response)) == (406, "NOT_ACCEPTABLE")


# What the client sends


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        'APPLICATION/JSON; CHARSET="UTF-8"',
        "application/json;charset=utf8",
        "application/json ; charset=UTF-8 ; x=y",
    ],
)
async def test_every_spelling_of_the_json_content_type_is_accepted(
    client: httpx.AsyncClient, content_type: str
) -> None:
    response = await post(client, content_type=content_type)
    assert (response.status_code, response.json()) == (200, ANSWER)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/graphql+json",
        "application/graphql-response+json",
        "application/jsonx",
        "application/json, text/plain",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "application/json; charset=",
        "application/json; charset=utf-8; charset=latin1",
    ],
)
async def test_any_other_content_type_is_415(client: httpx.AsyncClient, content_type: str) -> None:
    """These include the types that a foreign page can make a browser send without a preflight request."""
    response = await post(client, content_type=content_type)
    assert (response.status_code, code_of(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_without_a_content_type_is_415(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql", content=QUERY)
    assert (response.status_code, code_of(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


DEEP = 100_000
DIGITS = b"9" * 5_000
NOT_JSON = {
    "nothing": b"",
    "words": b"NONSENSE",
    "half": b'{"query":',
    "bytes that are not UTF-8": b'{"query": "\xff"}',
    "overlong UTF-8": b'{"query": "\xc0\xaf"}',
    "half a surrogate pair": b'{"query": "\\ud800"}',
    "half a surrogate pair in UTF-8": b'{"query": "\xed\xa0\x80"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "a NUL": QUERY + b"\0",
    "a bare line break": b'{"query": "{\n__typename }"}',
    "single quotes": b"{'query': '{ __typename }'}",
    "a comma too many": b'{"query": "{ __typename }",}',
    "a comment": b'{"query": "{ __typename }"} // x',
    "two": QUERY + QUERY,
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "Infinity": b'{"query": "{ __typename }", "variables": {"a": Infinity}}',
    "a number beyond a float's range": b'{"query": "{ __typename }", "variables": {"a": 1e999}}',
    "5,000 digits": DIGITS,
    "5,000 digits in a variable": b'{"query": "{ __typename }", "variables": {"a": ' + DIGITS + b"}}",
    "100,000 brackets": b"[" * DEEP,
    "100,000 lists": b"[" * DEEP + b"]" * DEEP,
    "100,000 lists in a variable": b'{"query": "{ __typename }", "variables": {"a": '
    + b"[" * DEEP
    + b"]" * DEEP
    + b"}}",
    "100,000 objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
}


@pytest.mark.parametrize("accept", [MODERN, LEGACY])
@pytest.mark.parametrize("name", NOT_JSON)
async def test_a_body_that_is_not_json_is_400(client: httpx.AsyncClient, name: str, accept: str) -> None:
    response = await post(client, NOT_JSON[name], accept=accept)
    assert (response.status_code, code_of(response), type_of(response)) == (400, "BAD_REQUEST", accept)
    assert response.json()["errors"][0]["message"] == "The body is not JSON."


NO_REQUEST: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "a text": "x",
    "true": True,
    "a list": [],
    "a batch of more than is allowed": [{"query": "{ __typename }"}] * 11,
    "a batch of a request and something else": [{"query": "{ __typename }"}, None],
    "nothing in it": {},
    "a misspelt query": {"qeury": "{ __typename }"},
    "query null": {"query": None},
    "query 5": {"query": 5},
    "query a list": {"query": ["{ __typename }"]},
    "query an object": {"query": {}},
    "query true": {"query": True},
    "variables a list": {"query": "{ __typename }", "variables": []},
    "variables a text": {"query": "{ __typename }", "variables": "{}"},
    "variables 0": {"query": "{ __typename }", "variables": 0},
    "variables false": {"query": "{ __typename }", "variables": False},
    "operationName 5": {"query": "{ __typename }", "operationName": 5},
    "operationName an object": {"query": "{ __typename }", "operationName": {}},
    "operationName false": {"query": "{ __typename }", "operationName": False},
    "extensions a list": {"query": "{ __typename }", "extensions": []},
    "extensions 0": {"query": "{ __typename }", "extensions": 0},
}


@pytest.mark.parametrize("accept", [MODERN, LEGACY])
@pytest.mark.parametrize("name", NO_REQUEST)
async def test_json_that_is_not_a_graphql_request_is_400(client: httpx.AsyncClient, name: str, accept: str) -> None:
    response = await post(client, json.dumps(NO_REQUEST[name]).encode(), accept=accept)
    assert (response.status_code, code_of(response), type_of(response)) == (400, "BAD_REQUEST", accept)


@pytest.mark.parametrize(
    "more",
    [
        {"variables": None, "operationName": None, "extensions": None},
        {"variables": {}, "operationName": "", "extensions": {}},
        {"variables": {"unused": [[[]]], "big": 10**15, "text": "ß"}},
        {"id": 7, "documentId": "x", "persistedQuery": None},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {"persistedQuery": "x"}},
    ],
)
async def test_null_empty_and_unknown_members_are_ignored(client: httpx.AsyncClient, more: dict[str, Any]) -> None:
    response = await post(client, json.dumps({"query": "{ __typename }"} | more).encode())
    assert (response.status_code, response.json()) == (200, ANSWER)


# Reasons to refuse a GraphQL request; each name says what is wrong with the request.

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "an empty document": ("GRAPHQL_PARSE_FAILED", {"query": ""}),
    "a bracket": ("GRAPHQL_PARSE_FAILED", {"query": "{"}),
    "a NUL in the document": ("GRAPHQL_PARSE_FAILED", {"query": "{ __typename }\0"}),
    "an unknown field": ("GRAPHQL_VALIDATION_FAILED", {"query": "{ nothing }"}),
    "no operation": ("GRAPHQL_VALIDATION_FAILED", {"query": "fragment F on Query { __typename }"}),
    "a schema": ("GRAPHQL_VALIDATION_FAILED", {"query": "type A { a: Int } { __typename }"}),
    "a subscription": ("GRAPHQL_VALIDATION_FAILED", {"query": "subscription { x }"}),
    "@defer": ("GRAPHQL_VALIDATION_FAILED", {"query": "{ ... @defer { __typename } }"}),
    "two operations, none named": ("BAD_REQUEST", {"query": "query A { __typename } query B { __typename }"}),
    "an unknown operation": ("BAD_REQUEST", {"query": "query A { __typename }", "operationName": "B"}),
    "a variable that is missing": ("BAD_USER_INPUT", {"query": "query($id: ID!) { node(id: $id) { id } }"}),
    "a variable of another type": (
        "BAD_USER_INPUT",
        {"query": "query($n: Int) { tickets(first: $n) { totalCount } }", "variables": {"n": "x"}},
    ),
    "an integer of 40 bits": (
        "BAD_USER_INPUT",
        {"query": "query($n: Int) { tickets(first: $n) { totalCount } }", "variables": {"n": 2**40}},
    ),
    "a text for a filter that is none": (
        "BAD_USER_INPUT",
        {"query": '{ tickets(filter: {customerId: "x"}) { totalCount } }'},
    ),
    "both of two keys": ("GRAPHQL_VALIDATION_FAILED", {"query": '{ ticket(by: { id: "a", reference: "b" }) { id } }'}),
    "neither of two keys": ("GRAPHQL_VALIDATION_FAILED", {"query": "{ ticket(by: {}) { id } }"}),
    "a key of null": ("GRAPHQL_VALIDATION_FAILED", {"query": "{ ticket(by: { id: null }) { id } }"}),
    "a key of a variable that is not given": (
        "BAD_USER_INPUT",
        {"query": "query($id: ID) { ticket(by: { id: $id }) { id } }"},
    ),
    "both of two keys in a variable": (
        "BAD_USER_INPUT",
        {
            "query": "query($by: TicketBy!) { ticket(by: $by) { id } }",
            "variables": {"by": {"id": "a", "reference": "b"}},
        },
    ),
    "neither of three keys in a variable": (
        "BAD_USER_INPUT",
        {
            "query": "query($f: TicketFilter) { tickets(filter: $f) { totalCount } }",
            "variables": {"f": {"assignee": {}}},
        },
    ),
    "too much": ("LIMIT_EXCEEDED", {"query": "{ " + "__typename " * 2_000 + "}"}),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_request_is_400_in_the_new_media_type_and_200_in_the_old(
    client: httpx.AsyncClient, name: str
) -> None:
    code, request = REFUSED[name]
    content = json.dumps(request).encode()
    for accept, status in ((MODERN, 400), (LEGACY, 200)):
        response = await post(client, content, accept=accept)
        body = response.json()
        assert list(body) == ["errors"]
        assert {error["extensions"]["code"] for error in body["errors"]} == {code}
        assert (response.status_code, type_of(response)) == (status, accept)


async def test_a_forbidden_field_is_403_in_the_new_media_type_and_200_in_the_old(server: Server) -> None:
    async with Api(server).service() as service:
        for accept, status in ((MODERN, 403), (LEGACY, 200)):
            response = await post(service.http, b'{"query": "{ apiKeys { totalCount } }"}', accept=accept)
            assert (response.status_code, code_of(response)) == (status, "FORBIDDEN")


async def test_every_request_without_a_token_is_401(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as nobody:
        for content, headers in ((QUERY, {}), (b"", {"content_type": "text/plain"}), (b"null", {"accept": LEGACY})):
            response = await post(nobody, content, **headers)
            assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_user_errors_of_a_mutation_have_status_200(client: httpx.AsyncClient) -> None:
    document = 'mutation { noteAdd(input: { ticketId: "x", body: "" }) { userErrors { code } } }'
    for accept in (MODERN, LEGACY):
        response = await post(client, json.dumps({"query": document}).encode(), accept=accept)
        assert (response.status_code, list(response.json())) == (200, ["data"])


async def test_the_response_is_unescaped_utf_8(client: httpx.AsyncClient, server: Server) -> None:
    name = "Zoë Łukaszewska 黒田 🔔"
    async with Api(server) as admin:
        customer = await admin.new_customer(name=name)
    document = f'{{ node(id: "{customer}") {{ ... on Customer {{ name }} }} }}'
    response = await post(client, json.dumps({"query": document}).encode())
    assert name.encode() in response.content
    assert response.headers["content-length"] == str(len(response.content))


# GET


@pytest.mark.parametrize(
    "parameters",
    [
        {"query": "{ __typename }"},
        {"query": "query A { __typename } query B { me { name } }", "operationName": "A"},
        {"query": "query A { __typename } mutation B { " + CREATE + " }", "operationName": "A"},
        {"query": "query($on: Boolean!) { __typename @include(if: $on) }", "variables": '{"on": true}'},
        {"query": "{ __typename } # ü+&=%", "variables": "{}", "extensions": "{}"},
        {"query": "{ __typename }", "variables": "", "operationName": "", "extensions": ""},
        {"query": "{ __typename }", "variables": "null", "extensions": "null", "unknown": "x"},
    ],
)
async def test_queries_are_accepted_over_get(client: httpx.AsyncClient, parameters: dict[str, str]) -> None:
    for encode in (quote, lambda text: urlencode({"": text})[1:]):  # a space is %20 or +
        query_string = "&".join(f"{name}={encode(value)}" for name, value in parameters.items())
        for accept in (MODERN, LEGACY):
            response = await get(client, query_string, accept=accept)
            assert (response.status_code, response.json(), type_of(response)) == (200, ANSWER, accept)


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "variables={}",
        "query=%ff",
        "query=%7B__typename%7D&variables=x",
        "query=%7B__typename%7D&variables=[]",
        "query=%7B__typename%7D&variables=5",
        "query=%7B__typename%7D&variables=%22x%22",
        "query=%7B__typename%7D&extensions=x",
        "query=%7B__typename%7D&variables=" + "[" * 50_000,
        "query=%7B__typename%7D&variables={%22a%22:" + "9" * 5_000 + "}",
        "query=%7B__typename%7D&operationName=null",
    ],
)
async def test_a_query_string_that_is_not_a_graphql_request_is_400(
    client: httpx.AsyncClient, query_string: str
) -> None:
    response = await get(client, query_string)
    assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "parameters",
    [
        {"query": "mutation { " + CREATE + " }"},
        {"query": "mutation M { " + CREATE + " }", "operationName": "M"},
        {"query": "query Q { __typename } mutation M { " + CREATE + " }", "operationName": "M"},
    ],
)
async def test_mutations_over_get_are_405(
    client: httpx.AsyncClient, database: Database, parameters: dict[str, str]
) -> None:
    before = await dump(database)
    for accept in (MODERN, LEGACY):
        response = await get(client, urlencode(parameters), accept=accept)
        assert (response.status_code, code_of(response)) == (405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == METHODS
    assert await dump(database) == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "QUERY"])
async def test_other_methods_are_405(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql?query={__typename}", content=QUERY)
    assert (response.status_code, response.headers["allow"]) == (405, METHODS)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/graphql", METHODS),
        ("/graphql/stream", METHODS),
        ("/graphql/stream/ticket", "OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/readyz", "GET, HEAD, OPTIONS"),
        ("/confirm-address", "GET, HEAD, OPTIONS, POST"),
        ("/push/acknowledge", "OPTIONS, POST"),
    ],
)
async def test_each_path_says_which_methods_it_has(server: Server, path: str, methods: str) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as nobody:
        answer = await nobody.options(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert sorted(answer.headers["allow"].split(", ")) == methods.split(", ")
        assert (await nobody.options("/nowhere")).status_code == 404


async def test_head_is_a_get_without_its_body(client: httpx.AsyncClient) -> None:
    query = "query=" + quote("{ __typename }")
    for path in (f"/graphql?{query}", "/graphql?query=x", "/healthz", f"/graphql?{urlencode({'query': MUTATION})}"):
        got, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("content-type", "content-length", "allow"):
            assert head.headers.get(name) == got.headers.get(name)
    stream = await client.head(f"/graphql/stream?query={quote('subscription { ticketChanged { __typename } }')}")
    assert (stream.status_code, stream.content, type_of(stream)) == (200, b"", "text/event-stream")


async def test_the_query_string_of_a_post_is_ignored(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql?query={__typename}", content=b"{}", headers={"content-type": LEGACY})
    assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST")


async def test_a_browser_gets_no_page_in_production(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", headers={"accept": "text/html,application/xhtml+xml"})
    assert (response.status_code, code_of(response)) == (406, "NOT_ACCEPTABLE")


# Batches


async def batch(client: httpx.AsyncClient, *requests: Any, **headers: str) -> httpx.Response:
    return await post(client, json.dumps(requests).encode(), **headers)


async def test_the_requests_of_a_batch_are_answered_in_their_order(client: httpx.AsyncClient) -> None:
    named = [
        {"query": f"query($n: Int) {{ n{n}: tickets(first: $n) {{ totalCount }} }}", "variables": {"n": n + 1}}
        for n in range(10)
    ]
    for accept in (MODERN, LEGACY):
        response = await batch(client, *named, accept=accept)
        assert (response.status_code, type_of(response)) == (200, accept)
        assert [list(each["data"]) for each in response.json()] == [[f"n{n}"] for n in range(10)]


async def test_each_request_of_a_batch_fails_by_itself(client: httpx.AsyncClient) -> None:
    response = await batch(
        client,
        {"query": "{ __typename }"},
        {"query": "{"},
        {"qeury": "{ __typename }"},
        {"query": "subscription { ticketChanged { __typename } }"},
        {"query": "{ nothing }"},
        {"query": "query A { me { role } } query B { __typename }", "operationName": "B"},
        {"query": "{ __typename }", "extensions": {"cost": True}},
    )
    assert response.status_code == 200
    first, *refused, named, costing = response.json()
    assert first == named == ANSWER
    codes = [[error["extensions"]["code"] for error in each["errors"]] for each in refused]
    assert codes == [["GRAPHQL_PARSE_FAILED"], ["BAD_REQUEST"], ["BAD_REQUEST"], ["GRAPHQL_VALIDATION_FAILED"]]
    assert all(list(each) == ["errors"] for each in refused)
    assert costing["data"] == ANSWER["data"] and costing["extensions"]["cost"]["requested"] >= 2


async def test_a_batch_with_mutations_is_executed_in_order(client: httpx.AsyncClient) -> None:
    number = "{ customers { totalCount } }"
    add = """mutation($n: String!, $e: String!) {
      customerCreate(input: {name: $n, email: $e, accountNumber: $n}) { userErrors { code } } }"""
    steps = [{"query": add, "variables": {"n": f"Batch {n}", "e": f"batch{n}@example.com"}} for n in range(3)]
    response = await batch(
        client, {"query": number}, steps[0], {"query": number}, steps[1], steps[2], {"query": number}
    )
    counts = [each["data"]["customers"]["totalCount"] for each in response.json() if "customers" in each["data"]]
    assert counts == [counts[0], counts[0] + 1, counts[0] + 3]


async def test_a_batch_over_server_sent_events_or_get_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": LEGACY}
    streamed = await client.post("/graphql/stream", content=b"[" + QUERY + b"]", headers=headers)
    assert (streamed.status_code, code_of(streamed)) == (400, "BAD_REQUEST")


# Incremental delivery


@pytest.mark.parametrize("directive", ["@defer", "@stream(initialCount: 1)"])
async def test_incremental_delivery_is_refused_with_a_reason(client: httpx.AsyncClient, directive: str) -> None:
    field = f"... {directive} {{ __typename }}" if "defer" in directive else f"nodes {directive} {{ id }}"
    document = f"{{ tickets {{ {field} }} }}"
    for path in ("/graphql", "/graphql/stream"):
        response = await client.post(path, json={"query": document})
        assert "GRAPHQL_VALIDATION_FAILED" in response.text
        assert response.text.count('"message"') == 1
        assert "is not supported: answers are delivered whole" in response.text
