"""The bell, with real servers and real faults: killed connections, killed servers and silent peers.

Each bell represents a process; where it matters, one runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from broadcaster._base import Subscriber, Unsubscribed
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from db.postgres import embedded
from pubsub import bell as module
from pubsub.backends import APPLICATION_NAME, line_to
from pubsub.bell import (
    BEAT,
    BEAT_SECONDS,
    CHANNEL,
    MERGING_SECONDS,
    RETRY_SECONDS,
    RETRY_SECONDS_MAX,
    SILENCE_SECONDS,
    Bell,
    UnusableUrl,
    ring_once,
)
from tests.helpers.database_checks import until
from tests.helpers.process import free_port
from tests.helpers.proxy import Proxy, connector, through
from tests.helpers.valkey import Valkey

WITHIN = 20.0  # seconds, after which a waiting test fails
QUIET = 0.1

TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = $1 AND datname = current_database()"""
OF_BELLS = f"application_name = '{APPLICATION_NAME}' AND datname = current_database()"

CHILD = """
import asyncio, sys
from pubsub.bell import Bell

async def main():
    async with Bell.open(sys.argv[1]) as bell:
        print("open", flush=True)
        print("rung" if await bell.wait(20) else "not rung", flush=True)
        bell.ring()
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture(params=["postgres", "valkey"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of server that connects processes."""
    if request.param == "postgres":
        return str(request.getfixturevalue("database_url"))
    server: Valkey = request.getfixturevalue("valkey")
    return server.url


@asynccontextmanager
async def two_bells(url: str) -> AsyncIterator[tuple[Bell, Bell]]:
    async with Bell.open(url) as one, Bell.open(url) as other:
        yield one, other


async def settled(*bells: Bell) -> None:
    """Waits until no more rings arrive."""
    while any(await asyncio.gather(*(bell.wait(QUIET) for bell in bells))):
        pass


async def wakes(one: Bell, other: Bell) -> None:
    await settled(one, other)
    one.ring()
    assert await other.wait(WITHIN)


async def come_back(*bells: Bell) -> None:
    """Waits until each bell rings, in case it has missed a ring, and checks that they wake each other again."""
    assert all(await asyncio.gather(*(bell.wait(WITHIN) for bell in bells)))
    for one, other in (bells, bells[::-1]):
        await wakes(one, other)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.message for record in caplog.records if record.name == "pubsub.bell" and record.levelname == "WARNING"
    ]


async def outage(caplog: pytest.LogCaptureFixture, bells: int) -> None:
    """Waits until this many bells have logged the outage."""
    async with asyncio.timeout(WITHIN):
        while len(warnings(caplog)) < bells:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("pubsub_url", ["memory://", "postgres://"])
async def test_a_bell_hears_its_own_ring_at_once_and_only_once(pubsub_url: str, database_url: str) -> None:
    async with Bell.open(pubsub_url, database_url) as bell:
        assert not await bell.wait(0)
        bell.ring()
        assert await bell.wait(0)
        assert not await bell.wait(QUIET)  # although the server has sent it back


async def test_rings_before_a_wait_are_merged(valkey: Valkey) -> None:
    async with two_bells(valkey.url) as (one, other):
        for _ in range(10):
            one.ring()
        assert [await one.wait(0), await one.wait(0)] == [True, False]
        assert await other.wait(WITHIN)
        assert not await other.wait(QUIET)


async def test_processes_wake_each_other(url: str) -> None:
    async with Bell.open(url) as bell:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHILD, url), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None and await child.stdout.readline() == b"open\n"
        bell.ring()
        assert await bell.wait(0)
        assert await child.stdout.readline() == b"rung\n"
        assert await bell.wait(WITHIN)
        await child.communicate(b"")  # ends its input
        assert child.returncode == 0


async def test_different_urls_of_one_database_connect_processes(database_url: str) -> None:
    driver_named = database_url.replace("postgresql://", "postgresql+asyncpg://")
    async with Bell.open("postgres://", database_url) as one, Bell.open(driver_named) as other:
        await wakes(one, other)
        await wakes(other, one)


async def test_all_waiters_of_a_bell_share_one_connection(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()"
    async with two_bells(database_url) as (one, other):
        waiting = [asyncio.create_task(one.wait(WITHIN)) for _ in range(100)]
        await asyncio.sleep(0)
        other.ring()
        assert all(await asyncio.gather(*waiting))
        assert await database.fetchval(query, APPLICATION_NAME) == 2


async def test_many_rings_send_few_messages(
    database_url: str, database: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    merging = 20 * MERGING_SECONDS  # longer, because a busy machine would send few messages anyway
    monkeypatch.setattr(module, "MERGING_SECONDS", merging)
    messages: list[object] = []
    await database.add_listener(CHANNEL, lambda *arguments: messages.append(arguments[3]))
    async with two_bells(database_url) as (one, other):
        began = time.monotonic()
        for _ in range(200):
            one.ring()
            await asyncio.sleep(0.001)
        elapsed = time.monotonic() - began
        await settled(other)
    rings = [message for message in messages if message != BEAT]
    assert 1 <= len(rings) <= elapsed / merging + 2


async def test_each_ear_hears_every_ring(database_url: str) -> None:
    async with two_bells(database_url) as (one, other):
        ears = [other.ear(), other.ear()]
        await settled(one, other)
        one.ring()
        assert await other.wait(WITHIN)
        assert [await ear.wait(0) for ear in ears] == [True, True]
        assert [await ear.wait(0) for ear in ears] == [False, False]


async def test_ringing_once_wakes_other_processes(url: str) -> None:
    async with Bell.open(url) as bell:
        await settled(bell)
        await ring_once(url)
        assert await bell.wait(WITHIN)


async def test_a_bell_is_open_as_soon_as_it_hears_itself(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 3600.0)  # no second beat
    async with asyncio.timeout(WITHIN), Bell.open(url):
        pass


async def test_a_foreign_message_on_the_channel_rings(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    async with two_bells(valkey.url) as (one, other), Redis.from_url(valkey.url) as client:
        await settled(one, other)
        await client.publish(CHANNEL, b"\xff is no UTF-8")
        assert all(await asyncio.gather(one.wait(WITHIN), other.wait(WITHIN)))
        await wakes(one, other)
    assert warnings(caplog) == []


async def test_a_closed_bell_leaves_nothing_behind(
    url: str, database: asyncpg.Connection[asyncpg.Record], valkey: Valkey
) -> None:
    # Closed repeatedly while it sends: before Python 3.12 a cancellation could get lost there.
    before = asyncio.all_tasks()
    for turns in range(12):
        async with Bell.open(url) as bell:
            bell.ring()
            for _ in range(turns):
                await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    await until(database, f"count(*) = 0 FROM pg_stat_activity WHERE {OF_BELLS}")
    async with Redis.from_url(valkey.url) as client, asyncio.timeout(WITHIN):
        while len(await client.client_list()) > 1:  # noqa: ASYNC110 (one is this client; there is no event to wait for)
            await asyncio.sleep(0.02)


async def test_bells_recover_from_killed_connections_to_postgresql(
    database_url: str, database: asyncpg.Connection[asyncpg.Record], caplog: pytest.LogCaptureFixture
) -> None:
    async with two_bells(database_url) as bells:
        for _ in range(2):
            assert len(await database.fetch(TERMINATE, APPLICATION_NAME)) == 2
            await come_back(*bells)
    assert len(warnings(caplog)) == 4  # each outage is logged


async def test_bells_recover_from_a_restart_of_postgresql(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as server:
        database_url = await asyncio.to_thread(server.enter_context, embedded.running(tmp_path, durable=False))
        async with two_bells(database_url) as (one, other):
            await asyncio.to_thread(server.close)
            await outage(caplog, bells=2)
            one.ring()
            assert await one.wait(0)
            assert not await other.wait(QUIET)
            await asyncio.to_thread(server.enter_context, embedded.running(tmp_path))
            await come_back(one, other)
        assert len(warnings(caplog)) == 2


@pytest.mark.parametrize("scheme", ["redis", "redis-stream"])  # the second uses another backend of broadcaster
async def test_bells_recover_from_a_killed_valkey(
    scheme: str, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with two_bells(f"{scheme}://{valkey.address}") as (one, other):
        await wakes(one, other)
        valkey.kill()
        await outage(caplog, bells=2)
        one.ring()
        assert await one.wait(0)
        assert not await other.wait(0.5)
        valkey.start()
        await come_back(one, other)
    assert len(warnings(caplog)) == 2  # one for each bell, however often it retried


async def test_bells_recover_from_a_killed_listening_connection(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with two_bells(valkey.url) as bells, Redis.from_url(valkey.url) as client:
        assert await client.client_kill_filter(_type="pubsub") == 2
        await come_back(*bells)
    assert warnings(caplog) == 2 * ["the bell is disconnected from the other processes: Connection closed by server."]


@pytest.fixture
def quiet_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey server that no other test rings in."""
    directory = tmp_path / "quiet"
    directory.mkdir()
    server = Valkey(directory)
    server.start()
    yield server
    server.kill()


async def test_a_silent_peer_is_distinguished_from_silence(
    database_url: str, fresh_url: str, valkey: Valkey, quiet_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTING_SECONDS", 2.0)  # shorter than this test
    # Concurrently, because each takes seconds.
    await asyncio.gather(
        *(silence_keeps_the_connection(url) for url in ("memory://", fresh_url, quiet_valkey.url)),
        a_lost_peer_is_replaced(database_url),
        a_lost_peer_is_replaced(valkey.url),
        a_lost_listening_connection_is_replaced(valkey.url),
    )


async def silence_keeps_the_connection(url: str) -> None:
    """Waits for longer than all of the bell's times: if it reconnected, it would ring."""
    long = SILENCE_SECONDS + 1.5 * BEAT_SECONDS
    async with Bell.open(url) as bell:
        await settled(bell)
        assert not await bell.wait(long)


async def a_lost_peer_is_replaced(url: str) -> None:
    proxy = Proxy(connector(url))
    async with proxy.running() as port, Bell.open(through(port, url)) as far, Bell.open(url) as near:
        await wakes(near, far)
        await settled(near)
        proxy.fall_silent()
        far.ring()
        assert await far.wait(0)
        assert await far.wait(WITHIN)  # because it has noticed that it cannot send
        assert await near.wait(WITHIN)  # the lost ring is repeated
        await wakes(near, far)


async def a_lost_listening_connection_is_replaced(url: str) -> None:
    proxy = Proxy(connector(url))
    async with proxy.running() as port, Bell.open(through(port, url)) as far, Bell.open(url) as near:
        await settled(near, far)
        proxy.fall_silent(0)  # the listening connection; the sending one still works
        assert await far.wait(WITHIN)  # because it has noticed that it does not hear itself
        await wakes(near, far)


async def test_a_bell_with_a_silent_peer_can_be_closed(url: str) -> None:
    proxy = Proxy(connector(url))
    async with asyncio.timeout(WITHIN), proxy.running() as port, Bell.open(through(port, url)) as bell:
        proxy.fall_silent()
        bell.ring()
        await asyncio.sleep(2 * MERGING_SECONDS)


async def test_a_killed_connection_ends_the_subscription_of_a_line(
    database_url: str, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    with pytest.raises(ConnectionError, match="PostgreSQL was closed"):
        async with line_to(database_url) as line, line.subscribe(CHANNEL) as subscriber:
            await database.execute(TERMINATE, APPLICATION_NAME)
            end = await end_of(subscriber)
    assert isinstance(end, Unsubscribed)


@pytest.mark.parametrize("scheme", ["redis", "redis-stream"])
async def test_a_killed_server_ends_the_subscription_of_a_line(scheme: str, valkey: Valkey) -> None:
    with pytest.raises(RedisConnectionError):
        async with line_to(f"{scheme}://{valkey.address}") as line, line.subscribe(CHANNEL) as subscriber:
            valkey.kill()
            end = await end_of(subscriber)
    assert isinstance(end, Unsubscribed)


async def end_of(subscriber: Subscriber) -> object:
    (end,) = await asyncio.gather(asyncio.wait_for(subscriber.get(), WITHIN), return_exceptions=True)
    return end


@pytest.mark.parametrize("scheme", ["redis", "redis-stream"])
async def test_a_line_that_cannot_subscribe_raises_the_cause(scheme: str) -> None:
    with pytest.raises(RedisConnectionError):
        async with line_to(f"{scheme}://127.0.0.1:{free_port()}") as line, line.subscribe(CHANNEL):
            pass


async def test_a_bell_opens_without_its_server_and_rings_once_it_starts(valkey: Valkey) -> None:
    valkey.kill()
    async with two_bells(valkey.url) as (one, other):
        one.ring()
        assert await one.wait(0)
        valkey.start()
        await come_back(one, other)


async def test_pauses_between_retries_double_up_to_a_maximum_and_reset_after_an_outage(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        """Records and skips pauses, except the test's own and those between two messages."""
        if asyncio.current_task() is not test and seconds > MERGING_SECONDS:
            pauses.append(seconds)
            seconds = 0.0
        await sleep(seconds)

    test = asyncio.current_task()
    monkeypatch.setattr(asyncio, "sleep", pause)
    expected = [RETRY_SECONDS, 2 * RETRY_SECONDS, 4 * RETRY_SECONDS, 8 * RETRY_SECONDS, *[RETRY_SECONDS_MAX] * 4]
    async with Bell.open(valkey.url) as bell:
        for _ in range(2):
            await settled(bell)
            pauses.clear()
            await asyncio.to_thread(valkey.kill)
            async with asyncio.timeout(WITHIN):
                while len(pauses) < len(expected):  # noqa: ASYNC110 (there is no event to wait for)
                    await asyncio.sleep(0.01)
            shares = [each / longest for each, longest in zip(pauses, expected, strict=False)]
            assert all(0.5 <= share <= 1.0 for share in shares), pauses
            assert len(set(shares)) > 1, "without jitter, all clients of a lost server would return at once"
            await asyncio.to_thread(valkey.start)
            assert await bell.wait(WITHIN)


async def test_an_outage_is_logged_without_the_password(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    async with Bell.open(f"redis://nobody:hush@{valkey.address}"):
        (warning,) = warnings(caplog)
    assert "invalid username-password pair" in warning
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must start with memory://"),
        ("user:hush@localhost", "must start with memory://"),
        ("postgres://", "the database's URL is not set"),
        ("amqp://user:hush@localhost", "Unsupported backend: amqp"),
        ("kafka://localhost", "aiokafka"),
        ("redis://user:/hush@localhost", "ambiguous"),
        ("redis://user:1/hush@localhost", "ambiguous"),
        ("redis://user:1#hush@localhost", "ambiguous"),
        ("postgresql://user:a?hush@localhost/callout", "ambiguous"),
        ("postgresql://[hush/callout", "ambiguous"),
        ("redis://:hush@localhost?db=hush", "Invalid value for 'db'"),
        ("postgresql://user:hush@localhost/callout?target_session_attrs=hush", "got '?[*]{3}"),
        ("postgresql://user:hu%73h@localhost/callout?target_session_attrs=hush", "got '?[*]{3}"),
    ],
)
async def test_an_unusable_url_is_refused_without_the_password(url: str, reason: str) -> None:
    with pytest.raises(UnusableUrl, match=reason) as refused:
        async with Bell.open(url):
            pass
    assert "hush" not in str(refused.value)


class Crate:
    """A cargo that notes what it is given, and fails at `WRONG`."""

    WRONG = '{"n":13}'

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.to_send: list[str] = []
        self.received: list[str] = []
        self.connections = 0

    def load(self) -> list[str]:
        loaded, self.to_send = self.to_send, []
        return loaded

    def receive(self, message: str) -> None:
        assert message != self.WRONG
        self.received.append(message)

    def connected(self) -> None:
        self.connections += 1

    def send(self, *messages: str) -> None:
        self.to_send += messages
        self.waiting.set()

    async def until_received(self, *messages: str) -> None:
        async with asyncio.timeout(WITHIN):
            while self.received != list(messages):  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(0.02)


async def test_cargo_arrives_in_order_and_rings_nobody(url: str) -> None:
    crates = [Crate(), Crate()]
    async with Bell.open(url, cargo=crates[0]) as one, Bell.open(url, cargo=crates[1]) as other:
        await settled(one, other)
        messages = [f'{{"n":{number}}}' for number in range(40) if number != 13]
        crates[0].send(*messages)
        for crate in crates:
            await crate.until_received(*messages)
        assert [await bell.wait(0) for bell in (one, other)] == [False, False]
        await wakes(one, other)


async def test_a_cargo_that_fails_does_not_disconnect_the_bell(url: str, caplog: pytest.LogCaptureFixture) -> None:
    crate, far = Crate(), Crate()
    async with Bell.open(url, cargo=crate) as one, Bell.open(url, cargo=far) as other:
        crate.send(Crate.WRONG, '{"n":14}')
        await far.until_received('{"n":14}')
        await wakes(one, other)
    assert warnings(caplog) == []
    assert [crate.connections, far.connections] == [1, 1]


async def test_cargo_is_carried_again_after_an_outage(
    database_url: str, database: asyncpg.Connection[asyncpg.Record], caplog: pytest.LogCaptureFixture
) -> None:
    crate, far = Crate(), Crate()
    async with Bell.open(database_url, cargo=crate) as one, Bell.open(database_url, cargo=far) as other:
        await database.fetch(TERMINATE, APPLICATION_NAME)
        await come_back(one, other)
        crate.send('{"n":1}')
        await far.until_received('{"n":1}')
    assert [crate.connections, far.connections] == [2, 2]
