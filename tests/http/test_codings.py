"""Compressed answers and compressed requests."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import brotli  # type: ignore[import-untyped]
import httpx
import pytest

from callout.http.coding import accepted_coding
from callout.http.guard import BODY_MAX
from tests.helpers.api import Api, Server
from tests.helpers.attached_files import attach

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.decompress,
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.compress,
    "br": brotli.compress,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}
LIST = "{ tickets(first: 50) { nodes { id reference subject description status createdAt } } }"
SHORT = b'{"query": "{ __typename }"}'


@pytest.fixture(scope="module")
async def admin(server: Server) -> AsyncIterator[Api]:
    async with Api(server) as admin:
        for n in range(20):
            await admin.new_ticket(subject=f"The panel beeps in room {n}")
        yield admin


async def raw(admin: Api, document: str, accept_encoding: str | None, path: str = "/graphql") -> httpx.Response:
    """The answer, as it has come: its `content` is still compressed."""
    request = admin.http.build_request("POST", path, json={"query": document})
    del request.headers["accept-encoding"]
    if accept_encoding is not None:
        request.headers["accept-encoding"] = accept_encoding
    response = await admin.http.send(request, stream=True)
    response._content = b"".join([part async for part in response.aiter_raw()])
    await response.aclose()
    return response


@pytest.mark.parametrize("coding", DECODERS)
async def test_a_long_answer_is_compressed(admin: Api, coding: str) -> None:
    plain = await raw(admin, LIST, None)
    assert "content-encoding" not in plain.headers
    assert len(plain.content) > 4_000
    answer = await raw(admin, LIST, coding)
    assert answer.headers["content-encoding"] == coding
    assert int(answer.headers["content-length"]) == len(answer.content) < len(plain.content) / 3
    assert DECODERS[coding](answer.content) == plain.content
    for each in (plain, answer):
        assert each.headers["vary"] == "Accept-Encoding"


async def test_a_short_answer_is_not_compressed(admin: Api) -> None:
    answer = await raw(admin, "{ __typename }", "gzip, br, zstd")
    assert "content-encoding" not in answer.headers
    assert answer.json() == {"data": {"__typename": "Query"}}


async def test_an_answer_of_megabytes_is_compressed(admin: Api) -> None:
    lists = " ".join(f"n{n}: tickets(first: 50) {{ nodes {{ id description subject }} }}" for n in range(60))
    plain = await raw(admin, f"{{ {lists} }}", None)
    assert len(plain.content) > 100_000
    for coding, decode in DECODERS.items():
        assert decode((await raw(admin, f"{{ {lists} }}", coding)).content) == plain.content


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate, br, zstd", "zstd"),  # as browsers send it
        ("gzip, deflate, br", "br"),
        ("gzip, deflate", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP;Q=1", "gzip"),
        ("zstd;q=0.1, gzip;q=0.9, br;q=0.5", "gzip"),
        ("gzip;q=0.5, br;q=0.5", "br"),
        ("*", "zstd"),
        ("*;q=0.5, gzip", "gzip"),
        ("zstd;q=0, *", "br"),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("gzip;q=0.0, *;q=0", None),
        ("deflate", None),
        ("compress", None),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        (";;,,", None),
    ],
)
def test_the_coding_that_the_client_prefers_is_taken(accepted: str, expected: str | None) -> None:
    found = accepted_coding(accepted.encode())
    assert (found and found.decode()) == expected


async def test_answers_with_secrets_are_not_compressed(admin: Api) -> None:
    """Those of mutations, and those with the URLs of files: their lengths must not say what they contain."""
    ticket = await admin.new_ticket(description="x" * 2_000)
    await attach(admin, b"panel", ticketId=ticket)
    changed = (
        f'mutation {{ ticketUpdate(input: {{ticketId: "{ticket}", subject: "Y"}}) {{ ticket {{ description }} }} }}'
    )
    shown = f'{{ node(id: "{ticket}") {{ ... on Ticket {{ description attachments {{ nodes {{ url }} }} }} }} }}'
    introspecting = shown.replace("{ node", "{ __schema { types { name } } node", 1)
    for document in (changed, shown, introspecting):
        answer = await raw(admin, document, "gzip, br, zstd")
        assert len(answer.content) > 2_000
        assert "content-encoding" not in answer.headers
    batch = [{"query": changed}, {"query": LIST}]
    answer = await admin.http.post("/graphql", json=batch, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    batch = [{"query": LIST}, {"query": LIST}]
    answer = await admin.http.post("/graphql", json=batch, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"


async def test_server_sent_events_are_not_compressed(admin: Api) -> None:
    answer = await raw(admin, LIST, "gzip, br, zstd", "/graphql/stream")
    assert "content-encoding" not in answer.headers
    assert answer.content.startswith(b"event: next\n")


# Requests


async def post(client: httpx.AsyncClient, body: bytes, coding: str, path: str = "/graphql") -> httpx.Response:
    headers = {"content-type": "application/json", "content-encoding": coding}
    return await client.post(path, content=body, headers=headers)


def code_of(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize("coding", ENCODERS)
async def test_a_compressed_request_is_read(admin: Api, coding: str) -> None:
    long = json.dumps({"query": "{ __typename }" + " " * 900_000}).encode()
    for body in (SHORT, long):
        answer = await post(admin.http, ENCODERS[coding](body), coding)
        assert answer.json() == {"data": {"__typename": "Query"}}
    streamed = await post(admin.http, ENCODERS[coding](SHORT), coding, "/graphql/stream")
    assert '{"data":{"__typename":"Query"}}' in streamed.text


@pytest.mark.parametrize("coding", ["compress", "gzip, gzip", "gzip, br", "x", "", "gzip;q=1", "aes128gcm"])
async def test_an_unknown_coding_is_415(admin: Api, coding: str) -> None:
    answer = await post(admin.http, SHORT, coding)
    assert (answer.status_code, code_of(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.headers["accept-encoding"] == "gzip, br, zstd, deflate"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_a_body_without_its_coding_is_400(admin: Api, coding: str) -> None:
    whole = ENCODERS[coding](SHORT)
    for body in (SHORT, b"", whole[:-1], whole + b"x", whole + whole, b"\0" * 1_000):
        answer = await post(admin.http, body, coding)
        assert (answer.status_code, code_of(answer)) == (400, "BAD_REQUEST"), body


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_a_body_that_unfolds_beyond_the_limit_is_413(admin: Api, coding: str) -> None:
    head = b'{"query": "{ __typename }'
    tail = b'"}'
    for size in (BODY_MAX + 1, 50 * BODY_MAX):
        bomb = ENCODERS[coding](head + b" " * (size - len(head + tail)) + tail)
        assert len(bomb) < BODY_MAX / 10
        answer = await post(admin.http, bomb, coding)
        assert (answer.status_code, code_of(answer)) == (413, "BODY_TOO_LARGE")
    exact = ENCODERS[coding](head + b" " * (BODY_MAX - len(head + tail)) + tail)
    assert (await post(admin.http, exact, coding)).status_code == 200


async def test_a_window_that_takes_much_memory_is_refused(admin: Api) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    body = compressor.compress(SHORT) + compressor.flush()
    answer = await post(admin.http, body, "zstd")
    assert (answer.status_code, code_of(answer)) == (400, "BAD_REQUEST")


async def test_what_a_compressed_body_unfolds_to_is_paid(admin: Api) -> None:
    body = json.dumps({"query": "{ __typename }" + " " * 1_000_000, "extensions": {"cost": True}}).encode()
    plain = await admin.http.post("/graphql", content=body, headers={"content-type": "application/json"})
    zipped = await post(admin.http, gzip.compress(body), "gzip")
    costs = [answer.json()["extensions"]["cost"]["requested"] for answer in (plain, zipped)]
    assert costs[1] >= 0.95 * costs[0]
