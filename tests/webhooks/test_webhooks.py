"""Webhooks through the front door: created over the API, and posted to a real receiver."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import orjson
import pytest

from db.enums import Role
from tests.helpers.api import Api
from tests.helpers.database_checks import Database, key
from tests.helpers.mail_server import MailServer, mail_server
from tests.helpers.webhook_receiver import WITHIN, Got, Receiver, receiver

CHANGES = """subscription($filter: TicketFilter, $after: String) { ticketChanged(filter: $filter, after: $after) {
  __typename ... on TicketChange { cursor change kind ticket { subject } } ... on StreamReset { reason } } }"""
WEBHOOK = "webhook { id url state suspension suspendedSaid failures } secret"


@pytest.fixture(scope="module")
def smtp() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def server_settings(smtp: MailServer) -> dict[str, str]:
    mail = {"smtp_url": smtp.url, "mail_from": "Callout <support@callout.test>"}
    return {"webhooks": "true", "webhook_private_hosts": "allow", "webhook_retry_seconds": "0.05"} | mail


@pytest.fixture
async def hook(database: Database) -> AsyncIterator[Receiver]:
    """A receiver, whose webhooks are gone after the test."""
    with receiver() as running:
        yield running
        await database.execute("DELETE FROM webhooks")


async def arrived(hook: Receiver, condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(hook.wait, condition)


async def created(viewer: Api, hook: Receiver, document: str = CHANGES, **given: Any) -> str:
    """Creates a webhook that posts to the receiver, which then checks signatures. Returns its id."""
    payload = await viewer.done("webhookCreate", WEBHOOK, **{"url": hook.url, "document": document} | given)
    hook.secret = payload["secret"]
    return str(payload["webhook"]["id"])


async def test_messages_are_posted_in_order_and_signed(api: Api, hook: Receiver) -> None:
    await created(api, hook)
    subjects = [f"Ticket {number}" for number in range(5)]
    for subject in subjects:
        await api.new_ticket(subject=subject)
    await arrived(hook, lambda: len(hook.taken) >= 5)
    assert [got.data["ticket"]["subject"] for got in hook.taken] == subjects
    assert {got.message["type"] for got in hook.taken} == {"ticketChanged"}
    assert all(got.data["cursor"] == got.message["cursor"] for got in hook.taken)
    assert len({got.id for got in hook.got}) == 5
    assert hook.unsigned == []


async def shown(api: Api, webhook: str) -> Any:
    document = """query($id: ID!) { node(id: $id) { ... on Webhook {
      state suspension suspendedSaid failures failingSince nextAttemptAt acknowledgedAt } } }"""
    return (await api(document, id=webhook))["node"]


async def until(api: Api, webhook: str, condition: Callable[[Any], bool]) -> Any:
    """Waits until the webhook is so. Returns it."""
    async with asyncio.timeout(WITHIN):
        while True:
            found = await shown(api, webhook)
            if condition(found):
                return found
            await asyncio.sleep(0.05)


async def attempts(api: Api, webhook: str) -> list[Any]:
    """The webhook's attempts, the latest first."""
    document = """query($id: ID!) { webhookDeliveries(first: 100, filter: {webhookId: $id}) { nodes {
      messageId kind outcome attempt status said cursor } } }"""
    nodes: list[Any] = (await api(document, id=webhook))["webhookDeliveries"]["nodes"]
    return nodes


async def noted_attempts(api: Api, webhook: str, number: int) -> list[Any]:
    """Waits until so many attempts are noted. Returns them, the first one first."""
    async with asyncio.timeout(WITHIN):
        while True:
            noted = await attempts(api, webhook)
            if len(noted) >= number:
                return noted[::-1]
            await asyncio.sleep(0.05)


def subjects(got: Sequence[Got]) -> list[str]:
    return [each.data["ticket"]["subject"] for each in got if each.message["type"] == "ticketChanged"]


# While the receiver does not acknowledge


@pytest.mark.parametrize(
    "answer",
    [
        500,
        429,
        404,
        400,
        (302, {"location": "http://127.0.0.1:1/elsewhere"}),
        (307, {"location": "/hook"}),
        (503, {"retry-after": "0"}),
        (200, {"content-length": "nonsense"}),
        "drops",
    ],
)
async def test_a_message_is_sent_again_until_it_is_acknowledged_and_the_next_ones_wait(
    api: Api, hook: Receiver, answer: Any
) -> None:
    """The same `webhook-id` each time, a signature of its own, and the order of the events."""
    hook.answer = lambda got: answer if len(hook.got) < 2 else 200
    webhook = await created(api, hook)
    for number in range(3):
        await api.new_ticket(subject=f"Ticket {number}")
    await arrived(hook, lambda: len(hook.taken) >= 3 and subjects(hook.taken)[-1] == "Ticket 2")
    assert subjects(hook.got) == ["Ticket 0"] * 3 + ["Ticket 1", "Ticket 2"]
    assert len({got.id for got in hook.got}) == 3
    assert len({got.id for got in hook.got[:3]}) == 1
    assert hook.unsigned == []
    noted = await noted_attempts(api, webhook, 5)
    assert [each["attempt"] for each in noted] == [1, 2, 3, 1, 1]
    assert [each["outcome"] for each in noted] == ["FAILED"] * 2 + ["ACKNOWLEDGED"] * 3
    assert [each["messageId"] for each in noted] == [got.id for got in hook.got]
    after = await shown(api, webhook)
    assert (after["failures"], after["failingSince"], after["nextAttemptAt"]) == (0, None, None)


async def test_an_endless_answer_acknowledges_and_is_not_read(api: Api, hook: Receiver) -> None:
    hook.answer = lambda got: "floods"
    webhook = await created(api, hook)
    await api.new_ticket(subject="One")
    await api.new_ticket(subject="Two")
    await arrived(hook, lambda: len(hook.got) >= 2)
    await until(api, webhook, lambda found: found["acknowledgedAt"] is not None)
    assert subjects(hook.got) == ["One", "Two"]


async def test_a_receiver_that_is_down_gets_everything_later(api: Api, hook: Receiver) -> None:
    with receiver() as away:
        url = away.url
    webhook = await created(api, hook, url=url)
    for number in range(30):
        await api.new_ticket(subject=f"Ticket {number}")
    down = await until(api, webhook, lambda found: found["failures"] > 1)
    assert down["state"] == "ACTIVE"
    assert {each["said"] for each in await attempts(api, webhook)} == {"The receiver cannot be reached (ConnectError)."}
    await api.done("webhookUpdate", "__typename", webhookId=webhook, url=hook.url)
    await arrived(hook, lambda: len(hook.taken) >= 30)
    assert subjects(hook.taken) == [f"Ticket {number}" for number in range(30)]


async def test_a_receiver_that_answers_410_suspends_the_webhook_which_continues_when_it_is_resumed(
    api: Api, hook: Receiver, smtp: MailServer
) -> None:
    """And the admins are notified, without anything of what was posted."""
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["admin@company.test"])
    hook.answer = lambda got: 410
    webhook = await created(api, hook)
    await api.new_ticket(subject="One")
    gone = await until(api, webhook, lambda found: found["state"] == "SUSPENDED")
    assert (gone["suspension"], gone["suspendedSaid"]) == ("GONE", "The receiver answered 410 Gone.")
    async with asyncio.timeout(WITHIN):
        while not smtp.received:  # noqa: ASYNC110 (another thread appends to it)
            await asyncio.sleep(0.05)
    (mail,) = smtp.received
    assert mail.recipients == ["admin@company.test"]
    assert mail.message["Subject"] == "A webhook to 127.0.0.1 was suspended"
    text = mail.message.get_body(("plain",))
    assert text is not None
    said = str(text.get_content()).replace("\n", " ")
    assert f"The webhook {webhook}, which posts to 127.0.0.1, was suspended at" in said
    assert "The receiver answered 410 Gone." in said
    await api.new_ticket(subject="Two")
    hook.answer = lambda got: 202
    resumed = await api.done("webhookResume", "webhook { state suspension }", webhookId=webhook)
    assert resumed["webhook"] == {"state": "ACTIVE", "suspension": None}
    await arrived(hook, lambda: len(hook.taken) >= 2)
    assert subjects(hook.got) == ["One", "One", "Two"]


async def test_a_webhook_that_fails_for_too_long_is_suspended(api: Api, hook: Receiver, database: Database) -> None:
    hook.answer = lambda got: 500
    webhook = await created(api, hook)
    await api.new_ticket(subject="One")
    await until(api, webhook, lambda found: found["failures"] > 0)
    await database.execute("UPDATE webhooks SET failing_since = now() - interval '73 hours', next_attempt_at = now()")
    lost = await until(api, webhook, lambda found: found["state"] == "SUSPENDED")
    assert lost["suspension"] == "FAILING"
    assert lost["suspendedSaid"] == (
        "A message could not be delivered for 73 hours. The last attempt: HTTP 500 Internal Server Error"
    )


# Filters, rights and documents


async def test_the_author_chooses_events_and_fields(api: Api, hook: Receiver) -> None:
    await created(api, hook, variables='{"filter": {"priority": ["URGENT"]}}')
    await api.new_ticket(subject="Calm")
    ticket = await api.new_ticket(subject="Urgent", priority="URGENT")
    await api.done("ticketUpdate", "__typename", ticketId=ticket, priority="LOW")
    await arrived(hook, lambda: len(hook.taken) >= 2)
    assert [got.data["change"] for got in hook.taken] == ["ENTERED", "LEFT"]
    assert subjects(hook.taken) == ["Urgent", "Urgent"]


async def test_other_subscriptions_are_webhooks_too(api: Api, hook: Receiver) -> None:
    ticket = await api.new_ticket()
    document = "subscription($id: ID!) { noteAdded(ticketId: $id) { ... on NoteAdded { note { body } } } }"
    await created(api, hook, document, variables=orjson.dumps({"id": ticket}).decode())
    document = "subscription { auditEntryAdded { ... on AuditEntryAdded { entry { action objectKind } } } }"
    await created(api, hook, document)
    await api.done("noteAdd", "__typename", ticketId=ticket, body="Called.")
    await arrived(hook, lambda: {got.message["type"] for got in hook.got} == {"noteAdded", "auditEntryAdded"})
    data = {got.message["type"]: got.data for got in hook.got}
    assert data["noteAdded"] == {"note": {"body": "Called."}}
    # It starts before the entry about itself is committed.
    assert data["auditEntryAdded"] == {"entry": {"action": "CREATED", "objectKind": "WEBHOOK"}}


async def test_a_service_has_webhooks_of_its_own_with_its_own_rights(api: Api, hook: Receiver) -> None:
    async with await api.with_new_key(name="Chatbot") as chatbot, api.service("another") as other:
        webhook = await created(chatbot, hook)
        await api.new_ticket(subject="Not theirs")
        await chatbot.new_ticket(subject="Theirs", idempotencyKey="theirs")
        await arrived(hook, lambda: bool(hook.taken))
        assert subjects(hook.got) == ["Theirs"]
        document = "{ webhooks { nodes { id } } webhookDeliveries { nodes { webhook { id } } } }"
        assert (await other(document))["webhooks"]["nodes"] == []
        assert (await other(document))["webhookDeliveries"]["nodes"] == []
        assert (await chatbot(document))["webhooks"]["nodes"] == [{"id": webhook}]
        for verb in ("Update", "RotateSecret", "Resume", "Test", "Delete"):
            assert await other.refused(f"webhook{verb}", webhookId=webhook) == [("NOT_FOUND", "webhookId")]
        assert await other.refused("webhookReplay", webhookId=webhook, after="x") == [("NOT_FOUND", "webhookId")]


async def test_a_revoked_key_suspends_its_webhooks_before_the_next_message(api: Api, hook: Receiver) -> None:
    made = await api.done("apiKeyCreate", "apiKey { id } secret", name="Chatbot")
    async with api.with_token(made["secret"]) as chatbot:
        webhook = await created(chatbot, hook)
        ticket = await chatbot.new_ticket(subject="Before", idempotencyKey="before")
        await arrived(hook, lambda: bool(hook.taken))
    await api.done("apiKeyRevoke", "__typename", apiKeyId=made["apiKey"]["id"])
    await api.done("ticketUpdate", "__typename", ticketId=ticket, subject="After")
    lost = await until(api, webhook, lambda found: found["state"] == "SUSPENDED")
    assert lost["suspension"] == "ACCESS_LOST"
    assert subjects(hook.got) == ["Before"]
    refused = await api.refused("webhookResume", webhookId=webhook)
    assert refused == [("NOT_ALLOWED", "webhookId")]


async def test_revoking_an_admins_tokens_suspends_their_webhooks_until_another_admin_answers_for_them(
    api: Api, hook: Receiver
) -> None:
    async with Api(api.server, subject="leaving", name="Leaving") as leaving:
        webhook = await created(leaving, hook)
    await api.done("tokensRevoke", "__typename", subject="leaving")
    await api.new_ticket(subject="Missed")
    await until(api, webhook, lambda found: found["suspension"] == "ACCESS_LOST")
    assert hook.got == []
    await api.done("webhookResume", "__typename", webhookId=webhook)
    await arrived(hook, lambda: bool(hook.taken))
    assert subjects(hook.got) == ["Missed"]


async def test_a_webhook_ends_by_itself_when_its_author_shows_no_token_any_more(
    api: Api, hook: Receiver, database: Database
) -> None:
    """As when their provider has made them somebody else. As long as they show one with the role, it goes on."""
    aged = "UPDATE webhooks SET renewed_at = now() - interval '29 days', notice_due_at = now() + interval '1 hour'"
    fresh = "SELECT renewed_at > now() - interval '1 hour' AND notice_due_at IS NULL FROM webhooks"
    async with Api(api.server, subject="away", name="Away") as away:
        webhook = await created(away, hook)
        assert await database.fetchval("SELECT renewed_at = authorized_at FROM webhooks")
    await database.execute(aged)
    async with Api(api.server, role=Role.SERVICE, subject="away", claims={"service_scope": "chatbot"}) as demoted:
        await demoted("{ webhooks(first: 1) { totalCount } }")
    async with Api(api.server, subject="away", claims={"email": "away@company.test"}) as back:
        assert not await database.fetchval(fresh)
        # A server notes the same person once an hour, and has noted the author when they created it.
        await database.execute("UPDATE webhooks SET author_id = 'returned'")
        async with Api(api.server, subject="returned") as returned:
            await returned("{ me { name } }")
        async with asyncio.timeout(WITHIN):
            while not await database.fetchval(fresh):  # noqa: ASYNC110 (another process writes it)
                await asyncio.sleep(0.02)
        await database.execute("UPDATE webhooks SET renewed_at = now() - interval '31 days'")
        await api.new_ticket(subject="Missed")
        ended = await until(api, webhook, lambda found: found["state"] == "SUSPENDED")
        assert (ended["suspension"], hook.got) == ("AUTHOR_AWAY", [])
        assert "has not shown a valid token for too long" in ended["suspendedSaid"]
        await back.done("webhookResume", "__typename", webhookId=webhook)
    await arrived(hook, lambda: bool(hook.taken))
    assert subjects(hook.got) == ["Missed"]


async def test_a_service_whose_token_was_not_seen_for_long_resumes_its_webhook_itself(
    api: Api, hook: Receiver, database: Database
) -> None:
    async with Api(api.server, role=Role.SERVICE, subject="bot", claims={"service_scope": "chatbot"}) as bot:
        webhook = await created(bot, hook)
        await database.execute("UPDATE webhooks SET renewed_at = now() - interval '31 days'")
        await bot.new_ticket(subject="Missed", idempotencyKey="missed")
        await until(api, webhook, lambda found: found["suspension"] == "AUTHOR_AWAY")
        assert await api.refused("webhookResume", webhookId=webhook) == [("NOT_ALLOWED", "webhookId")]
        await bot.done("webhookResume", "__typename", webhookId=webhook)
        await arrived(hook, lambda: bool(hook.taken))


async def test_a_webhook_that_somebody_suspends_sends_nothing_until_it_is_resumed(api: Api, hook: Receiver) -> None:
    webhook = await created(api, hook)
    suspended = await api.done("webhookSuspend", "webhook { state suspension suspendedSaid }", webhookId=webhook)
    said = "The Boss has suspended the webhook."
    assert suspended["webhook"] == {"state": "SUSPENDED", "suspension": "ON_REQUEST", "suspendedSaid": said}
    await api.new_ticket(subject="Waits")
    async with api.with_token((await api.done("apiKeyCreate", "secret", name="Chatbot"))["secret"]) as chatbot:
        assert await chatbot.refused("webhookSuspend", webhookId=webhook) == [("NOT_FOUND", "webhookId")]
    assert (
        await api.done("webhookSuspend", "webhook { state suspension suspendedSaid }", webhookId=webhook) == suspended
    )
    assert (hook.got, await attempts(api, webhook)) == ([], [])
    await api.done("webhookResume", "__typename", webhookId=webhook)
    await arrived(hook, lambda: bool(hook.taken))
    assert subjects(hook.got) == ["Waits"]


WIDE = (
    "subscription { ticketChanged { ... on TicketChange { ticket { notes(first: 100) { nodes { ticket { notes(first: "
)
WIDE += "100) { nodes { ticket { notes(first: 100) { nodes { body } } } } } } } } } } } }"


@pytest.mark.parametrize(
    ("given", "code", "field", "said"),
    [
        ({"document": "{ me { name } }"}, "INVALID", "document", "must be a subscription"),
        (
            {"document": 'mutation { noteAdd(input: {ticketId: 1, body: "x"}) { __typename } }'},
            "INVALID",
            "document",
            "must be a subscription",
        ),
        ({"document": "subscription { ticketCountsChanged { all } }"}, "INVALID", "document", "no stream cursors"),
        ({"document": "subscription { ticketChanged { nonsense } }"}, "INVALID", "document", "Cannot query field"),
        ({"document": "subscription { a"}, "INVALID", "document", "Syntax Error"),
        (
            {"document": "subscription A { ticketChanged { __typename } } query B { me { name } }"},
            "INVALID",
            "document",
            "several operations",
        ),
        ({"document": WIDE}, "INVALID", "document", "objects"),
        (
            {"document": 'subscription { ticketChanged(filter: {text: "x"}) { __typename } }'},
            "INVALID",
            "document",
            "text",
        ),
        ({"document": " "}, "REQUIRED", "document", "required"),
        ({"document": "#" * 10_001}, "TOO_LONG", "document", "10,000"),
        ({"variables": '{"filter": {"priority": ["Zebulon"]}}'}, "INVALID", "variables", "$filter"),
        ({"variables": "[]"}, "INVALID", "variables", "JSON object"),
        ({"variables": "{"}, "INVALID", "variables", "JSON object"),
        ({"variables": '{"after": "x"}'}, "INVALID", "variables", "CURSOR_UNKNOWN"),
        ({"url": "ftp://example.com/"}, "INVALID", "url", "https://"),
        ({"url": "http://example.com/"}, "INVALID", "url", "https://"),
        ({"url": "https://user:password@example.com/"}, "INVALID", "url", "without a user"),
        ({"url": "https://"}, "INVALID", "url", "https://"),
        ({"secret": "whsec_c2hvcnQ="}, "INVALID", "secret", "24 to 64 bytes"),
        ({"secret": "0123456789012345678901234567890123456789"}, "INVALID", "secret", "whsec_"),
    ],
)
async def test_bad_input_is_refused_with_a_reason(
    api: Api, given: dict[str, Any], code: str, field: str, said: str
) -> None:
    input = {"url": "https://hooks.invalid/", "document": CHANGES} | given
    payload = await api.do("webhookCreate", "webhook { id } secret", **input)
    (error,) = payload["userErrors"]
    assert (error["code"], error["field"]) == (code, ["input", field])
    assert said in error["message"]
    assert "Zebulon" not in error["message"]
    assert (payload["webhook"], payload["secret"]) == (None, None)


async def test_a_service_cannot_subscribe_to_what_it_may_not_read(api: Api) -> None:
    async with api.service() as chatbot:
        for document in (
            "subscription { auditEntryAdded { __typename } }",
            "subscription { ticketChanged { ... on TicketChange { ticket { customer { email } } } } }",
        ):
            refused = await chatbot.refused("webhookCreate", url="https://hooks.invalid/", document=document)
            assert refused == [("NOT_ALLOWED", "document")]


async def test_a_document_that_is_no_longer_valid_suspends_the_webhook(
    api: Api, hook: Receiver, database: Database
) -> None:
    """As after an upgrade that has removed a field."""
    webhook = await created(api, hook)
    gone = "UPDATE webhooks SET document = $2, claim = claim + 1, worker_id = NULL WHERE id = $1"
    await database.execute(gone, key(webhook), "subscription { ticketChanged { removed } }")
    lost = await until(api, webhook, lambda found: found["state"] == "SUSPENDED")
    assert lost["suspension"] == "INVALID"
    assert "removed" in lost["suspendedSaid"]
    assert await api.refused("webhookResume", webhookId=webhook) == [("INVALID", "document")]


# Replays, tests, secrets


async def test_a_replay_sends_the_messages_after_a_cursor_again_with_their_ids(api: Api, hook: Receiver) -> None:
    webhook = await created(api, hook)
    for number in range(3):
        await api.new_ticket(subject=f"Ticket {number}")
    await arrived(hook, lambda: len(hook.taken) >= 3)
    first = (await noted_attempts(api, webhook, 3))[0]
    assert first["cursor"] == hook.taken[0].message["cursor"]
    await api.done("webhookReplay", "__typename", webhookId=webhook, after=first["cursor"])
    await arrived(hook, lambda: len(hook.taken) >= 5)
    assert [got.id for got in hook.taken[3:]] == [got.id for got in hook.taken[1:3]]
    assert await api.refused("webhookReplay", webhookId=webhook, after="x") == [("INVALID", "after")]


async def test_a_webhook_starts_after_the_cursor_of_its_document(api: Api, hook: Receiver, database: Database) -> None:
    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    await api.new_ticket(subject="Before the webhook")
    webhook = await created(api, hook, variables=orjson.dumps({"after": cursor}).decode())
    await arrived(hook, lambda: bool(hook.taken))
    assert subjects(hook.taken) == ["Before the webhook"]
    # Later it has its own position, even if that cursor can no longer be used.
    forgotten = 'UPDATE webhooks SET variables = \'{"after": "forgotten"}\' WHERE id = $1'
    await database.execute(forgotten, key(webhook))
    await api.done("webhookResume", "__typename", webhookId=webhook)


async def test_events_that_were_deleted_are_a_reset_with_the_reason(
    api: Api, hook: Receiver, database: Database
) -> None:
    """The same id on each attempt, and then the stream goes on."""
    hook.answer = lambda got: 500 if len(hook.got) < 2 else 200
    webhook = await created(api, hook)
    await until(api, webhook, lambda found: found["state"] == "ACTIVE")
    expire = "UPDATE webhooks SET position = $2, claim = claim + 1, worker_id = NULL WHERE id = $1"
    await database.execute(expire, key(webhook), "3:3:/0")
    await database.execute("UPDATE event_log SET horizon = '4'")
    await arrived(hook, lambda: bool(hook.taken))
    await database.execute("UPDATE event_log SET horizon = '0'")
    assert {got.message["type"] for got in hook.got} == {"ticketChanged.reset"}
    assert {got.message["reason"] for got in hook.got} == {"CURSOR_EXPIRED"}
    assert hook.got[0].data == {"__typename": "StreamReset", "reason": "CURSOR_EXPIRED"}
    assert len({got.id for got in hook.got}) == 1
    await api.new_ticket(subject="Afterwards")
    await arrived(hook, lambda: len(hook.taken) >= 2)
    assert subjects(hook.taken) == ["Afterwards"]


async def test_a_test_makes_one_attempt_and_says_what_became_of_it(api: Api, hook: Receiver) -> None:
    webhook = await created(api, hook)
    selection = "delivery { kind outcome status said attempt cursor }"
    tested = (await api.done("webhookTest", selection, webhookId=webhook))["delivery"]
    noted = {"kind": "TEST", "outcome": "ACKNOWLEDGED", "status": 204, "said": "HTTP 204 No Content"}
    assert tested == noted | {"attempt": 1, "cursor": None}
    assert hook.got[0].message["type"] == "webhook.test"
    assert hook.got[0].data == {"__typename": "StreamReady"}
    hook.answer = lambda got: 404
    failed = (await api.done("webhookTest", selection, webhookId=webhook))["delivery"]
    assert (failed["outcome"], failed["said"]) == ("FAILED", "HTTP 404 Not Found")
    assert hook.unsigned == []


async def test_a_test_with_a_key_holds_no_transaction_while_the_receiver_thinks(
    api: Api, hook: Receiver, database: Database
) -> None:
    webhook, thinking, answered = await created(api, hook), threading.Event(), threading.Event()

    def answer(got: Got) -> int:
        thinking.set()
        answered.wait(WITHIN)
        return 204

    hook.answer = answer
    input = {"webhookId": webhook, "idempotencyKey": "slow"}
    test = asyncio.create_task(api.done("webhookTest", "delivery { id outcome }", **input))
    try:
        assert await asyncio.to_thread(thinking.wait, WITHIN)
        held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start < now()"
        assert await database.fetchval(f"{held} AND state = 'idle in transaction'") == 0
    finally:
        answered.set()
    tested = await test
    assert tested["delivery"]["outcome"] == "ACKNOWLEDGED"
    assert await api.done("webhookTest", "delivery { id outcome }", **input) == tested
    assert len(hook.got) == 1


async def test_a_rotated_secret_signs_with_the_previous_one_for_a_while(api: Api, hook: Receiver) -> None:
    webhook = await created(api, hook)
    old = hook.secret
    assert old is not None
    for hours, accepted in ((1, True), (0, False)):
        rotated = await api.done("webhookRotateSecret", "secret", webhookId=webhook, overlapHours=hours)
        for secret, expected in ((rotated["secret"], True), (old, accepted)):
            hook.secret, hook.unsigned = secret, []
            await api.done("webhookTest", "__typename", webhookId=webhook)
            assert (hook.unsigned == []) is expected
        old = rotated["secret"]
    given = "whsec_" + "A" * 40
    assert (await api.done("webhookRotateSecret", "secret", webhookId=webhook, secret=given))["secret"] == given
    assert await api.refused("webhookRotateSecret", webhookId=webhook, overlapHours=169) == [
        ("INVALID", "overlapHours")
    ]


async def test_a_deleted_webhook_gets_nothing_more(api: Api, hook: Receiver, database: Database) -> None:
    webhook = await created(api, hook)
    await api.new_ticket(subject="Before")
    await noted_attempts(api, webhook, 1)
    assert (await api.done("webhookDelete", "deletedId", webhookId=webhook))["deletedId"] == webhook
    await api.new_ticket(subject="After")
    with receiver() as other:
        await created(api, other)
        await api.new_ticket(subject="Last")
        await arrived(other, lambda: bool(other.taken))  # by then the deleted one would have had its message
    assert subjects(hook.got) == ["Before"]
    assert [each["outcome"] for each in await noted_attempts(api, webhook, 1)] == ["ACKNOWLEDGED"]


async def test_every_change_is_audited_and_no_secret_is_shown(api: Api, hook: Receiver) -> None:
    webhook = await created(api, hook)
    await api.done("webhookUpdate", "__typename", webhookId=webhook, variables='{"filter": null}')
    await api.done("webhookRotateSecret", "__typename", webhookId=webhook)
    cursor = (await api("{ ticketEvents { cursor } }"))["ticketEvents"]["cursor"]
    await api.done("webhookReplay", "__typename", webhookId=webhook, after=cursor)
    await api.done("webhookDelete", "__typename", webhookId=webhook)
    document = """query($id: ID!) { auditEntries(filter: {objectId: $id}) { nodes {
      action changes { field before after } } } }"""
    entries = (await api(document, id=webhook))["auditEntries"]["nodes"]
    assert [each["action"] for each in entries] == ["DELETED", "REPLAYED", "UPDATED", "UPDATED", "CREATED"]
    changes = [{change["field"]: (change["before"], change["after"]) for change in each["changes"]} for each in entries]
    assert changes[1] == {"replayedAfter": (None, cursor)}
    assert changes[2] == {"secret": ("(secret)", "(secret)")}
    assert changes[3] == {"variables": ("{}", '{"filter": null}')}
    assert changes[4]["url"] == (None, hook.url)
    assert hook.secret is not None
    assert hook.secret not in orjson.dumps(entries).decode()


async def test_an_author_has_a_limited_number_of_webhooks(api: Api, database: Database) -> None:
    async with Api(api.server, subject="many", name="Many") as many:
        given = {"url": "https://hooks.invalid/", "document": CHANGES}
        webhook = (await many.done("webhookCreate", "webhook { id }", **given))["webhook"]["id"]
        copy = """INSERT INTO webhooks (id, url, document, variables, secret, author_role, author_id, author_name,
                author_names, author_time_zone, position, state, suspension, suspended_at)
            SELECT gen_random_uuid(), url, document, variables, secret, author_role, author_id, author_name,
                author_names, author_time_zone, position, 'SUSPENDED', 'GONE', now()
            FROM webhooks, generate_series(1, 99) WHERE id = $1"""
        await database.execute(copy, key(webhook))
        assert await many.refused("webhookCreate", **given) == [("NOT_ALLOWED", "")]
    await database.execute("DELETE FROM webhooks WHERE author_id = 'many'")
