"""One attempt to tell: a channel is asked to send, and what comes of it is an answer, never an exception."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from db.enums import DeliveryState
from db.limits import SAID_MAX
from notifiers.notification import Unavailable, Undeliverable
from notifiers.text import one_line

logger = logging.getLogger(__name__)

FAULT: Final = "Something went wrong in Callout; its log says what."


@dataclass(frozen=True, slots=True)
class Attempt:
    """SENT, DEAD (refused for good), or PENDING: it may be taken later, not before `after` seconds if the other side
    said so. `said` is fit to be stored."""

    state: DeliveryState
    said: str
    after: float | None = None


async def attempt(sending: Awaitable[str], seconds: float) -> Attempt:
    """Sees `sending` through, for so many seconds at the most. An error that is none of a channel's own counts as a
    failure that may pass: it is logged, and whoever looks at the delivery finds that it was ours."""
    try:
        async with asyncio.timeout(seconds):
            return Attempt(DeliveryState.SENT, one_line(await sending, SAID_MAX))
    except Undeliverable as refused:
        return Attempt(DeliveryState.DEAD, one_line(refused.said, SAID_MAX))
    except Unavailable as failed:
        return Attempt(DeliveryState.PENDING, one_line(failed.said, SAID_MAX), failed.after)
    except TimeoutError:
        return Attempt(DeliveryState.PENDING, f"There was no answer within {seconds:g} seconds.")
    except Exception:
        logger.exception("a notification cannot be sent")
        return Attempt(DeliveryState.PENDING, FAULT)
