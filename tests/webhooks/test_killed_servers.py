"""Servers that are killed while they send: another one goes on, in order, and no message is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from callout.settings import Settings
from tests.helpers.api import Api, Server
from tests.helpers.process import callout_process
from tests.helpers.webhook_receiver import Got, receiver

TICKETS = 60
CHANGES = "subscription { ticketChanged { ... on TicketChange { ticket { subject } } } }"


@pytest.mark.slow
async def test_another_server_goes_on_after_the_last_acknowledged_message(fresh_url: str, tmp_path: Path) -> None:
    """The receiver takes its time, so that the server is killed in the middle of a message."""
    given = {"database_url": fresh_url, "jwt_secret": "s" * 48, "webhook_private_hosts": "allow"}
    given |= {"webhook_retry_seconds": "0.1"}
    known = Settings(env="production", database_url=fresh_url, jwt_secret="s" * 48, data_dir=tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()

    def slowly(got: Got) -> int:
        time.sleep(0.05)
        return 204

    with receiver() as hook, callout_process(tmp_path / "second", **given) as second:
        hook.answer = slowly
        async with Api(Server(second.url, known, fresh_url, second)) as api:
            with callout_process(tmp_path / "first", webhooks="true", **given) as first:
                made = await api.done("webhookCreate", "webhook { id } secret", url=hook.url, document=CHANGES)
                hook.secret = made["secret"]
                for number in range(TICKETS):
                    await api.new_ticket(subject=f"Ticket {number}")
                await asyncio.to_thread(hook.wait, lambda: len(hook.got) >= 10)
                os.kill(first.pid, signal.SIGKILL)
            (tmp_path / "third").mkdir()
            with callout_process(tmp_path / "third", webhooks="true", **given):
                last = f"Ticket {TICKETS - 1}"
                await asyncio.to_thread(hook.wait, lambda: hook.taken[-1].data["ticket"]["subject"] == last, 60.0)
    firsts = list({got.id: got for got in reversed(hook.got)}.values())[::-1]
    assert [got.data["ticket"]["subject"] for got in firsts] == [f"Ticket {number}" for number in range(TICKETS)]
    assert len(hook.got) <= TICKETS + 1  # at most the one whose record was lost came again
    assert hook.unsigned == []
