"""Decides which revisions of the database this version of the code works with: not only the one it was written for, so
that a migration takes no server out of service. See `docs/decisions/upgrades-without-an-outage.md`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
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
            if oldest_code is None:
                why = "which this version of Callout does not know: start the version that migrated it, or a newer one"
            else:
                why = f"which needs code of {oldest_code} or newer, not {self.newest}: start a newer version of Callout"
            return f"at revision {revision}, {why}"
        return None

    def _is_older(self, revision: str, other: str) -> bool:
        return self.revisions.index(revision) < self.revisions.index(other)


_VERSIONS: Final = Path(__file__).parents[1] / "migrations" / "versions"
_DECLARED: Final = re.compile(r'^(revision|down_revision|oldest_database) = "(\w+)"$', re.MULTILINE)


def code() -> Code:
    """The revisions that this version knows, read from the text of its migrations: importing them takes long."""
    declared = [dict(_DECLARED.findall(path.read_text())) for path in _VERSIONS.glob("[0-9]*.py")]
    after = {each.get("down_revision"): each for each in declared}
    chain = [after[None]]
    while chain[-1]["revision"] in after:
        chain.append(after[chain[-1]["revision"]])
    return Code(tuple(each["revision"] for each in chain), chain[-1]["oldest_database"])
