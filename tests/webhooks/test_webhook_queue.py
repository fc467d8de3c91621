"""The queue of webhooks: one worker has each, and only under the current claim is anything recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from db.enums import DeliveryChannel, WebhookMessageKind, WebhookSuspension
from db.ids import new_id
from db.postgres.pool import Database as Pool
from notifiers import webhook_notice
from notifiers.notification import Channel, Notice, Notification
from notifiers.webhook_queue import Attempted, WebhookQueue
from notifiers.webhook_sender import Posted
from tests.helpers.database_checks import Database

POSTED = Posted(True, 204, "HTTP 204 No Content", None, 5)
FAILED = Posted(False, 500, "HTTP 500 Internal Server Error", None, 5)

AWAY = timedelta(days=30)


def attempted(posted: Posted = POSTED) -> Attempted:
    return Attempted(new_id(), WebhookMessageKind.EVENT, 1, "cursor", posted)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await Pool.open(database_url, size=4)
    yield pool
    await pool.close()


@pytest.fixture
async def webhook(database: Database) -> AsyncIterator[str]:
    await database.execute("DELETE FROM webhook_workers")
    webhook_id = new_id()
    await database.execute(
        """INSERT INTO webhooks (id, url, document, variables, secret, author_role, author_id, author_name,
            author_names, author_time_zone, position)
        VALUES ($1, 'https://hooks.invalid/', '', '{}', '', 'ADMIN', 'boss', 'Boss', '{boss}', 'UTC', '1')""",
        webhook_id,
    )
    yield webhook_id
    await database.execute("DELETE FROM webhooks")
    await database.execute("DELETE FROM token_revocations")


async def alive(pool: Pool, seconds: float = 60) -> WebhookQueue:
    queue = WebhookQueue(pool, new_id(), AWAY)
    await queue.live(seconds)
    return queue


async def test_one_of_many_workers_takes_a_webhook(pool: Pool, webhook: str) -> None:
    workers = [await alive(pool) for _ in range(4)]
    taken = await asyncio.gather(*(worker.take(10) for worker in workers))
    assert sorted(map(len, taken)) == [0, 0, 0, 1]
    assert (await workers[0].due())[0] is False


async def test_a_worker_that_is_overdue_moves_nothing_after_another_has_taken_the_webhook(
    pool: Pool, webhook: str, database: Database
) -> None:
    overdue, next_one = await alive(pool, -1), await alive(pool)
    (row,) = await overdue.take(10)
    (again,) = await next_one.take(10)
    assert again["claim"] == row["claim"] + 1
    assert await overdue.look(webhook, row["claim"]) is None
    assert await overdue.acknowledged(webhook, row["claim"], "2", attempted()) is None
    assert await overdue.failed(webhook, row["claim"], 1.0, attempted(FAILED)) is None
    assert await overdue.move(webhook, row["claim"], "2") is False
    await overdue.checkpoint([(webhook, row["claim"], "2")])
    assert await database.fetchval("SELECT position FROM webhooks") == "1"
    assert await next_one.acknowledged(webhook, again["claim"], "3", attempted()) is True
    assert await database.fetchval("SELECT position FROM webhooks") == "3"
    # What was sent is noted all the same.
    assert await database.fetchval("SELECT count(*) FROM webhook_deliveries WHERE webhook_id = $1", webhook) == 3


async def test_a_worker_that_leaves_frees_its_webhooks_at_once(pool: Pool, webhook: str) -> None:
    leaving, next_one = await alive(pool), await alive(pool)
    assert len(await leaving.take(10)) == 1
    assert await next_one.take(10) == []
    await leaving.leave()
    assert len(await next_one.take(10)) == 1


async def test_failures_are_counted_from_the_first_one_until_an_acknowledgement(
    pool: Pool, webhook: str, database: Database
) -> None:
    worker = await alive(pool)
    (row,) = await worker.take(10)
    claim = row["claim"]
    await worker.failed(webhook, claim, 30.0, attempted(FAILED))
    await database.execute("UPDATE webhooks SET failing_since = now() - interval '2 hours'")
    seconds = await worker.failed(webhook, claim, 30.0, attempted(FAILED))
    assert seconds is not None
    assert 7_200 <= seconds < 7_300
    held = await worker.look(webhook, claim)
    assert held is not None
    assert (held.failures, 20 < held.wait <= 30) == (2, True)
    await worker.acknowledged(webhook, claim, "2", attempted())
    held = await worker.look(webhook, claim)
    assert held is not None
    assert (held.failures, held.wait) == (0, 0.0)


@pytest.mark.parametrize("subject", ["boss", None])
async def test_a_revocation_of_tokens_takes_access_away(
    pool: Pool, webhook: str, database: Database, subject: str | None
) -> None:
    """That of the author's, and of everybody's; not one from before they have shown a token."""
    worker = await alive(pool)
    (row,) = await worker.take(10)
    revoke = "INSERT INTO token_revocations (id, subject, revoked_at) VALUES ($1, $2, now() + $3 * interval '1 minute')"
    for minutes, named, allowed in ((-1, subject, True), (0, "another", True), (0, subject, False)):
        await database.execute(revoke, new_id(), named, minutes)
        held = await worker.look(webhook, row["claim"])
        assert held is not None
        assert (held.lost is None) is allowed
    lost = WebhookSuspension.ACCESS_LOST
    assert await worker.without_access() == [(webhook, row["claim"], lost)]


class Told(Channel):
    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def send(self, notification: Notification) -> str:
        raise AssertionError

    async def announce(self, notice: Notice) -> str:
        self.notices.append(notice)
        return "250 OK"


async def test_an_author_is_warned_once_before_they_have_been_away_for_too_long(
    pool: Pool, webhook: str, database: Database
) -> None:
    """Those who sign in here, or have a key, lose their access here, and need show nothing."""
    worker, mail = await alive(pool), Told()
    (row,) = await worker.take(10)

    async def warned(days: float | None) -> list[Notice]:
        age = None if days is None else timedelta(days=days)
        await database.execute("UPDATE webhooks SET renewed_at = now() - $1::interval, author_email = 'b@b.test'", age)
        await worker.warn()
        mail.notices.clear()
        await webhook_notice.notify(pool, worker, {DeliveryChannel.EMAIL: mail})
        return list(mail.notices)

    assert await warned(None) == await warned(22.9) == []
    (notice,) = await warned(23.1)
    assert (notice.recipient, notice.subject) == ("b@b.test", "A webhook to hooks.invalid will be suspended")
    assert f"The webhook whk_{webhook}, which posts to hooks.invalid, will be suspended at" in notice.lines[0]
    await database.execute("UPDATE webhooks SET notice_due_at = now()")  # sent again, if it was not sent
    (again,) = await warned(23.1)
    assert again.recipient == "b@b.test"
    assert await warned(29.9) == []
    assert await worker.without_access() == []
    await database.execute("UPDATE webhooks SET renewed_at = now() - interval '30 days'")
    assert await worker.without_access() == [(webhook, row["claim"], WebhookSuspension.AUTHOR_AWAY)]
