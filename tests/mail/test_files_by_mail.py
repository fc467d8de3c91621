"""Files that staff attach for the customer, as the customer gets them by mail."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from tests.helpers.api import Api
from tests.helpers.attached_files import WAIT_SECONDS, attach
from tests.helpers.database_checks import Database, key
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.photos import PLACE, decoded, photo

PDF = b"%PDF-1.7\n" + b"x" * 1_000
ABOUT_FILES = "kind = 'NOTE_ADDED' AND note_id IS NULL"


@pytest.fixture(scope="module")
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def server_settings(mails: MailServer) -> dict[str, str]:
    settings = {"notify": "true", "smtp_url": mails.url, "mail_from": "support@callout.test"}
    return settings | {"public_url": "https://portal.example", "mail_files_mib": "1"}


@pytest.fixture
def address() -> str:
    return f"{uuid.uuid4().hex}@customer.test"


@pytest.fixture
async def ticket(api: Api, address: str) -> str:
    return await api.new_ticket(contact={"name": "John", "email": address})


async def mail_about_files(database: Database, mails: MailServer, ticket: str, address: str) -> EmailMessage:
    """The mail that gathers the files, without the time for which it waits for more."""
    due = f"UPDATE deliveries SET due_at = now() WHERE ticket_id = $1 AND {ABOUT_FILES} AND state = 'PENDING'"
    assert await database.execute(due, key(ticket)) == "UPDATE 1"
    return await received(mails, address)


async def received(mails: MailServer, address: str) -> EmailMessage:
    """The mail about files that this address gets."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            for mail in mails.received:
                if mail.recipients == [address] and "has added files" in text_of(mail.message):
                    return mail.message
            await asyncio.sleep(0.05)


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


async def test_the_files_of_staff_reach_the_customer_in_one_mail(
    api: Api, database: Database, mails: MailServer, ticket: str, address: str
) -> None:
    note = (await api.done("noteAdd", "note { id }", ticketId=ticket, body="Done.", internalOnly=False))["note"]["id"]
    await attach(api, photo(), noteId=note, name="Neue Batterie ü.jpg")
    await attach(api, PDF, ticketId=ticket, internalOnly=False, name="report.pdf", contentType="application/pdf")
    await attach(api, b"secret", ticketId=ticket, internalOnly=True, name="secret.txt", contentType="text/plain")
    mail = await mail_about_files(database, mails, ticket, address)
    files = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert list(files) == ["Neue Batterie ü.jpg", "report.pdf"]
    assert files["report.pdf"] == PDF
    assert decoded(files["Neue Batterie ü.jpg"]).size == (40, 60) and PLACE.encode() not in files["Neue Batterie ü.jpg"]
    text = text_of(mail)
    assert "secret" not in mail.as_string() and "report.pdf (1 KiB)" in text
    assert "https://portal.example/tickets/TKT-" in text


async def test_a_file_that_is_too_large_for_a_mail_is_on_the_ticket_s_page(
    api: Api, database: Database, mails: MailServer, ticket: str, address: str
) -> None:
    """The mail has no URL of the file, because whoever has such a URL can read the file."""
    large = PDF + os.urandom(1_150_000)
    for name, data in (("large.pdf", large), ("small.pdf", PDF)):
        await attach(api, data, ticketId=ticket, internalOnly=False, name=name, contentType="application/pdf")
    mail = await mail_about_files(database, mails, ticket, address)
    assert [part.get_filename() for part in mail.iter_attachments()] == ["small.pdf"]
    assert "On your ticket's page:\n- large.pdf (1.1 MiB)" in text_of(mail).replace("\r", "")
    assert "/files/" not in mail.as_string()


async def test_nobody_is_mailed_their_own_files_or_internal_ones(
    api: Api, database: Database, ticket: str, address: str
) -> None:
    customer = await api.new_customer(email=address.replace("@", "2@"))
    own = await api.new_ticket(customerId=customer)
    async with api.customer(customer) as portal:
        await attach(portal, PDF, ticketId=own, name="a.pdf", contentType="application/pdf")
    await attach(api, PDF, ticketId=ticket, internalOnly=True, name="a.pdf", contentType="application/pdf")
    queued = f"SELECT count(*) FROM deliveries WHERE ticket_id = ANY ($1) AND {ABOUT_FILES}"
    assert await database.fetchval(queued, [key(ticket), key(own)]) == 0


async def test_a_former_contact_gets_no_file_that_was_added_since(
    api: Api, database: Database, mails: MailServer, ticket: str, address: str
) -> None:
    """Not even in a mail that still waits for more files, or for the mail server."""
    other = address.replace("@", "3@")
    await attach(api, PDF, ticketId=ticket, internalOnly=False, name="first.pdf", contentType="application/pdf")
    await api.done("ticketUpdate", "__typename", ticketId=ticket, contact={"email": other})
    await attach(api, PDF, ticketId=ticket, internalOnly=False, name="second.pdf", contentType="application/pdf")
    due = f"UPDATE deliveries SET due_at = now() WHERE ticket_id = $1 AND {ABOUT_FILES} AND state = 'PENDING'"
    assert await database.execute(due, key(ticket)) == "UPDATE 2"
    for recipient, name in ((address, "first.pdf"), (other, "second.pdf")):
        mail = await received(mails, recipient)
        assert [part.get_filename() for part in mail.iter_attachments()] == [name]
