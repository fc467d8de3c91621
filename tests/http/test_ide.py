"""The IDE at `/graphql` and the page at `/`, as HTTP shows them. `tests/web/test_ide_in_browser.py` opens the IDE in a
browser."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import parse as parse_document
from graphql import validate
from starlette.types import Scope
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from callout.http.ide import EXAMPLES, Ide, is_at_this_computer
from tests.helpers.api import SCHEMA, Api, Server
from tests.helpers.graphql_ws_client import INIT
from tests.helpers.process import callout_process

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SECRET = "a secret of these tests, of thirty-two bytes at least"
ME = {"query": "{ me { role name } }"}


def built(directory: Path) -> Path:
    """A directory in which the IDE has been built, though from nothing."""
    (directory / "ide.js").write_text("// the IDE")
    return directory


async def page_of(ide: Ide, path: str = "/graphql", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(ide), base_url="http://127.0.0.1:8000") as client:
        return await client.get(path, headers=BROWSER | headers)


async def token() -> str:
    return "</script>a token"


@pytest.fixture(scope="module")
def url(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A development server that pages of another origin may use."""
    directory = tmp_path_factory.mktemp("development")
    settings = {"env": "development", "database_url": database_url, "jwt_secret": SECRET}
    with callout_process(directory, allowed_origins="https://page.example", console="off", **settings) as process:
        yield process.url


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, verify=False) as client:
        yield client


def config_in(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="config" type="application/json">(.*?)</script>', page)
    assert found
    config: dict[str, Any] = json.loads(found[1])
    return config


def policy_of(response: httpx.Response) -> dict[str, list[str]]:
    directives = (each.split() for each in response.headers["content-security-policy"].split("; "))
    return {name: sources for name, *sources in directives}


async def test_the_page_may_load_its_own_files_and_be_shown_by_no_other(tmp_path: Path) -> None:
    response = await page_of(Ide(directory=built(tmp_path)))
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert (response.headers["x-frame-options"], response.headers["referrer-policy"]) == ("DENY", "no-referrer")
    policy = policy_of(response)
    assert policy.pop("style-src") == ["'self'", "'unsafe-inline'"]
    assert policy.pop("font-src") == policy.pop("img-src") == ["'self'", "data:"]
    assert policy.pop("script-src") == policy.pop("worker-src") == policy.pop("connect-src") == ["'self'"]
    assert policy.pop("default-src") == policy.pop("frame-ancestors") == ["'none'"]
    assert policy == {"base-uri": ["'none'"], "form-action": ["'none'"]}
    assert "http" not in response.text


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/graphql?query={me{name}}"])
async def test_the_files_are_found_from_every_address_of_the_page(tmp_path: Path, path: str) -> None:
    response = await page_of(Ide(directory=built(tmp_path)), path)
    loaded = re.findall(r'(?:src|href)="([^"]*ide[.]\w+)"', response.text)
    assert {response.url.join(each).path for each in loaded} == {"/graphql/ide/ide.js", "/graphql/ide/ide.css"}


async def test_the_page_says_how_to_build_what_is_missing(tmp_path: Path) -> None:
    response = await page_of(Ide(token, tmp_path))
    assert response.status_code == 200
    assert "make ide" in response.text and "a token" not in response.text


async def test_the_token_is_on_the_page_as_data(tmp_path: Path) -> None:
    response = await page_of(Ide(token, built(tmp_path)))
    assert config_in(response.text)["token"] == "</script>a token"
    assert config_in((await page_of(Ide(None, tmp_path))).text)["token"] is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "127.1.2.3"])
async def test_this_computer_gets_the_token(tmp_path: Path, host: str) -> None:
    assert config_in((await page_of(Ide(token, built(tmp_path)), host=host)).text)["token"]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example:8000"},
        {"host": "127.0.0.1.example"},
        {"host": "localhost.example"},
        {"host": "["},
        {"host": ""},
        {"origin": "https://page.example"},
        {"origin": "null"},
        {"x-forwarded-for": "127.0.0.1"},
        {"x-forwarded-host": "localhost"},
        {"forwarded": "for=127.0.0.1"},
        {"via": "1.1 proxy"},
        {"x-real-ip": "192.0.2.1"},
    ],
)
async def test_nobody_else_gets_the_token(tmp_path: Path, headers: dict[str, str]) -> None:
    """Not a name that leads to this computer, nor a page of another origin, nor whoever comes by a proxy."""
    assert config_in((await page_of(Ide(token, built(tmp_path)), **headers)).text)["token"] is None


@pytest.mark.parametrize(("version", "is_here"), [("1.0", False), ("1.1", True)])
def test_a_proxy_that_adds_no_header_is_not_this_computer(version: str, is_here: bool) -> None:
    """nginx as it is by default: it sends HTTP/1.0, and its own address as the host."""
    headers = [(b"host", b"127.0.0.1:8000"), (b"connection", b"close")]
    scope: Scope = {"headers": headers, "client": ("127.0.0.1", 50_000), "http_version": version}
    assert is_at_this_computer(scope) is is_here


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "a name", None])
def test_another_computer_is_not_this_one(address: str | None) -> None:
    headers = [(b"host", b"localhost:8000")]
    scope: Scope = {"headers": headers, "client": address and (address, 50_000), "http_version": "1.1"}
    assert not is_at_this_computer(scope)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_valid(example: str) -> None:
    assert validate(SCHEMA, parse_document(example)) == []


async def test_a_query_in_the_address_is_for_the_page_and_programs_get_its_answer(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql?query={me{name}}", headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for accept in ("application/json", "*/*", "application/graphql-response+json"):
        answer = await client.get("/graphql?query={me{name}}", headers={"accept": accept})
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
async def test_the_api_answers_with_and_without_a_slash(server: Server, api: Api, path: str) -> None:
    assert (await api.http.post(path, json=ME)).json()["data"]["me"]["role"] == "ADMIN"
    assert (await api.http.get(path, params=ME)).json()["data"]["me"]["role"] == "ADMIN"
    address = server.url.replace("http", "ws", 1) + path
    async with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as opened:
        await opened.send(INIT % api.http.headers["authorization"])
        assert json.loads(await opened.recv())["type"] == "connection_ack"


async def test_the_front_page_is_for_people_and_programs(client: httpx.AsyncClient) -> None:
    page = await client.get("/", headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert policy_of(page)["default-src"] == ["'none'"]
    for link in re.findall(r'href="(.*?)"', page.text):
        assert (await client.get(page.url.join(link), headers=BROWSER)).status_code == 200
    assert 'href="graphql"' in page.text
    answer = await client.get("/", headers={"accept": "application/json"})
    assert answer.json()["graphql"] == "/graphql"
    assert (await client.post("/", json={})).status_code == 405


async def test_production_offers_no_ide(server: Server, api: Api) -> None:
    assert "html" not in (await api.http.get("/graphql", headers=BROWSER)).headers["content-type"]
    assert (await api.http.get("/graphql/ide/ide.js")).status_code == 404
    assert 'href="graphql"' not in (await api.http.get("/", headers=BROWSER)).text
