"""What a reply quotes: folded in `Note.quoted` if the ticket has it, and kept in the text if not."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from callout.settings import Settings
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.database_checks import key
from tests.helpers.inbound_mail import OURS, message
from tests.helpers.process import callout_process

TICKET = """query($id: ID!) { ticket(by: {id: $id}) { description notes(first: 20) { nodes { id body quoted } } } }"""
INBOUND = "{ inboundMessages(first: 1) { nodes { outcome raw } } }"
ASKED = "Which zone beeps?\nWhen may our technician come?"
ABOVE = "Il giorno lun 23 nov 2026 alle ore 10:15 Centrale <centrale@elsewhere.test>\nha scritto:"


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose settings give its own mail address."""
    directory = tmp_path_factory.mktemp("server")
    settings = {"database_url": database_url, "jwt_secret": "s" * 48, "mail_from": f"Callout <{OURS}>"}
    with callout_process(directory, **settings) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret="s" * 48, data_dir=directory)
        yield Server(process.url, known, database_url, process)


@pytest.fixture
async def opened(api: Api) -> dict[str, str]:
    """A ticket created by mail, whose sender has been asked something."""
    sender, first = f"{uuid.uuid4().hex[:12]}@bell.test", f"<{uuid.uuid4().hex}@bell.test>"
    id_ = await taken(api, message(f"Ann Bell <{sender}>", message_id=first))
    await api.done("noteAdd", "__typename", ticketId=id_, body=ASKED, internalOnly=False)
    return {"id": id_, "sender": sender, "first": first}


async def taken(api: Api, raw: bytes) -> str:
    """Ingests a message; returns the id of the ticket that it created or added a note to."""
    given = {"encoded": base64.b64encode(raw).decode()}
    payload = await api.done("inboundEmailIngest", "outcome ticket { id }", message=given)
    assert payload["ticket"], payload
    return str(payload["ticket"]["id"])


async def note(api: Api, opened: dict[str, str], body: str, **headers: str) -> dict[str, Any]:
    """Ingests a reply; returns its note."""
    raw = message(f"Ann Bell <{opened['sender']}>", body, in_reply_to=opened["first"], subject="Re: Panel", **headers)
    id_ = await taken(api, raw)
    assert id_ == opened["id"]
    found: dict[str, Any] = (await api(TICKET, id=id_))["ticket"]["notes"]["nodes"][-1]
    return found


def marked(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


async def test_the_history_and_the_signature_are_folded(api: Api, opened: dict[str, str]) -> None:
    quoted = f"Inviato da iPhone\n\n{ABOVE}\n\n{marked(ASKED)}"
    found = await note(api, opened, f"Zone 4.\n\n{quoted}")
    assert (found["body"], found["quoted"]) == ("Zone 4.", quoted)
    again = f"{ABOVE}\n\nZone 4.\n\n{quoted}"  # by the next reply, without marks: notes and their quotes are known too
    found = await note(api, opened, f"Thursday.\n\n{again}")
    assert (found["body"], found["quoted"]) == ("Thursday.", again)
    plain = await note(api, opened, "No quote.")
    assert (plain["body"], plain["quoted"]) == ("No quote.", None)


@pytest.mark.parametrize("only", ["marked", "unmarked"])
async def test_a_history_that_the_ticket_does_not_have_stays_in_the_text(
    api: Api, opened: dict[str, str], only: str
) -> None:
    foreign = "The DSC 1832 in unit 12 shows trouble 5, serial 99-1234."
    body = f"Can you have a look?\n\n{ABOVE}\n\n{marked(foreign) if only == 'marked' else foreign}"
    found = await note(api, opened, body)
    assert (found["body"], found["quoted"]) == (body, None)


async def test_a_new_tickets_description_has_everything(api: Api) -> None:
    body = f"Can you have a look?\n-- \nAnn\n\n{ABOVE}\n\n{marked(ASKED)}\n\nBelow."
    id_ = await taken(api, message("ann@bell.test", body, subject=f"Re: {uuid.uuid4().hex}"))
    assert (await api(TICKET, id=id_))["ticket"]["description"] == body


@pytest.mark.parametrize("prefix", ["VB", "I", "Přep", "转发", "İLT"])
async def test_a_forward_keeps_what_it_forwards(api: Api, opened: dict[str, str], prefix: str) -> None:
    subject = f"=?utf-8?b?{base64.b64encode(f'{prefix}: Panel'.encode()).decode()}?="
    body = f"See below.\n\n{ABOVE}\n\n{marked(ASKED)}"
    raw = message(opened["sender"], body, in_reply_to=opened["first"], subject=subject)
    assert (await api(TICKET, id=await taken(api, raw)))["ticket"]["notes"]["nodes"][-1]["body"] == body


async def test_answers_in_the_html_of_a_quote_are_kept(api: Api, opened: dict[str, str]) -> None:
    answered = (
        "<div>My answers are in red.</div><hr><div><b>From:</b> Support &lt;support@callout.test&gt;<br>"
        "<b>Sent:</b> Monday<br><b>To:</b> Ann<br><b>Subject:</b> Panel</div><div>Which zone beeps?</div>{}"
        "<div>When may our technician come?</div>"
    )
    html = {"content_type": "text/html; charset=utf-8"}
    found = await note(api, opened, answered.format('<div style="color:red">4</div>'), **html)
    assert found["body"].split("\n")[-3:] == ["Which zone beeps?", "4", "When may our technician come?"]
    found = await note(api, opened, answered.format(""), **html)
    assert found["body"] == "My answers are in red."
    assert found["quoted"].endswith(ASKED)


async def test_folding_reveals_no_internal_note(api: Api, opened: dict[str, str]) -> None:
    """Otherwise a customer could guess its text."""
    internal = "The owner has not paid since March."
    await api.done("noteAdd", "__typename", ticketId=opened["id"], body=internal)
    found = await note(api, opened, f"Yes.\n\n{ABOVE}\n\n{marked(internal)}")
    assert (found["body"], found["quoted"]) == (f"Yes.\n\n{ABOVE}\n\n{marked(internal)}", None)
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["boss@callout.test"])
    reply_to_us = f"<{uuid.uuid4().hex}.ticket.{key(opened['id']).replace('-', '')}@callout.test>"
    raw = message("boss@callout.test", f"Yes.\n\n{ABOVE}\n\n{internal}", in_reply_to=reply_to_us, subject="Re: Panel")
    notes = (await api(TICKET, id=await taken(api, raw)))["ticket"]["notes"]["nodes"]
    assert (notes[-1]["body"], notes[-1]["quoted"]) == ("Yes.", f"{ABOVE}\n\n{internal}")


async def test_folding_reveals_no_customer_to_a_stranger(api: Api) -> None:
    """Whoever has given an account number that they have guessed to a chatbot could otherwise guess the name, too."""
    unique = uuid.uuid4().hex[:8]
    name, number, sender = f"Harbour {unique} Holdings", f"AC {unique}", f"eve-{unique}@stranger.test"
    customer = await api.new_customer(name=name, accountNumber=number)
    async with api.service("chatbot") as service:
        id_ = await service.new_ticket(accountNumber=number, contact={"name": "Eve", "email": sender})
    shown = (await api("query($id: ID!) { ticket(by: {id: $id}) { reference customer { id } } }", id=id_))["ticket"]
    assert shown["customer"] == {"id": customer}
    site = f"{unique} Harbour Street"
    place = await api.new_property(customer, address=site)
    await api.done("ticketUpdate", "__typename", ticketId=id_, propertyId=place)
    for guess in (name, site):
        body = f"Yes.\n\n{ABOVE}\n\n{marked(guess)}"
        raw = message(f"Eve <{sender}>", body, subject=f"Re: [{shown['reference']}]")
        notes = (await api(TICKET, id=await taken(api, raw)))["ticket"]["notes"]["nodes"]
        assert (notes[-1]["body"], notes[-1]["quoted"]) == (body, None)


async def test_a_service_does_not_read_what_is_folded(api: Api, opened: dict[str, str]) -> None:
    """Mails of ours are quoted there, with links and addresses that were meant for their recipients."""
    await note(api, opened, f"Zone 4.\n\n{ABOVE}\n\n{marked(ASKED)}")
    async with api.service("chatbot") as service:
        with pytest.raises(Refusal) as refusal:
            await service(TICKET, id=opened["id"])
    assert refusal.value.codes == ["FORBIDDEN"]


async def test_the_raw_message_is_kept_whatever_became_of_it(api: Api, opened: dict[str, str]) -> None:
    outcomes = {
        "NOTE_ADDED": message(opened["sender"], "More.", in_reply_to=opened["first"], subject="Re: Panel"),
        "TICKET_CREATED": message(opened["sender"], uuid.uuid4().hex),
        "IGNORED": message("mailer-daemon@bell.test", uuid.uuid4().hex),
        "KEPT_ASIDE": message("a@bell.test, b@bell.test", uuid.uuid4().hex),
    }
    for outcome, raw in outcomes.items():
        given = {"encoded": base64.b64encode(raw).decode()}
        assert (await api.done("inboundEmailIngest", "outcome", message=given))["outcome"] == outcome
        (newest,) = (await api(INBOUND))["inboundMessages"]["nodes"]
        assert (newest["outcome"], base64.b64decode(newest["raw"])) == (outcome, raw)
