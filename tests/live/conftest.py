"""The fixture that tests of live connections share."""

from __future__ import annotations

import pytest

from tests.helpers.connecting import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of everything that limits a live connection's time; the test sets it."""
    clock = Clock()
    for module in ("callout.live.websocket", "pubsub.send_queue", "pubsub.connections"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock
