"""What the log says of an outage: one line when it begins, one a minute while it lasts, and one when it ends.

Every failure has a record, but `is_repetition` is true of most, which the log's handler leaves out: a database that is
away fails hundreds of requests, and all for the same reason.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final

REMINDER_SECONDS: Final = 60.0
CALM_SECONDS: Final = 1.0  # without a failure, after which a success ends the outage: one alone may be luck

REPETITION: Final = {"repetition": True}
"""The `extra` of a record that only repeats what an `OutageLog` has written."""

_LOGGED: Final = "An outage in the log covers this error."


class OutageLog:
    """The log of one thing that can fail and work again."""

    def __init__(self, logger: logging.Logger, fails: str, works: str) -> None:
        """`fails` and `works` are the sentences of the lines, without a full stop."""
        self._logger = logger
        self._fails = fails
        self._works = works
        self._failures = 0
        self._began_at = self._failed_at = self._reminded_at = 0.0

    @property
    def lasts(self) -> bool:
        return self._failures > 0

    def failed(self, error: BaseException) -> None:
        """Notes a failure. From now on `is_logged(error)` is true."""
        error.add_note(_LOGGED)
        self._failures += 1
        self._failed_at = now = monotonic()
        why = str(error) or type(error).__name__
        if self._failures == 1:
            self._began_at = self._reminded_at = now
            self._logger.error("%s: %s", self._fails, why)
        elif now >= self._reminded_at + REMINDER_SECONDS:
            self._reminded_at = now
            lasted = now - self._began_at
            self._logger.error("%s, for %.0f s and %d times by now: %s", self._fails, lasted, self._failures, why)
        else:
            self._logger.error("%s: %s", self._fails, why, extra=REPETITION)

    def worked(self) -> None:
        """Notes a success."""
        now = monotonic()
        if self.lasts and now >= self._failed_at + CALM_SECONDS:
            self._logger.warning("%s, after %.0f s", self._works, now - self._began_at)
            self._failures = 0


def is_repetition(record: logging.LogRecord) -> bool:
    return "repetition" in record.__dict__


def is_logged(error: BaseException) -> bool:
    """Whether an `OutageLog` has been given the error, so that who catches it need not log it."""
    return _LOGGED in getattr(error, "__notes__", ())
