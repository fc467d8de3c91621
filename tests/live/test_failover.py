"""The log's history changes while servers run and clients watch: a standby takes over that lacks the last transactions.
`make faults` has the other ways.

Whoever has seen an event that is lost, or has a position that sees one, is reset, at once on a live connection and
otherwise on the next visit. Nobody else is, and everybody receives the events of the new history exactly once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.changed_history import (
    assigned_again,
    received_everything,
    site,
    standby,
    watched,
)
from tests.helpers.clusters import Cluster

pytestmark = pytest.mark.slow


async def test_after_a_failover_that_lost_events_those_who_saw_them_are_reset(
    two: list[Cluster], tmp_path: Path
) -> None:
    first, second = two
    async with site(first, tmp_path) as here, standby(second, first) as replication:

        async def cut() -> None:
            await received_everything(first, second)
            replication.fall_silent()

        lost, new = await watched(here, cut, lambda: here.fail_over(first, second))
        assert len(lost) > 50
        assert assigned_again(lost, new)
