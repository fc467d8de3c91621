"""The time limits of live connections, on a real server with short times.

The tests do not assert how quickly something happens, only that it does not happen too early and does happen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import jwt
import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from callout.settings import Settings
from pubsub.connections import CONNECTIONS_MAX
from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import CHANGES, INIT, WITHIN, Socket, live, socket
from tests.helpers.issuer import RSA_KEY, Issuer, issuer
from tests.helpers.process import callout_process

INIT_SECONDS, ADMISSION_SECONDS, PING_SECONDS, SILENCE_SECONDS, BEAT_SECONDS = 0.8, 0.5, 0.3, 1.5, 0.2
ALL = INIT_SECONDS + ADMISSION_SECONDS + PING_SECONDS + SILENCE_SECONDS
SHORT = {
    "socket_init_seconds": INIT_SECONDS,
    "socket_admission_seconds": ADMISSION_SECONDS,
    "socket_ping_seconds": PING_SECONDS,
    "socket_silence_seconds": SILENCE_SECONDS,
    "stream_beat_seconds": BEAT_SECONDS,
    "connection_watch_seconds": 0.05,
}
ORIGIN = "https://b.example"
SECRET = "a secret of these tests, of thirty-two bytes at least"


@pytest.fixture(scope="module")
def keys() -> Iterator[Issuer]:
    with issuer() as state:
        state.publish(main=RSA_KEY)
        yield state


@pytest.fixture(scope="module")
def server(database_url: str, keys: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    urls = {
        "allowed_origins": f"https://a.example,{ORIGIN}",
        "database_url": database_url,
        "jwt_secret": SECRET,
        "jwt_jwks_url": keys.url,
    }
    times = {name: str(seconds) for name, seconds in SHORT.items()}
    with callout_process(directory, **urls, **times) as process:
        settings = Settings(env="production", data_dir=Path(directory), **urls)  # type: ignore[arg-type]
        yield Server(process.url, settings, database_url, process)


def issued(settings: Settings, subject: str) -> str:
    """Returns an admin's token from the issuer."""
    claims = {
        "sub": subject,
        "role": "admin",
        "name": "Of the issuer",
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": int(time.time()),
        "exp": int(time.time()) + 600,
    }
    return jwt.encode(claims, RSA_KEY, "RS256", {"kid": "main"})


async def answers_pings(client: Socket, end: float) -> int:
    """Sends nothing but pongs; returns the number of pings."""
    pings = 0
    try:
        async with asyncio.timeout_at(end):
            while True:
                assert orjson.loads(await client.connection.recv()) == {"type": "ping"}
                pings += 1
                await client.send(type="pong")
    except TimeoutError:
        return pings


async def speaks(client: Socket, end: float) -> None:
    """Sends messages, but no pongs."""
    while asyncio.get_running_loop().time() < end:
        await client.send(type="complete", id="none of that id")
        await asyncio.sleep(PING_SECONDS / 2)


async def initialises_late(client: Socket, api: Api) -> None:
    await asyncio.sleep(INIT_SECONDS / 2)
    await client.connection.send(INIT % api.http.headers["authorization"])
    assert (await client.receive())["type"] == "connection_ack"


async def beats(parts: AsyncIterator[bytes], end: float) -> int:
    """Returns the number of comments until `end`, after checking that nothing else arrives."""
    count = 0
    try:
        async with asyncio.timeout_at(end):
            async for part in parts:
                assert part.replace(b":\n\n", b"") == b""
                count += part.count(b":")
    except TimeoutError:
        pass
    return count


async def test_an_active_client_stays_connected_for_longer_than_all_the_times(api: Api) -> None:
    clock = asyncio.get_running_loop().time
    start = clock()
    async with live(api) as answering, live(api) as speaking, socket(api.server.url) as late:
        end = clock() + ALL
        pings, _, _ = await asyncio.gather(
            answers_pings(answering, end), speaks(speaking, end), initialises_late(late, api)
        )
        assert 2 <= pings <= (clock() - start) / PING_SECONDS
        for client in (answering, speaking):
            await client.subscribe("1", "{ me { role } }")
            assert await client.next() == {"role": "ADMIN"}


async def test_a_silent_client_is_pinged_and_then_closed(api: Api) -> None:
    pings = 0
    async with live(api) as client:
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(WITHIN):
                while True:
                    assert orjson.loads(await client.connection.recv()) == {"type": "ping"}
                    pings += 1
    assert closed.value.rcvd == Close(1013, "No answer to the ping")
    assert 2 <= pings < SILENCE_SECONDS / PING_SECONDS


async def test_a_client_that_does_not_initialise_is_closed_with_4408(api: Api) -> None:
    """Each time, not only the first."""
    for _ in range(2):
        async with socket(api.server.url) as client:
            assert await client.closed() == (4408, "Connection initialisation timeout")


async def test_a_page_of_an_allowed_origin_may_open_a_socket(api: Api) -> None:
    async with socket(api.server.url, origin=ORIGIN) as client:
        await client.send(type="ping")
        assert await client.receive() == {"type": "pong"}


async def test_a_silent_event_stream_sends_comments(api: Api) -> None:
    body = {"query": CHANGES, "variables": {"filter": {"search": "of nobody's ticket"}}}
    clock = asyncio.get_running_loop().time
    start = clock()
    async with api.http.stream("POST", "/graphql/stream", json=body) as response:
        ready = b""
        parts = response.aiter_bytes()
        while b"StreamReady" not in ready:
            ready += await anext(parts)
        count = await beats(parts, clock() + 5 * BEAT_SECONDS)
    assert 2 <= count <= (clock() - start) / BEAT_SECONDS


async def test_a_slow_admission_times_out_and_leaves_nothing_behind(api: Api, keys: Issuer) -> None:
    """Both for a client that waits and for one that leaves: afterwards all of the viewer's slots are free."""
    keys.seconds = 3 * ADMISSION_SECONDS
    viewer = Api(api.server)
    viewer.http.headers["authorization"] = f"Bearer {issued(api.server.settings, 'slow')}"
    init = INIT % viewer.http.headers["authorization"]
    async with socket(api.server.url) as waiting, socket(api.server.url) as leaving, viewer.http:
        await waiting.connection.send(init)
        await leaving.connection.send(init)
        await leaving.connection.close()
        assert await waiting.closed() == (1013, "Try again later")
        assert (await viewer("{ me { name } }"))["me"] == {"name": "Of the issuer"}  # the issuer has answered by now
        async with AsyncExitStack() as sockets:
            for _ in range(CONNECTIONS_MAX):
                await sockets.enter_async_context(live(viewer))
