"""Downloads of attached files: by URLs that are bound to a viewer, without harm to the browser that opens them."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from callout.files.content_type import UNKNOWN
from callout.http.downloads import disposition
from db.enums import Role
from db.viewer import Issued, Viewer
from resolvers.file_links import FILE, FileLinks
from tests.helpers.api import Api
from tests.helpers.attached_files import DAY, ask, attach, attached, url_of
from tests.helpers.database_checks import key
from tests.helpers.photos import photo

MIB = 2**20
SCRIPT = b"<script>alert(1)</script>"


@pytest.fixture(scope="module")
async def file(server: Any) -> tuple[str, bytes]:
    """An attachment, and its contents."""
    data = os.urandom(3 * MIB)
    async with Api(server) as api:
        return await attach(api, data, ticketId=await api.new_ticket(), internalOnly=False), data


# Ranges (RFC 9110, section 14) and conditions


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        (f"bytes={2 * MIB - 1}-", 2 * MIB - 1, 3 * MIB),
        ("bytes=-5", 3 * MIB - 5, 3 * MIB),
        (f"bytes=5-{10 * MIB}", 5, 3 * MIB),
        (f"bytes=-{10 * MIB}", None, None),
        *((whole, None, None) for whole in ("bytes=-", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=a-b", "")),
    ],
)
async def test_a_part_of_a_file_can_be_asked_for(
    api: Api, file: tuple[str, bytes], asked: str, start: int | None, end: int | None
) -> None:
    """What is not understood is answered with the whole file."""
    attachment, data = file
    response = await ask(api, "GET", await url_of(api, attachment), None, range=asked)
    if start is None:
        assert (response.status_code, response.content) == (200, data)
        assert "content-range" not in response.headers
    else:
        assert (response.status_code, response.content) == (206, data[start:end])
        assert response.headers["content-range"] == f"bytes {start}-{(end or 0) - 1}/{len(data)}"


@pytest.mark.parametrize("asked", [f"bytes={3 * MIB}-", f"bytes={10 * MIB}-{11 * MIB}", "bytes=-0"])
async def test_a_range_after_the_end_is_not_satisfiable(api: Api, file: tuple[str, bytes], asked: str) -> None:
    response = await ask(api, "GET", await url_of(api, file[0]), None, range=asked)
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{3 * MIB}")


async def test_an_interrupted_download_goes_on_if_the_file_is_the_same(api: Api, file: tuple[str, bytes]) -> None:
    attachment, data = file
    url = await url_of(api, attachment)
    head = await ask(api, "HEAD", url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(data)))
    assert head.headers["accept-ranges"] == "bytes"
    etag = head.headers["etag"]
    same = await ask(api, "GET", url, None, **{"range": "bytes=5-9", "if-range": etag})
    assert (same.status_code, same.content) == (206, data[5:10])
    for other in ('"other"', f"W/{etag}", "Mon, 30 Nov 2026 00:00:00 GMT"):
        assert (await ask(api, "GET", url, None, **{"range": "bytes=5-9", "if-range": other})).content == data
    unchanged = await ask(api, "GET", url, None, **{"if-none-match": f'"other", {etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


# What a browser does with it


@pytest.mark.parametrize(
    ("data", "announced", "type_", "how"),
    [
        (photo("JPEG"), "image/jpeg", "image/jpeg", "inline"),
        (photo("PNG"), "text/html", "image/png", "inline"),
        (SCRIPT, "image/jpeg", UNKNOWN, "attachment"),
        (SCRIPT, "image/svg+xml", UNKNOWN, "attachment"),
        (SCRIPT, "text/html", UNKNOWN, "attachment"),
        (SCRIPT, "application/xhtml+xml", UNKNOWN, "attachment"),
        (b"%PDF-1.7", "application/pdf", "application/pdf", "attachment"),
        (SCRIPT, "text/plain", "text/plain", "attachment"),
    ],
)
async def test_only_pictures_are_shown(api: Api, data: bytes, announced: str, type_: str, how: str) -> None:
    attachment = await attach(api, data, ticketId=await api.new_ticket(), contentType=announced)
    response = await ask(api, "GET", await url_of(api, attachment))
    assert response.headers["content-type"] == type_
    assert response.headers["content-disposition"].startswith(f"{how}; ")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'"
    assert response.headers.get_list("cache-control") == ["private, no-cache"]
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("panel.pdf", 'attachment; filename="panel.pdf"'),
        ("a b.pdf", 'attachment; filename="a b.pdf"'),
        ('a"b\\c.pdf', "attachment; filename=\"a_b_c.pdf\"; filename*=UTF-8''a%22b%5Cc.pdf"),
        ("a\r\nset-cookie: x", "attachment; filename=\"a__set-cookie_ x\"; filename*=UTF-8''a%0D%0Aset-cookie%3A%20x"),
        ("Über 100%.pdf", "attachment; filename=\"_ber 100_.pdf\"; filename*=UTF-8''%C3%9Cber%20100%25.pdf"),
        ("パネル", "attachment; filename=\"___\"; filename*=UTF-8''%E3%83%91%E3%83%8D%E3%83%AB"),
    ],
)
def test_a_name_cannot_leave_its_header(name: str, header: str) -> None:
    """RFC 6266 and RFC 8187."""
    assert disposition(name, "application/pdf") == header


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("C:\\fakepath\\panel.jpg", "panel.jpg"),
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        ("\u202egpj.exe", "gpj.exe"),
        ('<b>"x"</b>.html', "b_.html"),
    ],
)
async def test_a_name_is_one_that_every_system_takes(api: Api, given: str, shown: str) -> None:
    attachment = await attach(api, b"x", ticketId=await api.new_ticket(), name=given)
    assert (await attached(api, attachment, "name"))["name"] == shown


# Rights


async def test_a_url_works_only_for_as_long_as_its_viewer_sees_the_file(api: Api) -> None:
    """The answer is the one to a file that does not exist."""
    technician, customer = await api.new_technician(), await api.new_customer()
    ticket = await api.new_ticket(technicianId=technician, customerId=customer)
    async with api.technician(technician) as worker, api.customer(customer) as owner:
        attachment = await attach(worker, b"file", ticketId=ticket, internalOnly=False)
        hidden = await attach(worker, b"file", ticketId=ticket)
        of_worker, of_owner = await url_of(worker, attachment), await url_of(owner, attachment)
        assert of_worker != of_owner
        for url in (of_worker, of_owner, await url_of(worker, hidden)):
            assert (await ask(api, "GET", url)).status_code == 200
        stolen = of_owner.replace(key(attachment), key(hidden))
        elsewhere = of_owner.replace(key(attachment), "00000000-0000-7000-8000-000000000000")
        as_thumbnail = of_owner.replace("/file?", "/thumbnail?")
        other = of_owner.replace(customer[4:], technician[4:])
        refused = [await ask(api, "GET", url) for url in (stolen, elsewhere, as_thumbnail, other)]
        await api.done("ticketUpdate", "__typename", ticketId=ticket, customerId=await api.new_customer())
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=None)
        refused += [await ask(api, "GET", url) for url in (of_worker, of_owner)]
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
        assert (await ask(api, "GET", of_worker)).status_code == 200
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        refused.append(await ask(api, "GET", of_worker))
    messages = [response.json()["errors"][0]["message"] for response in refused]
    assert messages == ["There is no such file, or its URL has expired."] * 7
    assert {response.status_code for response in refused} == {404}


async def test_revoking_a_token_ends_its_urls(api: Api) -> None:
    """Those of the next token work at once."""
    async with Api(api.server, subject="leaving boss") as leaving:
        attachment = await attach(leaving, b"file", ticketId=await api.new_ticket())
        url = await url_of(leaving, attachment)
        assert (await ask(api, "GET", url)).status_code == 200
        await api.done("tokensRevoke", "__typename", subject="leaving boss")
        async with asyncio.timeout(30):
            while True:
                if (await ask(api, "GET", url)).status_code == 404:
                    break
                await asyncio.sleep(0.1)
    assert (await ask(api, "GET", await url_of(api, attachment))).status_code == 200


def test_a_url_expires_and_stays_the_same_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_796_000_200.0]  # a hundred seconds after it was last rounded
    monkeypatch.setattr(time, "time", lambda: now[0])
    revoked: set[int] = set()
    links = FileLinks("a log", "https://api.example", DAY, lambda issued: issued.at in revoked)
    viewer = Viewer(Role.TECHNICIAN, "018f", "Tess")

    def grant(url: str) -> object:
        query = dict(each.split("=") for each in url.partition("?")[2].split("&"))
        return links.grant(FILE, "an id", query)

    url = links.url(FILE, "an id", viewer)
    now[0] += 199
    assert links.url(FILE, "an id", viewer) == url
    now[0] += 1
    assert links.url(FILE, "an id", viewer) != url
    assert grant(url) is not None
    now[0] = 1_796_000_100 + 899.0
    assert grant(url) is not None
    now[0] += 1
    assert grant(url) is None
    # After a revocation the time is not rounded, so that it is not before it.
    now[0] = 1_796_000_200
    revoked.add(1_796_000_100)
    assert grant(url) is None
    assert grant(links.url(FILE, "an id", viewer)) is not None
    assert FileLinks("another log", "", DAY).url(FILE, "an id", viewer).rpartition("=")[2] not in url


def test_a_revocation_is_asked_for_by_the_subject_of_the_token() -> None:
    asked: list[Issued] = []

    def note(issued: Issued) -> bool:
        asked.append(issued)
        return False

    links = FileLinks("a log", "", DAY, note)
    for role, subject in ((Role.TECHNICIAN, "tec_1"), (Role.CUSTOMER, "cus_1"), (Role.ADMIN, "1"), (Role.SERVICE, "1")):
        links.url(FILE, "an id", Viewer(role, "1", "x"))
        assert asked.pop().subject == subject


async def test_an_object_that_is_missing_is_a_fault_of_the_server(api: Api) -> None:
    attachment = await attach(api, b"to be lost", ticketId=await api.new_ticket())
    url = await url_of(api, attachment)
    for path in (api.server.settings.data_dir / "files" / "objects").glob("*/*"):
        if path.read_bytes() == b"to be lost":
            path.unlink()
    response = await ask(api, "GET", url)
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (500, "INTERNAL")
