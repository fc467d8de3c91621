"""Decides which revisions of the database this version of the code works with: not only the one it was written for, so
that a migration takes no server out of service. See `docs/decisions/upgrades-without-an-outage.md`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STATE: Final = "SELECT version_num, to_jsonb(alembic_version) ->> 'oldest_code' AS oldest_code FROM alembic_version"
"""Reads the database's revision and the oldest code that works with it, in one row. The latter is null if the database
was migrated by a version that did not store it, and so lacks the column."""


@dataclass(frozen=True, slots=True)
class Code:
    """A version of the code: the revisions that it knows, oldest first, and the oldest database that it works with."""

    revisions: tuple[str, ...]
    oldest_database: str

    @property
    def newest(self) -> str:
        """The revision that the code was written for."""
        return self.revisions[-1]

    def knows(self, revision: str | None) -> bool:
        return revision is None or revision in self.revisions

    def misfit(self, revision: str | None, oldest_code: str | None) -> str | None:
        """Returns why the code does not work with a database at `revision`, and what to do about it; None if it works.

        If the code does not know `revision`, the database is newer, and `oldest_code`, which is stored there, decides:
        the code is at least as new if it knows that revision.
        """
        if self.knows(revision):
            if revision is None or self._is_older(revision, self.oldest_database):
                return f"at revision {revision or 'none'}, not {self.newest}: run `callout migrate`"
        elif oldest_code not in self.revisions:
            needed = f"code of {oldest_code} or newer" if oldest_code else "its own code"
            return f"at revision {revision}, which needs {needed}, not {self.newest}: start a newer version of Callout"
        return None

    def _is_older(self, revision: str, other: str) -> bool:
        return self.revisions.index(revision) < self.revisions.index(other)
