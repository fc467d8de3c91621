"""Sessions of browsers, for tests that are about what people do once they are signed in."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import randrange
from uuid import uuid4

from playwright.async_api import BrowserContext

from callout.http.session_cookie import NAME
from db.enums import Role
from db.postgres.pool import Database as Pool
from resolvers import session
from resolvers.session import KnownPerson


async def signed_in(database_url: str, role: Role, key: str, *, user_agent: str = "A browser of the tests") -> str:
    """Begins a session of the person with this key, and returns its secret."""
    database = await Pool.open(database_url, size=1)
    try:
        async with database.transaction() as transaction:
            return await session.begin(transaction, KnownPerson(role, key, "Somebody"), user_agent, None)
    finally:
        await database.close()


async def new_admin(database_url: str, name: str = "Ada Admin") -> str:
    """Makes an admin and returns their key."""
    database, key = await Pool.open(database_url, size=1), str(uuid4())
    try:
        await database.execute(
            "INSERT INTO admins (id, name, email) VALUES ($1, $2, $3)", key, name, f"{key[:8]}@admins.example"
        )
    finally:
        await database.close()
    return key


def some_address() -> str:
    """An address that no other client has, for `X-Forwarded-For`: attempts to sign in are limited by it."""
    return str(IPv4Address(randrange(1 << 31, 1 << 32)))


def headers(secret: str) -> dict[str, str]:
    """The headers of a request that a page of the console sends."""
    return {"cookie": f"{NAME}={secret}", "x-requested-with": "callout"}


async def sign_in(context: BrowserContext, url: str, database_url: str, role: Role, key: str) -> None:
    """Signs the person in, in this context of a browser, at the server with this URL."""
    secret = await signed_in(database_url, role, key)
    await context.add_cookies(
        [{"name": NAME, "value": secret, "url": url.replace("http://", "https://"), "secure": True, "httpOnly": True}]
    )
