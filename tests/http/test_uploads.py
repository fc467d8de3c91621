"""Resumable uploads of attached files, by the tus protocol (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.attached_files import TUS, announce, ask, attach, attached, checked, patch, reached, url_of
from tests.helpers.database_checks import Database, key
from tests.helpers.process import callout_process

MIB = 2**20
KINDS = "query($id: ID!) { ticket(by: {id: $id}) { history { nodes { kind attachment { id } } } } }"
WITHIN = 30.0  # seconds, after which a waiting test fails


async def kinds(api: Api, ticket: str) -> list[str]:
    return [event["kind"] for event in (await api(KINDS, id=ticket))["ticket"]["history"]["nodes"]]


# The protocol


async def test_a_file_that_was_uploaded_in_parts_can_be_downloaded(api: Api) -> None:
    data, ticket = os.urandom(3 * MIB + 17), await api.new_ticket()
    attachment, url = await announce(api, data, ticketId=ticket)
    assert await reached(api, url) == 0
    for start in range(0, len(data), MIB + 5):
        assert (await attached(api, attachment))["state"] == "UPLOADING"
        response = await patch(api, url, start, data[start : start + MIB + 5])
        assert (response.status_code, response.headers["tus-resumable"]) == (204, "1.0.0")
    assert response.headers["upload-offset"] == str(len(data)) == str(await reached(api, url))
    assert await checked(api, attachment) == "READY"
    assert await kinds(api, ticket) == ["CREATED", "ATTACHMENT_ADDED"]
    assert (await ask(api, "GET", await url_of(api, attachment))).content == data


async def test_a_server_says_what_it_supports(api: Api) -> None:
    _, url = await announce(api, b"file", ticketId=await api.new_ticket())
    response = await ask(api, "OPTIONS", url)
    assert response.status_code == 204
    shown = {name: response.headers[name] for name in ("tus-version", "tus-extension", "tus-max-size")}
    assert shown == {"tus-version": "1.0.0", "tus-extension": "expiration,termination", "tus-max-size": str(25 * MIB)}
    head = await ask(api, "HEAD", url, None, **TUS)
    assert head.headers["upload-length"] == "4"
    assert head.headers["cache-control"] == "no-store"
    assert head.headers["upload-expires"].endswith("GMT")


async def test_an_upload_ends_where_it_is_terminated(api: Api) -> None:
    attachment, url = await announce(api, b"file", ticketId=await api.new_ticket())
    await patch(api, url, 0, b"fi")
    assert (await ask(api, "POST", url, None, **TUS, **{"x-http-method-override": "DELETE"})).status_code == 204
    assert await attached(api, attachment) is None
    assert (await patch(api, url, 2, b"le")).status_code == 404
    file = await attach(api, b"another", ticketId=await api.new_ticket())
    _, url = await announce(api, b"file", ticketId=await api.new_ticket())
    done = url.replace(url.partition("/uploads/")[2][:36], key(file))
    assert (await ask(api, "DELETE", done, None, **TUS)).status_code == 404
    assert await checked(api, file) == "READY"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"tus-resumable": "0.2.2"}, 412),
        ({"content-type": "application/octet-stream"}, 415),
        ({"upload-offset": "one"}, 400),
        ({"upload-offset": "-1"}, 400),
        ({"upload-offset": "9" * 20}, 400),
        ({"upload-offset": "1"}, 409),
        ({"upload-offset": "5"}, 409),
        ({"x-http-method-override": "GET"}, 405),
    ],
)
async def test_a_wrong_request_stores_nothing(api: Api, headers: dict[str, str], status: int) -> None:
    _, url = await announce(api, b"file", ticketId=await api.new_ticket())
    response = await patch(api, url, 0, b"file", **headers)
    assert response.status_code == status
    assert "message" in response.json()["errors"][0]
    assert await reached(api, url) == 0


async def test_more_than_was_announced_is_refused(api: Api) -> None:
    """Whether the size of the body is known before, or not."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"fi"
        yield b"les"

    _, url = await announce(api, b"file", ticketId=await api.new_ticket())
    assert (await patch(api, url, 0, b"files")).status_code == 413
    async with httpx.AsyncClient(base_url=api.server.url) as client:
        headers = TUS | {"upload-offset": "0", "content-type": "application/offset+octet-stream"}
        assert (await client.patch(url, content=pieces(), headers=headers)).status_code == 413
    assert await reached(api, url) == 0


async def test_another_file_than_the_announced_one_is_rejected(api: Api, database: Database) -> None:
    """The staff and the one who has uploaded it see why; the latter cannot go on."""
    ticket = await api.new_ticket()
    attachment, url = await announce(api, b"file", ticketId=ticket)
    response = await patch(api, url, 0, b"fila")
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (422, "DIGEST_MISMATCH")
    shown = await attached(api, attachment, "state url rejectedBecause")
    reason = "The file that arrived was not the one that was announced: its SHA-256 digest is another."
    assert shown == {"state": "REJECTED", "url": None, "rejectedBecause": reason}
    assert await kinds(api, ticket) == ["CREATED", "ATTACHMENT_REJECTED"]
    assert (await ask(api, "HEAD", url, None, **TUS)).status_code == 410
    assert (await patch(api, url, 0, b"file")).status_code == 410
    objects = await database.fetchval("SELECT sha256 FROM attachments WHERE id = $1", key(attachment))
    assert objects == hashlib.sha256(b"file").digest()
    assert not stored(api.server, objects).exists()


def stored(server: Server, digest: bytes) -> Path:
    """Returns the path of an object."""
    name = digest.hex()
    return server.settings.data_dir / "files" / "objects" / name[:2] / name


async def test_of_two_bodies_at_once_one_is_taken(api: Api) -> None:
    data = os.urandom(MIB)
    attachment, url = await announce(api, data, ticketId=await api.new_ticket())
    responses = await asyncio.gather(*(patch(api, url, 0, data) for _ in range(4)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses[0] == 204
    assert set(statuses) <= {204, 409}
    assert await checked(api, attachment) == "READY"
    assert (await ask(api, "GET", await url_of(api, attachment))).content == data


# Rights


async def test_the_url_is_bound_to_its_upload(api: Api) -> None:
    """Whatever is changed in it, the answer is the one to an upload that does not exist."""
    _, url = await announce(api, b"file", ticketId=await api.new_ticket())
    other = await attach(api, b"file", ticketId=await api.new_ticket())
    wrong = [
        url.replace(url.partition("/uploads/")[2][:36], key(other)),
        url.replace("viewer=boss", "viewer=another"),
        url.replace("role=admin", "role=technician"),
        re.sub(r"issued=\d+", "issued=1", url),
        re.sub(r"signature=.", "signature=_", url),
        url.partition("&signature")[0],
        url.partition("?")[0],
        f"{url}&issued=1",
        url.replace("/uploads/", "/uploads/../uploads/x"),
        "/uploads/" + "x" * 5000,
    ]
    answers = [await ask(api, "HEAD", each, None, **TUS) for each in wrong]
    assert {answer.status_code for answer in answers} == {404}
    refused = [(await patch(api, each, 0, b"file")).json()["errors"][0] for each in wrong[:-2]]
    assert len({(error["message"], error["extensions"]["code"]) for error in refused}) == 1
    assert await reached(api, url) == 0


async def test_a_technician_who_has_lost_the_ticket_cannot_go_on(api: Api, database: Database) -> None:
    """A ticket that was closed meanwhile still takes the file, as it takes notes."""
    technician = await api.new_technician()
    ticket = await api.new_ticket(technicianId=technician)
    async with api.technician(technician) as worker:
        attachment, url = await announce(worker, b"file", ticketId=ticket)
        await api.done("ticketSetStatus", "__typename", ticketId=ticket, status="CLOSED")
        assert (await patch(worker, url, 0, b"fi")).status_code == 204
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=await api.new_technician())
        assert (await patch(worker, url, 2, b"le")).status_code == 404
        assert (await ask(worker, "HEAD", url, None, **TUS)).status_code == 404
        await api.done("ticketAssign", "__typename", ticketId=ticket, technicianId=technician)
        assert (await patch(worker, url, 2, b"le")).status_code == 204
        await api.done("technicianUpdate", "__typename", technicianId=technician, active=False)
        assert (await ask(worker, "HEAD", url, None, **TUS)).status_code == 404
    assert await checked(api, attachment) == "READY"


# Interruptions


async def begin(server: Server, url: str, offset: int, data: bytes) -> asyncio.StreamWriter:
    """Sends these bytes of a file, as if there was one more to come. Returns the open connection."""
    path = httpx.URL(url).raw_path.decode()
    _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(server.url).port)
    head = (
        f"PATCH {path} HTTP/1.1\r\nhost: x\r\ntus-resumable: 1.0.0\r\nupload-offset: {offset}\r\n"
        f"content-type: application/offset+octet-stream\r\ncontent-length: {len(data) + 1}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    await writer.drain()
    return writer


async def cut_off(server: Server, url: str, offset: int, data: bytes) -> None:
    """Begins to send the rest of a file, and closes the connection after these bytes."""
    writer = await begin(server, url, offset, data)
    writer.close()
    await writer.wait_closed()


async def until_reached(api: Api, url: str, offset: int) -> int:
    """Waits until the upload has reached the offset, and returns which one it has reached."""
    async with asyncio.timeout(WITHIN):
        while True:
            now = await reached(api, url)
            if now >= offset:
                return now
            await asyncio.sleep(0.02)


async def test_what_arrived_before_the_connection_was_cut_is_kept(api: Api) -> None:
    data = os.urandom(2 * MIB)
    attachment, url = await announce(api, data, ticketId=await api.new_ticket())
    offset = 0
    while offset < 1_500_000:
        await cut_off(api.server, url, offset, data[offset : offset + 300_000])
        now = await until_reached(api, url, offset + 1)
        assert now <= offset + 300_000
        offset = now
    assert (await patch(api, url, offset, data[offset:])).status_code == 204
    assert (await ask(api, "GET", await url_of(api, attachment))).content == data


async def test_a_viewer_has_a_limited_number_of_bodies_under_way(api: Api) -> None:
    """Each takes memory until it has arrived. Others are not affected, and the refusal is one that clients repeat."""
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    waiting = [await begin(api.server, (await announce(api, b"file", ticketId=ticket))[1], 0, b"f") for _ in range(6)]
    try:
        _, url = await announce(api, b"file", ticketId=ticket)
        async with asyncio.timeout(WITHIN):
            while True:
                refused = await patch(api, url, await reached(api, url), b"")
                if refused.status_code != 204:
                    break
                await asyncio.sleep(0.02)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        async with api.customer(customer) as owner:
            await attach(owner, b"another", ticketId=ticket)
    finally:
        for writer in waiting:
            writer.close()
            await writer.wait_closed()
    async with asyncio.timeout(WITHIN):
        while True:
            if (await patch(api, url, 0, b"file")).status_code == 204:
                break
            await asyncio.sleep(0.02)


async def test_an_upload_survives_the_server(database_url: str, tmp_path: Path) -> None:
    """It is killed while the body arrives. The next server goes on with what has been stored; also if the file was
    stored completely, and the server was killed before it could say so."""
    settings = {"database_url": database_url, "jwt_secret": "s" * 48}
    data = os.urandom(3 * MIB)
    known = Settings(env="production", data_dir=tmp_path, database_url=database_url, jwt_secret="s" * 48)
    with callout_process(tmp_path, **settings) as process:
        async with Api(Server(process.url, known, database_url, process)) as api:
            ticket = await api.new_ticket()
            attachment, url = await announce(api, data, ticketId=ticket)
            await cut_off(api.server, url, 0, data[: 2 * MIB + 1000])
            await until_reached(api, url, 2 * MIB)
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        os.kill(process.pid, signal.SIGKILL)
    with callout_process(tmp_path, **settings) as process:
        async with Api(Server(process.url, known, database_url, process)) as api:
            offset = await reached(api, url)
            assert 2 * MIB <= offset <= 2 * MIB + 1000
            # As the server before had left it, if it had been killed now.
            part = tmp_path / "files" / "uploads" / key(attachment) / f"{offset:020d}"
            part.write_bytes(data[offset:])
            assert (await attached(api, attachment))["state"] == "UPLOADING"
            assert await reached(api, url) == len(data)
            assert await checked(api, attachment) == "READY"
            assert await kinds(api, ticket) == ["CREATED", "ATTACHMENT_ADDED"]
            assert (await ask(api, "GET", await url_of(api, attachment))).content == data
            assert not part.parent.exists()


async def test_an_upload_in_too_many_pieces_is_rejected(api: Api) -> None:
    """Each piece is a file, so a client that sends a byte at a time must not go on for long."""
    attachment, url = await announce(api, bytes(MIB), ticketId=await api.new_ticket())
    folder = api.server.settings.data_dir / "files" / "uploads" / key(attachment)
    assert (await patch(api, url, 0, b"\0")).status_code == 204
    for offset in range(1, 1_001):
        (folder / f"{offset:020d}").write_bytes(b"\0")
    response = await patch(api, url, 1_001, b"\0")
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (410, "REJECTED")
    shown = await attached(api, attachment, "state rejectedBecause")
    assert shown == {"state": "REJECTED", "rejectedBecause": "The file arrived in too many small pieces."}
    assert not folder.exists()


async def test_a_full_disk_loses_nothing(fresh_url: str, tmp_path: Path) -> None:
    """The client is asked to go on later, from what has been stored."""
    folder = tmp_path / "elsewhere"
    settings = {"database_url": fresh_url, "jwt_secret": "s" * 48, "files_url": f"file://{folder}"}
    data = os.urandom(2 * MIB)
    known = Settings(env="production", data_dir=tmp_path, database_url=fresh_url, jwt_secret="s" * 48)
    with callout_process(tmp_path, **settings) as process:
        async with Api(Server(process.url, known, fresh_url, process)) as api:
            attachment, url = await announce(api, data, ticketId=await api.new_ticket())
            assert (await patch(api, url, 0, data[:MIB])).status_code == 204
            for each in psutil.Process(process.pid).children(recursive=True) or [psutil.Process(process.pid)]:
                limit = each.rlimit(psutil.RLIMIT_FSIZE)
                each.rlimit(psutil.RLIMIT_FSIZE, (1000, limit[1]))
            response = await patch(api, url, MIB, data[MIB:])
            assert response.status_code == 507, response.text
            assert response.headers["retry-after"] == "1"
            for each in psutil.Process(process.pid).children(recursive=True) or [psutil.Process(process.pid)]:
                each.rlimit(psutil.RLIMIT_FSIZE, limit)
            assert await reached(api, url) == MIB
            assert (await patch(api, url, MIB, data[MIB:])).status_code == 204
            assert (await ask(api, "GET", await url_of(api, attachment))).content == data
