"""Sessions of browsers: a cookie that stands for a person, and requests that pages of other origins make with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from callout.auth.authenticator import Authenticator
from callout.http.session_cookie import NAME
from callout.settings import Settings
from db.enums import Role
from db.postgres.pool import Database as Pool
from resolvers import session
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.sessions import headers, new_admin, signed_in

ME = "{ me { role id: subject session { id } } sessions { totalCount } }"


@pytest.fixture
async def admin(server: Server) -> str:
    return await new_admin(server.database_url)


@pytest.fixture
async def secret(server: Server, admin: str) -> str:
    return await signed_in(server.database_url, Role.ADMIN, admin)


async def asked(server: Server, given: dict[str, str], query: str = ME, **variables: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
        return await client.post("/graphql", json={"query": query, "variables": variables}, headers=given)


@asynccontextmanager
async def socket(server: Server, secret: str, origin: str | None) -> AsyncIterator[ClientConnection]:
    """A socket with the cookie, of a page of this origin, that has sent its initialisation."""
    async with connect(
        server.url.replace("http", "ws") + "/graphql",
        subprotocols=[Subprotocol("graphql-transport-ws")],
        origin=None if origin is None else Origin(origin),
        additional_headers={"cookie": f"{NAME}={secret}"},
    ) as opened:
        await opened.send('{"type":"connection_init"}')
        yield opened


async def code_of_close(opened: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await opened.recv()
    return closed.value.rcvd.code if closed.value.rcvd is not None else None


async def is_refused(server: Server, secret: str) -> None:
    """Waits until the session is refused, which every process knows within a second."""
    async with asyncio.timeout(WITHIN):
        while (await asked(server, headers(secret))).status_code != 401:
            pass


async def test_a_cookie_stands_for_its_person(server: Server, admin: str, secret: str) -> None:
    me = (await asked(server, headers(secret))).json()["data"]["me"]
    assert (me["role"], me["id"]) == ("ADMIN", f"adm_{admin}")
    assert me["session"]["id"].startswith("ses_")


@pytest.mark.parametrize(
    "more",
    [
        {"x-requested-with": ""},
        {"x-requested-with": "XMLHttpRequest"},
        {"origin": "https://other.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=lambda more: ",".join(f"{name}={value}" for name, value in more.items()),
)
async def test_a_page_of_another_origin_cannot_use_the_cookie(
    server: Server, secret: str, more: dict[str, str]
) -> None:
    refused = await asked(server, headers(secret) | more)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["extensions"]["code"] == "CSRF"
    async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
        stream = await client.post("/graphql/stream", json={"query": ME}, headers=headers(secret) | more)
    assert stream.status_code == 403


async def test_a_token_counts_more_than_the_cookie(server: Server, api: Api, secret: str) -> None:
    given = {"cookie": f"{NAME}={secret}", "authorization": api.http.headers["authorization"]}
    assert (await asked(server, given)).json()["data"]["me"]["id"] == "boss"


async def test_cookies_of_others_are_left_alone(server: Server, admin: str, secret: str) -> None:
    given = headers(secret)
    for before, after in (('{"a": [1]}; ', ""), ("x; =; ", "; y"), (f"not{NAME}=1; ", f"; {NAME}2=3")):
        me = await asked(server, given | {"cookie": f"{before}{given['cookie']}{after}"})
        assert me.json()["data"]["me"]["id"] == f"adm_{admin}"


@pytest.mark.parametrize("value", ["", "x", "callout_session_" + "A" * 43, 'callout_session_"', "a b"])
async def test_no_other_cookie_signs_in(server: Server, value: str) -> None:
    assert (await asked(server, headers(value))).status_code == 401


async def test_a_socket_of_our_own_pages_is_admitted(server: Server, secret: str) -> None:
    async with socket(server, secret, server.url) as opened:
        assert json.loads(await opened.recv())["type"] == "connection_ack"


async def test_a_socket_without_an_origin_is_not_admitted_by_the_cookie(server: Server, secret: str) -> None:
    async with socket(server, secret, None) as opened:
        assert await code_of_close(opened) == 4403


@pytest.mark.parametrize(("origin", "admitted"), [("https://callout.example", True), ("http://callout.example", False)])
async def test_a_page_that_came_without_encryption_is_not_our_own(
    server: Server, secret: str, origin: str, admitted: bool
) -> None:
    """A proxy has taken the encryption off. Browsers send the cookie over https only, but not of https pages only."""
    given = headers(secret) | {"host": "callout.example", "origin": origin}
    assert (await asked(server, given)).status_code == (200 if admitted else 403)
    address = urlsplit(server.url)
    async with connect(
        "ws://callout.example/graphql",
        host=address.hostname,
        port=address.port,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        origin=Origin(origin),
        additional_headers={"cookie": f"{NAME}={secret}"},
    ) as opened:
        await opened.send('{"type":"connection_init"}')
        if admitted:
            assert json.loads(await opened.recv())["type"] == "connection_ack"
        else:
            assert await code_of_close(opened) == 4403


async def test_signing_out_ends_the_session_and_is_in_the_audit_trail(
    server: Server, api: Api, database: Database, admin: str, secret: str
) -> None:
    mine = (await asked(server, headers(secret))).json()["data"]["me"]["session"]["id"]
    async with socket(server, secret, server.url) as opened:
        assert json.loads(await opened.recv())["type"] == "connection_ack"
        async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
            for _ in range(2):
                answer = await client.post("/sign-out", headers=headers(secret))
                assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert await code_of_close(opened) == 4403
    await is_refused(server, secret)
    document = "query($id: ID!) { auditEntries(filter: {objectId: $id}) { nodes { action actorId actor { name } } } }"
    entries = await api(document, id=mine)
    ended, begun = entries["auditEntries"]["nodes"]
    assert ended == {"action": "REVOKED", "actorId": f"adm_{admin}", "actor": {"name": "Ada Admin"}}
    assert (begun["action"], begun["actorId"]) == ("CREATED", f"adm_{admin}")
    assert await database.fetchval("SELECT count(*) FROM token_revocations WHERE subject LIKE 'ses%'") == 0


async def test_a_revoked_session_ends_with_its_sockets(server: Server, admin: str, secret: str) -> None:
    other = await signed_in(server.database_url, Role.ADMIN, admin)
    mine = (await asked(server, headers(secret))).json()["data"]["me"]["session"]["id"]
    async with socket(server, secret, server.url) as opened:
        assert json.loads(await opened.recv())["type"] == "connection_ack"
        revoke = "mutation($id: ID!) { sessionRevoke(input: {sessionId: $id}) { userErrors { code } } }"
        done = await asked(server, headers(other), revoke, id=mine)
        assert done.json()["data"]["sessionRevoke"] == {"userErrors": []}
        assert await code_of_close(opened) == 4403
    await is_refused(server, secret)
    again = await asked(server, headers(other), revoke, id=mine)
    assert again.json()["data"]["sessionRevoke"]["userErrors"][0]["code"] == "NOT_FOUND"


async def test_people_see_and_end_their_own_sessions_alone(server: Server, api: Api, secret: str) -> None:
    technicians = [await api.new_technician() for _ in range(2)]
    own, foreign = [await signed_in(server.database_url, Role.TECHNICIAN, key(each)) for each in technicians]
    other = (await asked(server, headers(foreign))).json()["data"]["me"]["session"]["id"]
    seen = (await asked(server, headers(own))).json()["data"]
    assert seen["sessions"]["totalCount"] == 1
    assert seen["me"]["id"] == technicians[0]
    revoke = "mutation($id: ID!) { sessionRevoke(input: {sessionId: $id}) { userErrors { code } } }"
    refused = await asked(server, headers(own), revoke, id=other)
    assert refused.json()["data"]["sessionRevoke"]["userErrors"][0]["code"] == "NOT_FOUND"
    assert (await asked(server, headers(foreign))).status_code == 200


async def test_who_loses_access_loses_their_sessions(
    server: Server, api: Api, database: Database, admin: str, secret: str
) -> None:
    technician = await api.new_technician()
    theirs = await signed_in(server.database_url, Role.TECHNICIAN, key(technician))
    await new_admin(server.database_url)
    async with socket(server, theirs, server.url) as first, socket(server, secret, server.url) as second:
        assert json.loads(await first.recv())["type"] == json.loads(await second.recv())["type"] == "connection_ack"
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        await api.done("adminUpdate", "__typename", adminId=f"adm_{admin}", active=False)
        assert await code_of_close(first) == await code_of_close(second) == 4403
    await is_refused(server, theirs)
    await api.done("technicianUpdate", "__typename", technicianId=technician, active=True)
    await is_refused(server, theirs)
    await api.done("adminUpdate", "__typename", adminId=f"adm_{admin}", active=True)
    await is_refused(server, secret)
    assert await database.fetchval(f"SELECT count(*) FROM sessions WHERE admin_id = '{admin}'") == 0
    # So webhooks that they have made end as well.
    assert await database.fetchval(f"SELECT count(*) FROM token_revocations WHERE subject = 'adm_{admin}'") == 1


async def test_tokens_that_are_revoked_include_sessions(server: Server, api: Api, admin: str, secret: str) -> None:
    assert (await asked(server, headers(secret))).status_code == 200
    async with socket(server, secret, server.url) as opened:
        assert json.loads(await opened.recv())["type"] == "connection_ack"
        await api.done("tokensRevoke", "__typename", subject=f"adm_{admin}")
        assert await code_of_close(opened) == 4403
    await is_refused(server, secret)


async def test_the_last_active_admin_stays(server: Server, api: Api, database: Database, admin: str) -> None:
    await database.execute(f"UPDATE admins SET active = false WHERE id <> '{admin}'")
    refused = await api.do("adminUpdate", "admin { active }", adminId=f"adm_{admin}", active=False)
    assert refused["userErrors"][0]["field"] == ["input", "active"]
    await api.done("adminUpdate", "__typename", adminId=f"adm_{admin}", name="Ada A. Admin")


async def test_a_secret_is_replaced_although_an_answer_is_lost(server: Server, database: Database, secret: str) -> None:
    """The browser that shows a secret that was replaced has not received the other one."""
    aged = "UPDATE sessions SET renewed_at = now() - $1::interval WHERE secret_hash = $2"
    pool = await Pool.open(server.database_url, size=1)
    try:
        assert await session.renew(pool, secret) is None
        await database.execute(aged, timedelta(hours=25), session.hash_of(secret))
        lost = await session.renew(pool, secret)
        assert lost is not None
        assert await session.renew(pool, secret) is None  # another page that was loaded at the same moment
        for each in (secret, lost):
            assert (await asked(server, headers(each))).status_code == 200
        await database.execute(aged, timedelta(minutes=2), session.hash_of(lost))
        other = await session.renew(pool, secret)
        assert other is not None
        assert (await asked(server, headers(other))).status_code == 200
        await is_refused(server, lost)
        async with pool.transaction() as transaction:
            await session.end(transaction, secret, None)
        await is_refused(server, other)
    finally:
        await pool.close()


async def test_revoked_tokens_stay_revoked_for_as_long_as_a_session_may_last() -> None:
    settings = Settings(
        env="production",
        database_url="postgresql://a@b/c",
        jwt_secret="s" * 48,
        jwt_max_lifetime_days=1,
        session_days=40,
    )
    authenticator = Authenticator(settings, Unused())  # type: ignore[arg-type]
    assert authenticator._revocations._kept > timedelta(days=40)
    await authenticator.close()


class Unused:
    """A database that nobody asks."""


async def test_a_session_ends_after_a_time_without_use(server: Server, database: Database, admin: str) -> None:
    old = await signed_in(server.database_url, Role.ADMIN, admin)
    await database.execute("UPDATE sessions SET used_at = now() - interval '30 days 1 minute'")
    assert (await asked(server, headers(old))).status_code == 401
