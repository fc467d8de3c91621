"""Positions in the event log as a test wants them."""

from __future__ import annotations

from db.events.position import FINGERPRINT, HASH, LOGS, unseen
from tests.helpers.database_checks import Database


async def position_at(database: Database, snapshot: str) -> str:
    """Returns the position with this snapshot, as the log would have given it."""
    later = unseen("$1::text::pg_snapshot", "id", *LOGS)
    fingerprint = await database.fetchval(
        f"SELECT {FINGERPRINT} # coalesce((SELECT bit_xor({HASH}) FROM {later}), 0)",
        snapshot,
    )
    return f"{snapshot}/{fingerprint}"
