"""Revoking tokens: which ones, in every process, for requests and for live connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import jwt
import pytest

from callout.auth.authenticator import LEEWAY_SECONDS, Authenticator
from callout.auth.revocations import Revocations
from callout.http.errors import Unauthenticated
from db.enums import Role
from db.ids import new_id
from db.postgres.statement import Queryable
from db.viewer import Issued
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, dump
from tests.helpers.graphql_ws_client import WITHIN, live
from tests.helpers.process import callout_process

REVOKED = "The token has been revoked."
LIFETIME = timedelta(days=30)


def signed(server: Server, subject: str, iat: float, role: str = "admin", **more: object) -> str:
    """A token issued at this time, valid for an hour from now."""
    settings = server.settings
    claims = {
        "sub": subject,
        "role": role,
        "name": "A viewer",
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
    }
    assert settings.jwt_secret is not None
    return jwt.encode(claims | {"iat": iat, "exp": time.time() + 3600} | more, settings.jwt_secret)


@pytest.fixture(scope="module")
def other_process(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of another process on the same database."""
    settings = {"database_url": server.database_url, "jwt_secret": server.settings.jwt_secret or ""}
    with callout_process(tmp_path_factory.mktemp("other"), **settings) as process:
        yield process.url


@pytest.fixture
async def boss(server: Server) -> AsyncIterator[Api]:
    """An admin whose tokens nobody revokes but everybody's."""
    async with Api(server, subject="the one who revokes") as admin:
        yield admin


async def ask(url: str, token: str) -> tuple[int, str | None]:
    """Returns the status of a request and the error's message."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client:
        headers = {"authorization": f"Bearer {token}"}
        response = await client.post("/graphql", json={"query": "{ me { role } }"}, headers=headers)
    errors = response.json().get("errors")
    return response.status_code, errors and errors[0]["message"]


async def becomes(url: str, token: str, expected: tuple[int, str | None]) -> None:
    async with asyncio.timeout(WITHIN):
        while await ask(url, token) != expected:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)


async def test_a_subjects_tokens_are_refused_everywhere_and_others_are_not(
    server: Server, boss: Api, other_process: str
) -> None:
    now = int(time.time())
    tokens = [signed(server, "ada", now - age) for age in (29 * 24 * 3600, 60, 0)]
    spared = [signed(server, subject, now) for subject in ("Ada", "adam", "ad", "tec_ada")]
    for token in (*tokens, *spared):
        assert await ask(server.url, token) == await ask(other_process, token) == (200, None)
    payload = await boss.done("tokensRevoke", "revokedAt apiKeys { id }", subject="ada")
    assert abs(datetime.fromisoformat(payload["revokedAt"]) - datetime.now(UTC)) < timedelta(seconds=30)
    assert payload["apiKeys"] == []
    for url in (server.url, other_process):
        for token in tokens:
            await becomes(url, token, (401, REVOKED))
        for token in spared:
            assert await ask(url, token) == (200, None)


async def test_live_connections_with_a_revoked_token_are_closed_everywhere(
    server: Server, boss: Api, other_process: str
) -> None:
    technician = await boss.new_technician()
    with_old, other = boss.technician(technician), boss.technician(await boss.new_technician())
    async with (
        with_old,
        live(with_old) as screen,
        live(with_old, other_process) as device,
        live(other) as spared,
        live(boss) as own,
        asyncio.timeout(WITHIN),
    ):
        stream = asyncio.create_task(until_it_ends(with_old))
        await boss.done("tokensRevoke", "__typename", subject=technician)
        assert await screen.closed() == await device.closed() == (4403, "Forbidden")
        await stream
        for connection in (spared, own):
            await connection.subscribe("1", "{ me { role } }")
            await connection.next()


async def until_it_ends(viewer: Api) -> None:
    body = {"query": "subscription { ticketCountsChanged { total } }"}
    async with viewer.http.stream("POST", "/graphql/stream", json=body) as response:
        assert response.status_code == 200
        async for _ in response.aiter_raw():
            pass


async def test_a_token_issued_afterwards_is_accepted(server: Server, boss: Api, database: Database) -> None:
    await database.execute(
        "INSERT INTO token_revocations (id, subject, revoked_at) VALUES ($1, 'eve', now() - interval '1 minute')",
        new_id(),
    )
    await becomes(server.url, signed(server, "eve", time.time() - 90), (401, REVOKED))
    assert await ask(server.url, signed(server, "eve", time.time())) == (200, None)


async def test_everyones_tokens_are_revoked_and_api_keys_are_not(
    server: Server, fresh_url: str, tmp_path: Path
) -> None:
    with serving(server, fresh_url, tmp_path) as here:
        async with Api(here) as admin, await admin.with_new_key() as robot, admin.service() as chatbot:
            person = admin.technician(await admin.new_technician())
            async with live(admin) as own, live(robot) as of_robot:
                await admin.done("tokensRevoke", "revokedAt", everyone=True)
                assert (await own.closed())[0] == 4403
                for viewer in (admin, person, chatbot):
                    await becomes(here.url, viewer.http.headers["authorization"][7:], (401, REVOKED))
                assert await robot("{ me { role } }") == {"me": {"role": "SERVICE"}}
                await of_robot.subscribe("1", "{ me { role } }")
                await of_robot.next()


@contextmanager
def serving(server: Server, url: str, directory: Path) -> Iterator[Server]:
    """A server like this one, on another database."""
    settings = server.settings.model_copy(update={"database_url": url})
    with callout_process(directory, database_url=url, jwt_secret=settings.jwt_secret or "") as process:
        yield Server(process.url, settings, url, process)


async def test_the_keys_that_a_subject_has_made_are_named(server: Server, boss: Api) -> None:
    async with Api(server, subject="mallory", name="Mallory") as mallory:
        made = [
            (await mallory.done("apiKeyCreate", "apiKey { id createdBy creatorSubject }", name=f"key {n}"))["apiKey"]
            for n in range(3)
        ]
        assert {(key["createdBy"], key["creatorSubject"]) for key in made} == {("Mallory", "mallory")}
    await boss.done("apiKeyRevoke", "__typename", apiKeyId=made[1]["id"])
    await boss.done("apiKeyCreate", "__typename", name="another's")
    payload = await boss.done("tokensRevoke", "apiKeys { id name }", subject=" mallory ")
    assert [key["name"] for key in payload["apiKeys"]] == ["key 2", "key 0"]


async def test_who_is_named_badly_keeps_their_tokens(boss: Api, database: Database) -> None:
    before = await dump(database)
    for subject, code in ((" ", "REQUIRED"), ("x" * 201, "TOO_LONG"), ("a\0", "INVALID")):
        assert await boss.refused("tokensRevoke", subject=subject) == [(code, "subject")]
    assert await boss.refused("tokensRevoke", everyone=False) == [("INVALID", "everyone")]
    for input in ({}, {"subject": None}, {"everyone": None}, {"subject": "ada", "everyone": True}):
        document = "mutation($input: TokensRevokeInput!) { tokensRevoke(input: $input) { revokedAt } }"
        response = await boss.respond(document, {"input": input})
        assert [error["extensions"]["code"] for error in response["errors"]] == ["BAD_USER_INPUT"]
    assert await dump(database) == before


# From inside: which tokens a revocation covers, and what is remembered meanwhile


class Rows:
    """A database with these revocations."""

    def __init__(self, **revoked_at: float) -> None:
        self.rows = [{"subject": name, "at": datetime.fromtimestamp(at, UTC)} for name, at in revoked_at.items()]

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        return self.rows


def database_with(**revoked_at: float) -> Queryable:
    return cast(Queryable, Rows(**revoked_at))


@pytest.mark.parametrize(
    ("after", "covered"),
    [(-1e9, True), (-1, True), (0, True), (LEEWAY_SECONDS, True), (LEEWAY_SECONDS + 1, False), (1e9, False)],
)
async def test_a_token_is_revoked_if_it_may_have_been_issued_before(after: float, covered: bool) -> None:
    """In the same second, or by a clock that is as far ahead as is tolerated."""
    at = 1_800_000_000
    revocations = Revocations(LIFETIME, LEEWAY_SECONDS)
    rows = database_with(ada=at + 0.7)
    assert not revocations.cover(Issued("ada", at - 100))
    assert await revocations.read(rows)
    assert revocations.cover(Issued("ada", int(at + after))) is covered
    assert not revocations.cover(Issued("bob", at - 100))
    assert not await revocations.read(rows)  # nothing new


async def test_a_reading_that_comes_late_takes_no_revocation_back() -> None:
    revocations = Revocations(LIFETIME, 0)
    assert await revocations.read(database_with(ada=200.0))
    assert await revocations.read(database_with(ada=100.0, bob=100.0))
    assert revocations.cover(Issued("ada", 200)) and revocations.cover(Issued("bob", 100))
    assert not await revocations.read(database_with())
    assert revocations.cover(Issued("ada", 200))


async def test_a_revocation_that_is_read_during_a_look_up_counts(server: Server) -> None:
    """The viewer that is being looked up is not remembered, as those are forgotten that were looked up before."""
    looking, go_on = asyncio.Event(), asyncio.Event()
    technician = new_id()

    class Slow(Rows):
        async def fetchrow(self, query: str, *arguments: Any) -> dict[str, Any]:
            looking.set()
            await go_on.wait()
            return {"id": technician, "name": "Tess"}

    authenticator = Authenticator(server.settings, Slow(**{f"tec_{technician}": time.time()}))  # type: ignore[arg-type]
    header = f"Bearer {signed(server, f'tec_{technician}', time.time() - 1, 'technician')}"
    asking = asyncio.create_task(authenticator.authenticate(header))
    await looking.wait()
    await authenticator.read_revocations()
    go_on.set()
    with pytest.raises(Unauthenticated, match=REVOKED):
        await asking
    with pytest.raises(Unauthenticated, match=REVOKED):
        await authenticator.authenticate(header)
    await authenticator.close()


async def test_a_remembered_viewer_is_forgotten_when_a_revocation_is_read(server: Server, database: Database) -> None:
    authenticator = Authenticator(server.settings, cast(Any, database))
    await authenticator.read_revocations()
    header = f"Bearer {signed(server, 'forgotten', time.time() - 1)}"
    assert (await authenticator.authenticate(header)).role is Role.ADMIN
    revoked = asyncio.Event()
    following = asyncio.create_task(authenticator.follow_revocations(server.database_url, revoked.set))
    assert header in authenticator._known
    await database.execute("INSERT INTO token_revocations (id, subject) VALUES ($1, 'forgotten')", new_id())
    async with asyncio.timeout(WITHIN):
        await revoked.wait()
    assert not authenticator._known
    with pytest.raises(Unauthenticated, match=REVOKED):
        await authenticator.authenticate(header)
    following.cancel()
    await authenticator.close()
