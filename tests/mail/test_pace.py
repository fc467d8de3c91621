"""The pace of sending: pauses between attempts, the outcome of an attempt, and a space's turns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise

import pytest

from db import limits
from db.enums import DeliveryState
from notifiers import posting
from notifiers.attempt import FAULT, Attempt, attempt
from notifiers.google_chat import PER_MINUTE, PROMISE_SECONDS, Space
from notifiers.notification import Unavailable, Undeliverable
from notifiers.posting import RETRY_AFTER_MAX, retry_after
from notifiers.worker import Pace

# Pauses


@pytest.mark.parametrize(
    ("failures", "middle"),
    [(1, 5), (2, 10), (3, 20), (4, 40), (10, 2_560), (11, 3_600), (12, 3_600), (1_000, 3_600), (10_000, 3_600)],
)
def test_a_pause_doubles_with_each_failure_up_to_an_hour_with_jitter_of_a_half(failures: int, middle: float) -> None:
    drawn = [Pace().pause(failures) / middle for _ in range(300)]
    assert 0.5 <= min(drawn) < 0.6
    assert 1.4 < max(drawn) <= 1.5


def test_a_lease_is_longer_than_a_send() -> None:
    assert Pace().sending < Pace().lease
    assert (Pace().sends, Pace().give_up) == (20, timedelta(days=3).total_seconds())


# Attempts


async def raising(error: BaseException) -> str:
    raise error


async def saying(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("error", "made"),
    [
        (Undeliverable("550 No"), Attempt(DeliveryState.DEAD, "550 No")),
        (Unavailable("450 Later"), Attempt(DeliveryState.PENDING, "450 Later")),
        (Unavailable("429", 0.0), Attempt(DeliveryState.PENDING, "429", 0.0)),
        (Unavailable("429", 40.0), Attempt(DeliveryState.PENDING, "429", 40.0)),
        (TimeoutError(), Attempt(DeliveryState.PENDING, "No reply within 30 seconds.")),
        (OSError("swordfish"), Attempt(DeliveryState.PENDING, FAULT)),
        (ValueError("swordfish"), Attempt(DeliveryState.PENDING, FAULT)),
    ],
)
async def test_the_error_determines_whether_to_retry(
    error: Exception, made: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    assert await attempt(raising(error), 30) == made
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * (made.said == FAULT)


async def test_a_send_without_an_answer_times_out() -> None:
    async with asyncio.timeout(5):
        made = await attempt(asyncio.Event().wait(), 0.01)  # type: ignore[arg-type]  # it never returns
    assert made == Attempt(DeliveryState.PENDING, "No reply within 0.01 seconds.")


@pytest.mark.parametrize("length", [limits.SAID_MAX, limits.SAID_MAX + 1])
async def test_the_receivers_answer_is_stored_as_one_line_of_bounded_length(length: int) -> None:
    said = "é" * length
    kept = said if length <= limits.SAID_MAX else said[: limits.SAID_MAX - 1] + "…"
    for made in (
        attempt(saying(said), 1),
        attempt(raising(Undeliverable(said)), 1),
        attempt(raising(Unavailable(said)), 1),
    ):
        assert (await made).said == kept
    assert (await attempt(saying("250\r\n Yes\0"), 1)).said == "250 Yes"


async def test_cancelling_a_send_is_not_caught() -> None:
    with pytest.raises(asyncio.CancelledError):
        await attempt(raising(asyncio.CancelledError()), 1)


# Retry-After

INDIA = timezone(timedelta(hours=5.5))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        *(("0", 0), ("1", 1), (" 40 ", 40), ("3600", 3_600), ("3601", RETRY_AFTER_MAX), ("9" * 400, RETRY_AFTER_MAX)),
        *((value, None) for value in ("", "soon", "-1", "1.5", "+5", "٣", "1e3")),
    ],
)
def test_retry_after_seconds_are_parsed_and_bounded(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(-90, 0), (0, 0), (90, 90), (3_599, 3_599), (7_200, RETRY_AFTER_MAX)])
def test_a_retry_after_date_is_parsed_and_bounded(monkeypatch: pytest.MonkeyPatch, ahead: int, seconds: float) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Clock:
            assert tz is UTC
            return cls.fromtimestamp(now.timestamp(), UTC)

    monkeypatch.setattr(posting, "datetime", Clock)
    when = now + timedelta(seconds=ahead)
    for written in (format_datetime(when, usegmt=True), format_datetime(when.astimezone(INDIA)), f"{when:%d %b %Y %T}"):
        assert retry_after(written) == seconds


# Turns


def waits(turns: Space, names: Iterator[int], number: int, now: float) -> list[float]:
    """Returns how long each of `number` new messages has to wait."""
    return [turns.wait(f"message {next(names)}", now) for _ in range(number)]


@pytest.fixture
def names() -> Iterator[int]:
    return iter(range(10_000))


def test_a_space_accepts_a_burst_of_a_third_and_the_rest_over_the_minute(names: Iterator[int]) -> None:
    turns = Space(60)  # a burst of twenty, then one every one and a half seconds
    assert waits(turns, names, 23, 1_000.0) == pytest.approx([0.0] * 20 + [1.5, 3.0, 4.5])
    assert waits(turns, names, 1, 1_001.0) == pytest.approx([5.0])  # the next turn is its own
    # After a minute without messages the full burst is available again, and no more.
    assert waits(turns, names, 21, 1_100.0) == pytest.approx([0.0] * 20 + [1.5])


@pytest.mark.parametrize(("per_minute", "burst", "interval"), [(2, 1, 60), (3, 1, 30), (6, 2, 15), (60, 20, 1.5)])
def test_no_minute_exceeds_a_spaces_rate(names: Iterator[int], per_minute: int, burst: int, interval: float) -> None:
    expected = [max(0.0, (n - burst + 1) * interval) for n in range(2 * per_minute)]
    assert waits(Space(per_minute), names, 2 * per_minute, 0.0) == pytest.approx(expected)
    assert all(later - earlier >= 60 for earlier, later in zip(expected, expected[per_minute:], strict=False))


def test_a_promised_turn_is_kept_and_used_once(names: Iterator[int]) -> None:
    turns = Space(60)
    waits(turns, names, 20, 0.0)
    assert turns.wait("mine", 0.0) == pytest.approx(1.5)
    assert turns.wait("another", 0.0) == pytest.approx(3.0)
    assert turns.wait("mine", 1.0) == pytest.approx(0.5)  # too early: the turn is the same
    assert turns.wait("mine", 1.5) == 0.0
    assert turns.wait("another", 60.0) == 0.0  # late, and still its own
    assert waits(turns, names, 21, 60.0) == pytest.approx([0.0] * 20 + [1.5])
    assert turns.wait("mine", 60.0) == pytest.approx(3.0)  # its turn is used, so it needs another


def test_a_resting_space_accepts_nothing_until_its_longest_rest_ends(names: Iterator[int]) -> None:
    turns = Space(60)
    turns.rest_until(40.0)
    turns.rest_until(30.0)
    assert waits(turns, names, 3, 10.0) == [30.0] * 3
    assert waits(turns, names, 1, 39.9) == pytest.approx([0.1])
    assert waits(turns, names, 1, 40.0) == [0.0]
    busy = Space(60)
    waits(busy, names, 20, 0.0)
    busy.rest_until(1.0)
    assert waits(busy, names, 1, 0.0) == pytest.approx([1.5])  # its turn is later than the end of the rest


def test_unclaimed_turns_are_forgotten() -> None:
    turns = Space(PER_MINUTE)
    now = 0.0
    for n in range(2_000):  # each asks once, and never again
        turns.wait(f"message {n}", now)
        now += 1.0
    assert len(turns._promised) < 2 * PROMISE_SECONDS
    turns.rest_until(10_000.0)
    assert turns.wait("early", 5_000.0) > 0
    assert turns.wait("later", 5_000.0 + PROMISE_SECONDS - 1) > 0
    assert "early" in turns._promised
    assert turns.wait("last", 5_000.0 + PROMISE_SECONDS + 1) > 0
    assert "early" not in turns._promised


def test_turns_are_promised_in_order(names: Iterator[int]) -> None:
    turns = Space(60)
    promised = waits(turns, names, 100, 0.0)
    assert all(later >= earlier for earlier, later in pairwise(promised))
    assert promised[-1] == pytest.approx(80 * 1.5)
