"""The console's pages and files, as HTTP shows them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import httpx
import pytest
from starlette.applications import Starlette

from callout.http import front_page
from callout.http.console import STAFF_PATHS, Console

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SCRIPT = b"console.log('staff')"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory in which a console has been built, though of one line."""
    entry = {"script": "staff-1A.js", "styles": ["staff-2B.css"], "preloads": ["chunk-3C.js"], "bytes": 1}
    manifest = {"theme": "theme-4D.js", "icon": "icon-5E.svg", "entries": {"staff": entry}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "staff-1A.js").write_bytes(SCRIPT)
    (tmp_path / "staff-1A.js.br").write_bytes(brotli.compress(SCRIPT))
    return tmp_path


@pytest.fixture
async def client(directory: Path) -> AsyncIterator[httpx.AsyncClient]:
    console = Console(directory, is_open=True)
    app = Starlette(routes=[*front_page.routes(with_ide=False, console=console), *console.routes()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://callout.example") as client:
        yield client


@pytest.mark.parametrize("path", ["/", *STAFF_PATHS, "/tickets/TKT-A1B2C3", "/settings/support"])
async def test_each_page_of_a_wing_loads_its_script(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path, headers=BROWSER)
    assert page.status_code == 200
    assert '<script type="module" src="/console/staff-1A.js"></script>' in page.text
    assert '<link rel="stylesheet" href="/console/staff-2B.css">' in page.text
    assert '<link rel="modulepreload" href="/console/chunk-3C.js">' in page.text
    assert '<link rel="icon" type="image/svg+xml" href="/console/icon-5E.svg">' in page.text
    assert page.text.index("/console/theme-4D.js") < page.text.index("/console/staff-2B.css")


async def test_the_policy_allows_nothing_inline_and_nothing_of_others(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/tickets", headers=BROWSER)).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_files_stay_in_caches_because_their_names_change(client: httpx.AsyncClient) -> None:
    file = await client.get("/console/staff-1A.js", headers={"accept-encoding": "identity"})
    assert file.content == SCRIPT
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert file.headers["vary"] == "Accept-Encoding"


async def test_browsers_get_the_compressed_copy(client: httpx.AsyncClient) -> None:
    file = await client.get("/console/staff-1A.js", headers={"accept-encoding": "br"})
    assert file.headers["content-encoding"] == "br"
    assert file.headers["content-type"].startswith("text/javascript")
    assert file.content == SCRIPT


@pytest.mark.parametrize(
    "path",
    ["/console/staff-9Z.js", "/console/../console.py", "/console/%2e%2e/pyproject.toml", "/console/manifest.json"],
)
async def test_other_files_are_not_found_and_may_come_later(client: httpx.AsyncClient, path: str) -> None:
    file = await client.get(path)
    assert file.status_code == 404
    assert "immutable" not in file.headers.get("cache-control", "")


async def test_without_a_build_the_pages_say_how_to_get_one(client: httpx.AsyncClient, directory: Path) -> None:
    (directory / "manifest.json").unlink()
    first, other = await client.get("/", headers=BROWSER), await client.get("/tickets", headers=BROWSER)
    assert (first.status_code, other.status_code) == (200, 503)
    assert "make console" in first.text
    assert "make console" in other.text


async def test_programs_get_the_paths_as_json(client: httpx.AsyncClient) -> None:
    assert (await client.get("/", headers={"accept": "application/json"})).json()["graphql"] == "/graphql"
