"""The log of an outage: which lines it writes, and when."""

from __future__ import annotations

import logging

import pytest

from db.postgres import outage
from db.postgres.outage import OutageLog, is_logged, is_repetition


class Clock:
    """A clock that moves only when a test moves it."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outage, "monotonic", clock)
    return clock


def written(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if not is_repetition(record)]


def test_an_outage_has_a_line_when_it_begins_each_minute_and_when_it_ends(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log = OutageLog(logging.getLogger("test"), "it fails", "it works")
    for _ in range(2):
        caplog.clear()
        log.worked()
        for _ in range(250):  # for two minutes and five seconds
            log.failed(OSError("no route"))
            clock.now += 0.5
        clock.now += 1
        log.worked()
        log.worked()
        assert written(caplog) == [
            "it fails: no route",
            "it fails, for 60 s and 121 times by now: no route",
            "it fails, for 120 s and 241 times by now: no route",
            "it works, after 126 s",
        ]


def test_a_success_between_failures_does_not_end_an_outage(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log = OutageLog(logging.getLogger("test"), "it fails", "it works")
    for _ in range(100):
        log.failed(TimeoutError())
        clock.now += 0.5
        log.worked()
    assert written(caplog) == ["it fails: TimeoutError"]


def test_an_error_is_known_to_be_in_the_log() -> None:
    error = OSError("no route")
    assert not is_logged(error)
    OutageLog(logging.getLogger("test"), "it fails", "it works").failed(error)
    assert is_logged(error)
    assert not is_logged(OSError("no route"))
