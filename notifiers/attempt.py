"""One attempt to send a notification through a channel. Its result is a value, never an exception."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from db.enums import DeliveryState
from db.limits import SAID_MAX
from notifiers.notification import DeviceGone, Needless, Unavailable, Undeliverable
from notifiers.text import one_line

logger = logging.getLogger(__name__)

FAULT: Final = "Internal error; see Callout's log."


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result: SENT, DEAD (refused for good), DROPPED (not needed), or PENDING (retry later, and not within `after`
    seconds, if the other side asked for a pause). `said` is the reply or the reason, one line that can be stored.
    `gone` says that the recipient does not exist any more."""

    state: DeliveryState
    said: str
    after: float | None = None
    gone: bool = False


async def attempt(sending: Awaitable[str], seconds: float) -> Attempt:
    """Await `sending` for at most `seconds`. An error that a channel does not declare is a fault of Callout's: it is
    logged, and the result is PENDING with a text that says so."""
    try:
        async with asyncio.timeout(seconds):
            return Attempt(DeliveryState.SENT, one_line(await sending, SAID_MAX))
    except Undeliverable as refused:
        gone = isinstance(refused, DeviceGone)
        return Attempt(DeliveryState.DEAD, one_line(refused.said, SAID_MAX), gone=gone)
    except Needless as dropped:
        return Attempt(DeliveryState.DROPPED, one_line(dropped.said, SAID_MAX))
    except Unavailable as failed:
        return Attempt(DeliveryState.PENDING, one_line(failed.said, SAID_MAX), failed.after)
    except TimeoutError:
        return Attempt(DeliveryState.PENDING, f"No reply within {seconds:g} seconds.")
    except Exception:
        logger.exception("sending a notification failed")
        return Attempt(DeliveryState.PENDING, FAULT)
