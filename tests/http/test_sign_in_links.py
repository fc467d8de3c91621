"""Links that sign people in: who gets one, and that it works once and not for long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest

from callout.http.session_cookie import NAME
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, until
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.sessions import some_address

KNOWN = "__Host-callout-known"
SECRET = re.compile(r"/sign-in/link\?token=([A-Za-z0-9_-]{43})")


@pytest.fixture(scope="module")
def smtp() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def server_settings(smtp: MailServer) -> dict[str, str]:
    return {
        "smtp_url": smtp.url,
        "public_url": "https://callout.example",
        "mail_from": "support@callout.example",
        "trusted_proxies": "127.0.0.1",
    }


@pytest.fixture
async def browser(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that keeps cookies and says where its forms are from."""
    given = {"origin": server.url, "sec-fetch-site": "same-origin", "x-forwarded-for": some_address()}
    async with httpx.AsyncClient(base_url=server.url, headers=given, verify=False) as client:
        yield client


async def asks(browser: httpx.AsyncClient, email: str, next_path: str = "") -> str:
    page = await browser.post("/sign-in", data={"email": email, "next": next_path})
    assert page.status_code == 200
    return page.text


async def link_of(smtp: MailServer, email: str, number: int = 1) -> str:
    """Waits for the mail with this number to the address, and returns the path of the link in it."""
    async with asyncio.timeout(20):
        while len(to := [mail for mail in smtp.received if mail.recipients == [email]]) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    body = to[number - 1].message.get_body(("plain",))
    assert body is not None
    found = SECRET.search(body.get_content())
    assert found is not None
    return found[0]


async def who(browser: httpx.AsyncClient) -> str | None:
    """The id of the person who is signed in. The cookie is sent by hand: `httpx` keeps `Secure` ones for https."""
    secret = browser.cookies.get(NAME)
    given = {"cookie": f"{NAME}={secret}", "x-requested-with": "callout"}
    answer = await browser.post("/graphql", json={"query": "{ me { id: subject } }"}, headers=given)
    return str(answer.json()["data"]["me"]["id"]) if answer.status_code == 200 else None


async def test_a_link_signs_in_once(browser: httpx.AsyncClient, api: Api, smtp: MailServer, database: Database) -> None:
    technician = await api.new_technician()
    email = str(await database.fetchval(f"SELECT email FROM technicians WHERE id = '{technician[4:]}'"))
    await asks(browser, email.upper(), "/tech/tickets/TKT-A1B2C3")
    link = await link_of(smtp, email)
    opened = await browser.get(link)
    assert opened.status_code == 200
    assert "set-cookie" not in opened.headers
    done = await browser.post(link)
    assert (done.status_code, done.headers["location"]) == (303, "/tech/tickets/TKT-A1B2C3")
    assert await who(browser) == technician
    assert "HttpOnly" in done.headers["set-cookie"] and "Secure" in done.headers["set-cookie"]
    again = await browser.post(link)
    assert again.status_code == 404
    assert "set-cookie" not in again.headers


async def test_the_answer_is_the_same_for_any_address(browser: httpx.AsyncClient, api: Api, smtp: MailServer) -> None:
    made = await api.done("adminCreate", "admin { id }", name="Grace", email="grace@admins.example")
    known = await asks(browser, "grace@admins.example")
    unknown = await asks(browser, "nobody@admins.example")
    assert known.replace("grace@", "nobody@") == unknown
    await browser.post(await link_of(smtp, "grace@admins.example"))
    assert await who(browser) == made["admin"]["id"]
    assert [mail for mail in smtp.received if mail.recipients == ["nobody@admins.example"]] == []


async def test_a_link_says_whom_it_signs_in(
    browser: httpx.AsyncClient, api: Api, smtp: MailServer, database: Database
) -> None:
    await api.done("adminCreate", "__typename", name="Hedy <i>Lamarr</i>", email="hedy@admins.example")
    await asks(browser, "hedy@admins.example")
    link = await link_of(smtp, "hedy@admins.example")
    for _ in range(2):
        shown = await browser.get(link)
        assert "You sign in as <strong><bdi>Hedy &lt;i&gt;Lamarr&lt;/i&gt;</bdi></strong>, an admin" in shown.text
    assert (await browser.post(link)).status_code == 303
    for token in (link[-43:], "x" * 43, ""):
        gone = await browser.get("/sign-in/link", params={"token": token})
        assert (gone.status_code, "Hedy" in gone.text) == (404, False)


async def test_a_link_is_not_lost_if_the_session_cannot_begin(
    browser: httpx.AsyncClient, api: Api, smtp: MailServer, database: Database
) -> None:
    await api.done("adminCreate", "__typename", name="Rosa", email="rosa@admins.example")
    await asks(browser, "rosa@admins.example")
    link = await link_of(smtp, "rosa@admins.example")
    await database.execute("ALTER TABLE sessions ADD CONSTRAINT none_now CHECK (false) NOT VALID")
    try:
        assert (await browser.post(link)).status_code == 503
    finally:
        await database.execute("ALTER TABLE sessions DROP CONSTRAINT none_now")
    assert (await browser.post(link)).status_code == 303


async def test_an_old_link_does_not_work(
    browser: httpx.AsyncClient, api: Api, smtp: MailServer, database: Database
) -> None:
    await api.done("adminCreate", "__typename", name="Ida", email="ida@admins.example")
    await asks(browser, "ida@admins.example")
    link = await link_of(smtp, "ida@admins.example")
    await database.execute("UPDATE sign_in_links SET created_at = now() - interval '15 minutes 1 second'")
    assert (await browser.post(link)).status_code == 404


async def test_who_has_lost_access_does_not_sign_in(browser: httpx.AsyncClient, api: Api, smtp: MailServer) -> None:
    await api.done("adminCreate", "__typename", name="Root", email="root@admins.example")
    made = await api.done("adminCreate", "admin { id }", name="Joan", email="joan@admins.example")
    await asks(browser, "joan@admins.example")
    link = await link_of(smtp, "joan@admins.example")
    await api.done("adminUpdate", "__typename", adminId=made["admin"]["id"], active=False)
    assert (await browser.post(link)).status_code == 404


async def test_a_stranger_fills_nobodys_mailbox(
    browser: httpx.AsyncClient, api: Api, smtp: MailServer, database: Database
) -> None:
    await api.done("adminCreate", "__typename", name="Mary", email="mary@admins.example")
    got = "SELECT count(*) FROM sign_in_links JOIN admins a ON a.id = admin_id WHERE a.email = 'mary@admins.example'"

    async def asks_often(number: int, total: int) -> None:
        """Asks for that many links, at once. In the end there have been `total`, also when another person's, asked for
        after them, has arrived."""
        browser.headers["x-forwarded-for"] = some_address()
        before = await asks(browser, "nobody@admins.example")
        answers = await asyncio.gather(*(asks(browser, "mary@admins.example") for _ in range(number)))
        assert set(answers) == {before.replace("nobody@", "mary@")}
        await until(database, f"({got}) >= {total}")
        name = f"last{len(smtp.received)}"
        await api.done("adminCreate", "__typename", name=name, email=f"{name}@admins.example")
        await asks(browser, f"{name}@admins.example")
        await link_of(smtp, f"{name}@admins.example")
        assert await database.fetchval(got) == total

    await asks_often(4, 3)
    assert (await browser.post(await link_of(smtp, "mary@admins.example", 2))).status_code == 303
    await asks_often(2, 4)  # the one that was used does not count any more
    later = "UPDATE sign_in_links SET created_at = created_at - $1::interval"
    await database.execute(later, timedelta(hours=1))
    await asks_often(4, 7)
    await database.execute(later, timedelta(hours=1))
    await asks_often(1, 7)
    known = browser.cookies[KNOWN]  # the browser in which Mary has signed in: nobody keeps her out there
    browser.headers["cookie"] = f"{KNOWN}={known}"
    await asks_often(4, 10)
    browser.headers["cookie"] = f"{KNOWN}={known[:-1]}"
    await database.execute(later, timedelta(hours=1))
    await asks_often(1, 10)
    del browser.headers["cookie"]
    await database.execute(later, timedelta(hours=23))
    await asks_often(1, 11)


async def test_addresses_that_postgresql_finds_equal_are_different_people(
    browser: httpx.AsyncClient, api: Api, smtp: MailServer
) -> None:
    await api.done("adminCreate", "__typename", name="Kay", email="kay@admins.example")
    await api.done("adminCreate", "__typename", name="End", email="end@admins.example")
    await asks(browser, "\u212aay@admins.example")  # begins with the sign for kelvin
    await asks(browser, "end@admins.example")
    await link_of(smtp, "end@admins.example")
    assert [mail for mail in smtp.received if mail.recipients == ["kay@admins.example"]] == []


@pytest.mark.parametrize(
    "path", ["https://other.example/", "//other.example", "/\\other.example", "javascript:alert(1)", "/sign-in", "\n/x"]
)
async def test_nobody_is_sent_to_another_site(
    browser: httpx.AsyncClient, api: Api, smtp: MailServer, database: Database, path: str
) -> None:
    page = await browser.get("/sign-in", params={"next": path})
    assert 'name="next" value=""' in page.text


async def test_a_page_of_another_origin_signs_nobody_in(browser: httpx.AsyncClient, api: Api, smtp: MailServer) -> None:
    await api.done("adminCreate", "__typename", name="Vera", email="vera@admins.example")
    await asks(browser, "vera@admins.example")
    link = await link_of(smtp, "vera@admins.example")
    foreign = {"origin": "https://other.example", "sec-fetch-site": "cross-site"}
    for path in (link, "/sign-in", "/sign-out"):
        assert (await browser.post(path, headers=foreign)).status_code == 403
    assert (await browser.post(link)).status_code == 303


async def test_the_demo_is_not_there_in_production(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/demo")).status_code == 404
    assert (await browser.post("/demo/sign-in", data={"id": "adm_x"})).status_code == 404
    assert "demo" not in (await browser.get("/sign-in")).text


@pytest.mark.parametrize(
    ("accepted", "button"),
    [
        ("fr-CA, en;q=0.8", "Envoyez-moi un lien"),
        ("de, en;q=0.5, fr;q=0.9", "Envoyez-moi un lien"),
        ("en-CA, fr;q=0.9", "Send me a link"),
        ("fr;q=0", "Send me a link"),
        ("de", "Send me a link"),
        ("fr;q=nonsense", "Send me a link"),
        ("", "Send me a link"),
    ],
)
async def test_the_page_speaks_the_language_of_the_browser(
    browser: httpx.AsyncClient, accepted: str, button: str
) -> None:
    page = await browser.get("/sign-in", headers={"accept-language": accepted})
    assert f"<button>{button}</button>" in page.text
    assert page.headers["vary"] == "Accept-Language"
    assert f'<html lang="{"fr" if button.startswith("Envoyez") else "en"}">' in page.text
