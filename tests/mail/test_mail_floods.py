"""How much mail of senders whom nobody vouches for is processed, all of them together."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from callout.settings import Settings
from resolvers.inbound_flood import KNOWN, STRANGERS, SUBJECT
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import Database, key
from tests.helpers.inbound_mail import OURS, SERVER, message, received
from tests.helpers.process import callout_process
from tests.mail.test_inbound import address, ingest, our_id

AN_HOUR = 4
ADMIN = "admin@callout.test"


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    settings = {"database_url": database_url, "jwt_secret": "s" * 48, "mail_authserv_id": SERVER, "mail_from": OURS}
    with callout_process(directory, mail_unvouched_per_hour=str(AN_HOUR), **settings) as process:
        known = Settings(env="production", database_url=database_url, jwt_secret="s" * 48, data_dir=directory)
        yield Server(process.url, known, database_url, process)


async def test_strangers_share_what_is_processed_and_the_rest_waits(api: Api, database: Database) -> None:
    """Whatever addresses they use, verified or not. Customers and staff get through meanwhile."""
    who = address()
    await api.new_customer(email=who)
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[ADMIN])
    ours = await api.new_ticket()
    outcomes = [await ingest(api, received(message(address(), f"Hello {n}."), "pass")) for n in range(AN_HOUR + 3)]
    assert [each["outcome"] for each in outcomes] == ["TICKET_CREATED"] * AN_HOUR + ["KEPT_ASIDE"] * 3
    assert outcomes[-1]["reason"] == f"More than {AN_HOUR} such messages, of {STRANGERS}, came within an hour."
    for n in range(AN_HOUR + 2):  # a verified customer is not limited
        assert (await ingest(api, received(message(who, f"Mine {n}."), "pass")))["outcome"] == "TICKET_CREATED"
    reply = await ingest(api, message(ADMIN, "Seen.", references=our_id(ours)))
    assert reply["outcome"] == "NOTE_ADDED"
    unvouched = [await ingest(api, message(who, f"Unverified {n}.")) for n in range(AN_HOUR)]
    assert [each["outcome"] for each in unvouched] == ["TICKET_CREATED"] * (AN_HOUR - 1) + ["KEPT_ASIDE"]
    assert KNOWN in unvouched[-1]["reason"]
    (asked,) = await database.fetch("SELECT id, contact_email FROM tickets WHERE subject = $1", SUBJECT)
    sent = await database.fetch("SELECT kind, recipient FROM deliveries WHERE ticket_id = $1", asked["id"])
    assert [tuple(each) for each in sent] == [("CREATED", ADMIN)]
    document = "{ inboundMessages(filter: {outcome: [KEPT_ASIDE]}, first: 1) { totalCount nodes { id text } } }"
    waiting = (await api(document))["inboundMessages"]
    assert (waiting["totalCount"], waiting["nodes"][0]["text"]) == (4, f"Unverified {AN_HOUR - 1}.")
    accepted = await api.done("inboundMessageAccept", "__typename", inboundMessageId=waiting["nodes"][0]["id"])
    assert accepted is not None


async def test_the_files_of_staff_have_a_share_of_their_own(api: Api, database: Database) -> None:
    """Otherwise a flood of doubtful mail would use up the share of files that staff's replies need."""
    await database.execute("DELETE FROM tracking_guesses")
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=[ADMIN])
    ours, ann = await api.new_ticket(), address()
    await api.new_customer(email=ann)
    await api.done("ticketUpdate", "__typename", ticketId=ours, contact={"name": "Ann", "email": ann})
    body = f"--b\r\n\r\nSee.\r\n--b\r\nContent-Type: text/csv; name={uuid.uuid4().hex}.csv\r\n\r\na\r\n--b--\r\n"
    mixed = {"content_type": "multipart/mixed; boundary=b", "references": our_id(ours)}
    form = message("noreply@eve.test", body, reply_to=ann, **mixed)
    for raw in (message(ADMIN, body, **mixed), form):
        assert (await ingest(api, raw))["outcome"] == "NOTE_ADDED"
    owners = "SELECT DISTINCT creator_id FROM attachments WHERE ticket_id = $1 ORDER BY 1"
    assert [row[0] for row in await database.fetch(owners, key(ours))] == ["mail-in", "mail-in-staff"]
