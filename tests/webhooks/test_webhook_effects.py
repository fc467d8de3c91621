"""examples/webhook_receiver.py: each message has its effect exactly once, also if the receiver is killed between the
effect and its answer."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.api import Api
from tests.helpers.paths import ROOT
from tests.helpers.process import free_port

WITHIN = 60.0  # seconds, after which a waiting test fails
TICKETS = 12
CHANGES = "subscription { ticketChanged { ... on TicketChange { ticket { subject } } } }"


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"webhooks": "true", "webhook_private_hosts": "allow", "webhook_retry_seconds": "0.1"}


async def test_a_receiver_that_is_killed_after_the_effect_has_each_effect_once(api: Api, tmp_path: Path) -> None:
    port, seen, kills = free_port(), tmp_path / "seen.sqlite", tmp_path / "kills"
    kills.touch()
    made = await api.done("webhookCreate", "webhook { id } secret", url=f"http://127.0.0.1:{port}/", document=CHANGES)
    command = [sys.executable, "-m", "tests.helpers.killed_receiver", str(port), str(seen), str(kills)]
    environment = os.environ | {"WEBHOOK_SECRET": made["secret"], "PYTHONPATH": str(ROOT)}

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    subjects = [f"Ticket {number}" for number in range(TICKETS)]
    for subject in subjects:
        await api.new_ticket(subject=subject)
    running = begin()
    try:
        async with asyncio.timeout(WITHIN):
            while await acknowledged(api, made["webhook"]["id"]) < TICKETS:
                if running.poll() is not None:
                    running = begin()
                await asyncio.sleep(0.1)
    finally:
        running.kill()
        running.wait()
    assert len(kills.read_text().splitlines()) == 4
    database = sqlite3.connect(seen)
    assert [subject for (subject,) in database.execute("SELECT subject FROM seen ORDER BY rowid")] == subjects
    database.close()


async def acknowledged(api: Api, webhook: str) -> int:
    document = """query($id: ID!) { webhookDeliveries(first: 1, filter: {webhookId: $id, outcome: [ACKNOWLEDGED]}) {
      totalCount } }"""
    number: int = (await api(document, id=webhook))["webhookDeliveries"]["totalCount"]
    return number
