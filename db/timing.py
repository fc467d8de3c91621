"""Where the time of a request goes. The layers that spend it add to the request's `Spent`."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Spent:
    """Seconds of one request: of holding connections of the pool, of waiting for them, and of preparing statements
    that were not known. Statements that run at the same time count several times."""

    database: float = 0.0
    waiting: float = 0.0
    preparing: float = 0.0


SPENT: Final[ContextVar[Spent | None]] = ContextVar("callout_spent", default=None)
"""That of the current request; None in background work."""
