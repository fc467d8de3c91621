"""Files that come with mail: what becomes of them, with the file worker and a malware scanner."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from db.object_store import ObjectStore
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.attached_files import attach
from tests.helpers.clamd import EICAR, Clamd
from tests.helpers.database_checks import Database, key
from tests.helpers.inbound_mail import OURS, Pipe
from tests.helpers.photos import PLACE, decoded, encoded, photo, picture, png_of_size
from tests.helpers.process import environment_of
from tests.helpers.small_disk import SmallDisk, small_disk

FILES = "nodes { name contentType size state rejectedBecause width height internalOnly createdBy { kind name } }"
TICKET = f"""query($id: ID!) {{ ticket(by: {{id: $id}}) {{ description attachments(first: 100) {{ {FILES} }}
  notes {{ nodes {{ body internalOnly attachments {{ {FILES} }} }} }} history {{ nodes {{ kind }} }} }} }}"""
WAIT_SECONDS = 60.0
PDF = b"%PDF-1.7\n" + b"x" * 100


@pytest.fixture(scope="module")
async def clamd() -> AsyncIterator[Clamd]:
    async with Clamd() as scanner:
        yield scanner


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    with small_disk(8) as disk:
        yield disk


@pytest.fixture(scope="module")
def server_settings(clamd: Clamd, disk: SmallDisk) -> dict[str, str]:
    return {"clamd_url": clamd.url, "files_url": f"file://{disk.path}/files", "mail_from": f"Callout <{OURS}>"}


@pytest.fixture
def store(disk: SmallDisk) -> ObjectStore:
    return ObjectStore(f"file://{disk.path}/files", disk.path)


def mail(
    *files: tuple[str, str, bytes], sender: str = "ann@bell.test", text: str = "Look.", **headers: str
) -> EmailMessage:
    """A message with these files: name, content type, contents."""
    made = EmailMessage()
    given = {"From": f"Ann Bell <{sender}>", "To": OURS, "Subject": "Panel", "Message-ID": f"<{os.urandom(8).hex()}@a>"}
    for name, value in (given | headers).items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    for name, type_, data in files:
        main, _, sub = type_.partition("/")
        made.add_attachment(data, main, sub, filename=name)
    return made


async def sent(api: Api, message: EmailMessage) -> str:
    """Hands the message in; returns the ticket's id."""
    raw = base64.b64encode(message.as_bytes()).decode()
    payload = await api.done("inboundEmailIngest", "outcome reason ticket { id }", message={"encoded": raw})
    assert payload["ticket"] is not None, payload
    return str(payload["ticket"]["id"])


async def checked(api: Api, ticket_id: str) -> dict[str, Any]:
    """The ticket, once all its files are READY or REJECTED."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            ticket: dict[str, Any] = (await api(TICKET, id=ticket_id))["ticket"]
            if all(file["state"] in ("READY", "REJECTED") for file in ticket["attachments"]["nodes"]):
                return ticket
            await asyncio.sleep(0.05)


def states(ticket: dict[str, Any]) -> dict[str, str]:
    return {file["name"]: file["state"] for file in ticket["attachments"]["nodes"]}


async def test_the_files_of_a_mail_are_on_its_ticket(
    api: Api, server: Server, store: ObjectStore, database: Database
) -> None:
    report, heic = ("report.pdf", "application/pdf", PDF), ("IMG_0001.HEIC", "image/heic", photo("HEIF"))
    id_ = await sent(api, mail(report, heic, ("page.html", "text/html", b"<script>alert(1)</script>")))
    ticket = await checked(api, id_)
    assert ticket["description"] == "Look."
    by = {"kind": "CUSTOMER", "name": "Ann Bell"}
    plain = {"state": "READY", "rejectedBecause": None, "internalOnly": False, "createdBy": by}
    found = ticket["attachments"]["nodes"]
    assert found[0] == plain | {
        "name": "report.pdf",
        "contentType": "application/pdf",
        "size": len(PDF),
        "width": None,
        "height": None,
    }
    assert found[1] == plain | {
        "name": "IMG_0001.jpg",
        "contentType": "image/jpeg",
        "size": found[1]["size"],
        "width": 40,
        "height": 60,
    }
    assert (found[2]["name"], found[2]["contentType"]) == ("page.html", "application/octet-stream")
    assert [event["kind"] for event in ticket["history"]["nodes"]] == ["CREATED"] + ["ATTACHMENT_ADDED"] * 3
    rows = await database.fetch(
        "SELECT sha256, thumbnail FROM attachments WHERE ticket_id = $1 ORDER BY created_at", key(id_)
    )
    for name in ("sha256", "thumbnail"):
        shown = await store.get(rows[1][name])
        assert decoded(shown).size == (40, 60) and PLACE.encode() not in shown
    assert await store.get(rows[0]["sha256"]) == PDF and rows[0]["thumbnail"] is None


async def test_a_reply_s_files_are_on_its_note_and_internal_if_it_is(api: Api) -> None:
    first = mail(sender="fred@bell.test")
    id_ = await sent(api, first)
    answer = mail(("a.pdf", "application/pdf", PDF), sender="fred@bell.test", In_Reply_To=first["Message-ID"])
    assert await sent(api, answer) == id_
    ticket = await checked(api, id_)
    (note,) = ticket["notes"]["nodes"]
    assert [file["name"] for file in note["attachments"]["nodes"]] == ["a.pdf"]
    assert note["attachments"]["nodes"] == ticket["attachments"]["nodes"]
    assert note["internalOnly"] is False and not note["attachments"]["nodes"][0]["internalOnly"]


async def test_malware_is_rejected_and_the_rest_of_the_mail_is_kept(api: Api) -> None:
    id_ = await sent(api, mail(("bill.pdf", "application/pdf", PDF), ("bill.exe", "application/pdf", EICAR)))
    ticket = await checked(api, id_)
    assert states(ticket) == {"bill.pdf": "READY", "bill.exe": "REJECTED"}
    assert "Eicar-Signature" in ticket["attachments"]["nodes"][1]["rejectedBecause"]
    assert sorted(event["kind"] for event in ticket["history"]["nodes"]) == [
        "ATTACHMENT_ADDED",
        "ATTACHMENT_REJECTED",
        "CREATED",
    ]


async def test_hostile_images_are_rejected_with_a_reason_and_others_wait_for_none_of_them(api: Api) -> None:
    hostile = {
        "bomb.png": png_of_size(16_000, 4_001),
        "huge.png": png_of_size(8, 8).replace((8).to_bytes(4) * 2, (1 << 30).to_bytes(4) * 2, 1),
        "noise.jpg": b"\xff\xd8\xff" + os.urandom(500),
        "page.gif": b"GIF89a<script>alert(1)</script>",
    }
    files = [(name, "image/jpeg", data) for name, data in hostile.items()]
    ticket = await checked(api, await sent(api, mail(*files, ("good.jpg", "image/jpeg", photo()))))
    assert states(ticket) == dict.fromkeys(hostile, "REJECTED") | {"good.jpg": "READY"}
    assert all(file["rejectedBecause"] for file in ticket["attachments"]["nodes"] if file["state"] == "REJECTED")


async def test_hostile_names_are_made_harmless(api: Api) -> None:
    names = {
        "../../etc/passwd": "passwd",
        "C:\\Windows\\evil.pdf": "evil.pdf",
        "a" * 2_000 + ".pdf": None,
        "invoice\u202efdp.exe": None,
        "": None,
        "..": None,
    }
    made = [(f"{name}", "application/pdf", PDF + bytes([number])) for number, name in enumerate(names)]
    ticket = await checked(api, await sent(api, mail(*made)))
    found = [file["name"] for file in ticket["attachments"]["nodes"]]
    assert len(found) == len(names)
    for name, expected in zip(found, names.values(), strict=True):
        assert 0 < len(name) <= 255 and not set(name) & set("/\\\u202e\r\n\0") and name not in (".", "..")
        assert expected in (None, name)


async def test_a_logo_in_signatures_does_not_clutter_but_a_screenshot_is_kept(api: Api) -> None:
    def signed(shot: bytes, **headers: str) -> EmailMessage:
        made = mail(sender="gus@bell.test", **headers)
        made.add_alternative("<p>Look: <img src='cid:shot'> <img src='cid:logo'></p>", "html")
        body = list(made.iter_parts())[1]
        assert isinstance(body, EmailMessage)
        body.add_related(shot, "image", "png", cid="<shot>", disposition="inline", filename="shot.png")
        body.add_related(
            encoded(picture(32, 32), "PNG"), "image", "png", cid="<logo>", disposition="inline", filename="logo.png"
        )
        return made

    large = encoded(_noise(200), "PNG")
    first = signed(large)
    id_ = await sent(api, first)
    assert states(await checked(api, id_)) == {"shot.png": "READY"}
    again = signed(large, In_Reply_To=first["Message-ID"])
    assert await sent(api, again) == id_
    assert len((await checked(api, id_))["attachments"]["nodes"]) == 1
    other = signed(encoded(_noise(201), "PNG"), In_Reply_To=first["Message-ID"])
    assert await sent(api, other) == id_
    assert len((await checked(api, id_))["attachments"]["nodes"]) == 2


def _noise(side: int) -> Image.Image:
    return Image.effect_noise((side, side), 60)


async def test_a_screenshot_is_kept_although_staff_have_attached_the_same_internally(api: Api) -> None:
    """Its sender sees their own file then, and learns nothing of that one."""
    shot = encoded(_noise(202), "PNG")
    id_ = await api.new_ticket(contact={"name": "Ina", "email": "ina@bell.test"})
    await attach(api, shot, ticketId=id_, name="internal.png", contentType="image/png")
    reference = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference } }", id=id_))["ticket"]["reference"]
    answer = mail(sender="ina@bell.test", Subject=f"Re: {reference}")
    answer.add_alternative("<p>Look: <img src='cid:shot'></p>", "html")
    body = list(answer.iter_parts())[1]
    assert isinstance(body, EmailMessage)
    body.add_related(shot, "image", "png", cid="<shot>", disposition="inline", filename="shot.png")
    assert await sent(api, answer) == id_
    assert states(await checked(api, id_)) == {"internal.png": "READY", "shot.png": "READY"}


async def test_an_empty_file_is_one_too_and_nothing_waits_for_it(api: Api) -> None:
    empty = ("empty.txt", "text/plain", b""), ("empty.png", "image/png", b"")
    ticket = await checked(api, await sent(api, mail(*empty, ("full.txt", "text/plain", b"text"))))
    assert states(ticket) == {"empty.txt": "READY", "empty.png": "READY", "full.txt": "READY"}


async def test_of_endless_files_the_first_are_kept_and_the_text_says_so(api: Api) -> None:
    files = [(f"{number}.txt", "text/plain", str(number).encode()) for number in range(60)]
    ticket = await checked(api, await sent(api, mail(*files, sender="many@bell.test")))
    assert list(states(ticket)) == [f"{number}.txt" for number in range(50)]
    assert ticket["description"].endswith("only the first 50 were kept; there were 10 more.")


async def test_the_same_message_twice_has_its_files_once(api: Api) -> None:
    message = mail(("a.pdf", "application/pdf", PDF))
    id_ = await sent(api, message)
    raw = base64.b64encode(message.as_bytes()).decode()
    payload = await api.done("inboundEmailIngest", "outcome", message={"encoded": raw})
    assert payload["outcome"] == "DUPLICATE"
    assert len((await checked(api, id_))["attachments"]["nodes"]) == 1


# Outages


async def test_files_wait_for_the_scanner(api: Api, clamd: Clamd) -> None:
    clamd.answer = b"stream: Can't allocate memory ERROR\0"
    clamd.asked.clear()
    try:
        id_ = await sent(api, mail(("a.pdf", "application/pdf", PDF)))
        async with asyncio.timeout(WAIT_SECONDS):
            await clamd.asked.wait()
        ticket = (await api(TICKET, id=id_))["ticket"]
        assert states(ticket) == {"a.pdf": "SCANNING"}
    finally:
        clamd.answer = None
    assert states(await checked(api, id_)) == {"a.pdf": "READY"}


async def test_a_full_disk_asks_the_sender_to_try_again_and_leaves_nothing_half(
    api: Api, disk: SmallDisk, server: Server, database: Database, tmp_path: Path
) -> None:
    settings = {"database_url": server.database_url, "data_dir": str(tmp_path), "jwt_secret": "s" * 48}
    settings |= {"files_url": f"file://{disk.path}/files", "mail_from": f"Callout <{OURS}>", "env": "production"}
    pipe = Pipe(environment_of(**settings))
    message = mail(("a.bin", "application/octet-stream", os.urandom(50_000)), sender="full@bell.test")
    tables = ("tickets", "inbound_messages", "attachments")
    count = f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in tables)}"
    before = await database.fetchrow(count)
    disk.fill()
    try:
        done = await asyncio.to_thread(pipe, message.as_bytes())
        assert done.returncode == 75
        assert b"No space left" in done.stderr and b"Traceback" not in done.stderr
        with pytest.raises(Refusal) as refusal:
            await sent(api, message)
        assert refusal.value.codes == ["UNAVAILABLE"]
        assert await database.fetchrow(count) == before
    finally:
        disk.free()
    assert (await asyncio.to_thread(pipe.take, message.as_bytes())).startswith("TICKET_CREATED")
    found = await api("{ tickets(first: 1) { nodes { id } } }")
    id_ = found["tickets"]["nodes"][0]["id"]
    assert states(await checked(api, id_)) == {"a.bin": "READY"}
