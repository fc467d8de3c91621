"""One attempt to tell: a channel is asked to send, and what comes of it is an answer, never an exception."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from db.enums import DeliveryState
from db.limits import SAID_MAX
from notifiers.notice import Refused, Unavailable

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
            return Attempt(DeliveryState.SENT, _storable(await sending))
    except Refused as refused:
        return Attempt(DeliveryState.DEAD, _storable(refused.said))
    except Unavailable as failed:
        return Attempt(DeliveryState.PENDING, _storable(failed.said), failed.after)
    except TimeoutError:
        return Attempt(DeliveryState.PENDING, f"There was no answer within {seconds:g} seconds.")
    except Exception:
        logger.exception("a notice cannot be sent")
        return Attempt(DeliveryState.PENDING, FAULT)


def _storable(said: str) -> str:
    """What strangers have said, as PostgreSQL can store it and a list can show it."""
    return "".join(character if character.isprintable() else " " for character in said).strip()[:SAID_MAX]
