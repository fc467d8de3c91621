"""Passkeys: what requests are refused that no browser of ours would send. `tests/web/test_console_sign_in.py` makes and
uses some."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from callout.http.console import DIRECTORY, MANIFEST
from callout.http.passkeys import COOKIE
from db.enums import Role
from db.ids import new_id
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key
from tests.helpers.sessions import headers, new_admin, signed_in

pytestmark = pytest.mark.skipif(
    not (DIRECTORY / MANIFEST).is_file(), reason="needs the console that `make console` builds"
)

SIGN_IN, MAKE = "/passkeys/sign-in", "/passkeys"
OURS = {"x-requested-with": "callout"}
NONSENSE = {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {}, "clientExtensionResults": {}}


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"public_url": "https://callout.example"}


@pytest.fixture
async def browser(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, verify=False) as client:
        yield client


async def challenged(browser: httpx.AsyncClient, path: str, given: dict[str, str]) -> str:
    """Begins a ceremony, and returns the cookie with its challenge."""
    answer = await browser.post(f"{path}/options", headers=given)
    assert answer.status_code == 200 and answer.json()["challenge"]
    line = answer.headers["set-cookie"]
    assert line.startswith(f"{COOKIE}=") and "Max-Age=300; Secure; HttpOnly; SameSite=Lax" in line
    return line.partition(";")[0]


async def test_only_our_own_pages_ask(browser: httpx.AsyncClient, server: Server) -> None:
    given = headers(await signed_in(server.database_url, Role.ADMIN, await new_admin(server.database_url)))
    for path in (SIGN_IN, MAKE, f"{SIGN_IN}/options", f"{MAKE}/options"):
        for more in ({"x-requested-with": ""}, {"origin": "https://other.example"}, {"sec-fetch-site": "same-site"}):
            refused = await browser.post(path, json={}, headers=given | more)
            assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (403, "CSRF")
    assert (await browser.post("/passkeys/remove", headers={"origin": "https://other.example"})).status_code == 403


async def test_nobody_signs_in_without_a_passkey_that_is_known(browser: httpx.AsyncClient, server: Server) -> None:
    body = {"credential": NONSENSE, "next": "/"}
    assert (await browser.post(SIGN_IN, json=body, headers=OURS)).status_code == 400
    cookie = await challenged(browser, SIGN_IN, OURS)
    wrongs: list[object] = [{}, [], {"credential": 1, "next": "/"}, {"credential": NONSENSE}]
    for wrong in wrongs:
        refused = await browser.post(SIGN_IN, json=wrong, headers=OURS | {"cookie": cookie})
        assert refused.status_code == 400
    browser.cookies.clear()
    for given in (NONSENSE, NONSENSE | {"response": 7}, {"id": 7}):
        refused = await browser.post(SIGN_IN, json=body | {"credential": given}, headers=OURS | {"cookie": cookie})
        assert (refused.status_code, refused.json()) == (403, {})
        assert "__Host-callout=" not in refused.headers["set-cookie"]


async def test_only_who_is_signed_in_makes_one_by_its_own_challenge(
    browser: httpx.AsyncClient, server: Server, database: Database
) -> None:
    given = headers(await signed_in(server.database_url, Role.ADMIN, await new_admin(server.database_url)))
    assert (await browser.get(MAKE)).headers["location"] == "/sign-in?next=/passkeys"
    assert (await browser.post(f"{MAKE}/options", headers=OURS)).status_code == 403
    for_another = await challenged(browser, SIGN_IN, OURS)
    own = await challenged(browser, MAKE, given)
    for cookie, status in ((for_another, 400), ("x=y", 400), (own, 403)):
        cookies = f"{given['cookie']}; {cookie}"
        refused = await browser.post(MAKE, json={"credential": NONSENSE}, headers=given | {"cookie": cookies})
        assert refused.status_code == status
    assert (await browser.post(MAKE, content=b"{", headers=given | {"cookie": own})).status_code == 400
    await database.execute("UPDATE sessions SET created_at = now() - interval '16 minutes'")
    late = headers(await signed_in(server.database_url, Role.ADMIN, await new_admin(server.database_url)))
    await database.execute("UPDATE sessions SET created_at = now() - interval '16 minutes'")
    assert (await browser.post(f"{MAKE}/options", headers=late)).status_code == 403
    assert await database.fetchval("SELECT count(*) FROM passkeys") == 0


async def test_people_remove_their_own_alone_and_lose_them_with_their_access(
    browser: httpx.AsyncClient, server: Server, api: Api, database: Database
) -> None:
    owner, other = await api.new_technician(), await api.new_technician()
    made = [new_id() for _ in range(2)]
    for each in made:
        await database.execute(
            "INSERT INTO passkeys (id, credential_id, public_key, sign_count, technician_id, user_agent)"
            " VALUES ($1, $2, '', 0, $3, 'A (iPhone; <b>) Safari')",
            each,
            json.dumps(str(each)).encode(),
            key(owner),
        )
    for person, left in ((other, 2), (owner, 1)):
        secret = await signed_in(server.database_url, Role.TECHNICIAN, key(person))
        page = await browser.get(MAKE, headers=headers(secret))
        assert page.text.count("Safari on iPhone") == (2 if person == owner else 0)
        for each in (str(made[0]), "nonsense", ""):
            await browser.post("/passkeys/remove", data={"id": each}, headers=headers(secret))
        assert await database.fetchval("SELECT count(*) FROM passkeys") == left
    await api.done("technicianUpdate", "__typename", technicianId=owner, active=False)
    assert await database.fetchval("SELECT count(*) FROM passkeys") == 0
