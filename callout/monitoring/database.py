"""What metrics say of the whole database. Each server process reads it when it is scraped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, TypeAlias

import orjson

from db.enums import DeliveryChannel, DeliveryState, InboundOutcome, WebhookState, WebhookSuspension
from db.postgres.pool import OUTAGE
from db.postgres.statement import Queryable

COUNTED_MAX: Final = 10_000
"""Rows that are counted; more count as so many. Their number must not make a scrape slow."""

REMEMBER_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 2.0

# Each row is a gauge's name, its labels and its value. Every part reads an index from its start, and at most
# COUNTED_MAX rows.
_STATE: Final = f"""
SELECT json_object_agg(name, samples) FROM (
    SELECT name, json_agg(json_build_array(labels, value)) AS samples FROM (
        WITH pending AS MATERIALIZED (
            SELECT waiting.* FROM unnest(enum_range(NULL::delivery_channel)) AS used (channel) CROSS JOIN LATERAL (
                SELECT channel, state, queued_at FROM deliveries
                WHERE channel = used.channel AND state = 'PENDING' AND screened_at IS NOT NULL
                ORDER BY due_at LIMIT {COUNTED_MAX}
            ) AS waiting
        ), unscreened AS MATERIALIZED (
            SELECT channel, state, queued_at FROM deliveries WHERE state = 'PENDING' AND screened_at IS NULL
            ORDER BY due_at LIMIT {COUNTED_MAX}
        ), held AS MATERIALIZED (
            SELECT channel, state, queued_at FROM deliveries WHERE state = 'HELD' AND summary_id IS NULL
            ORDER BY due_at LIMIT {COUNTED_MAX}
        ), finished AS MATERIALIZED (
            SELECT channel, state FROM deliveries
            WHERE finished_at > now() - interval '1 hour' ORDER BY finished_at DESC LIMIT {COUNTED_MAX}
        ), unfinished AS MATERIALIZED (
            SELECT state, created_at FROM attachments WHERE finished_at IS NULL
            ORDER BY state, created_at LIMIT {COUNTED_MAX}
        ), inbound AS MATERIALIZED (
            SELECT outcome FROM inbound_messages
            WHERE received_at > now() - interval '1 hour' ORDER BY received_at DESC, id DESC LIMIT {COUNTED_MAX}
        )
        SELECT 'callout_deliveries_waiting' AS name, array[channel::text, state::text] AS labels, count(*) AS value
        FROM (SELECT * FROM pending UNION ALL SELECT * FROM unscreened UNION ALL SELECT * FROM held) AS waiting
        GROUP BY channel, state
        UNION ALL
        SELECT 'callout_deliveries_oldest_seconds', array[channel::text],
            extract(epoch FROM now() - min(queued_at))
        FROM (SELECT * FROM pending UNION ALL SELECT * FROM unscreened) AS waiting GROUP BY channel
        UNION ALL
        SELECT 'callout_deliveries_finished', array[channel::text, state::text], count(*)
        FROM finished GROUP BY channel, state
        UNION ALL
        SELECT 'callout_webhooks', array[state::text], count(*) FROM webhooks GROUP BY state
        UNION ALL
        SELECT 'callout_webhooks_suspended', array[suspension::text], count(*) FROM webhooks
        WHERE state = 'SUSPENDED' GROUP BY suspension
        UNION ALL
        SELECT 'callout_webhooks_failing', '{{}}', count(*)
        FROM webhooks WHERE state = 'ACTIVE' AND failing_since IS NOT NULL
        UNION ALL
        SELECT 'callout_webhooks_oldest_failing_seconds', '{{}}',
            coalesce(extract(epoch FROM now() - min(failing_since)), 0) FROM webhooks WHERE state = 'ACTIVE'
        UNION ALL
        SELECT 'callout_inbound_messages', array[outcome::text], count(*) FROM inbound GROUP BY outcome
        UNION ALL
        SELECT 'callout_inbound_messages_in_review', '{{}}', count(*)
        FROM (SELECT FROM inbound_messages WHERE outcome = 'KEPT_ASIDE' LIMIT {COUNTED_MAX}) AS kept_aside
        UNION ALL
        SELECT 'callout_files_unfinished', array[state::text], count(*) FROM unfinished GROUP BY state
        UNION ALL
        SELECT 'callout_files_oldest_scanning_seconds', '{{}}',
            coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM unfinished WHERE state = 'SCANNING'
        UNION ALL
        SELECT 'callout_files_rejected', '{{}}', count(*)
        FROM (SELECT FROM attachments WHERE state = 'REJECTED' AND finished_at > now() - interval '1 hour'
            LIMIT {COUNTED_MAX}) AS rejected
        UNION ALL
        SELECT 'callout_event_log_bytes', array[relation], pg_total_relation_size(relation::regclass)
        FROM unnest(array['ticket_events', 'audit_entries']) AS relation
        UNION ALL
        SELECT 'callout_event_log_rows', array[relation], greatest(reltuples, 0)
        FROM unnest(array['ticket_events', 'audit_entries']) AS relation JOIN pg_class ON oid = relation::regclass
        UNION ALL
        SELECT 'callout_event_log_oldest_seconds', '{{}}',
            coalesce(extract(epoch FROM now() - (SELECT at FROM ticket_events ORDER BY xid LIMIT 1)), 0)
        UNION ALL
        SELECT 'callout_database_connections', '{{}}', count(*) FROM pg_stat_activity WHERE datname = current_database()
        UNION ALL
        SELECT 'callout_database_connections_max', '{{}}', current_setting('max_connections')::integer
    ) AS sample GROUP BY name
) AS gauge"""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of the whole database. It has each of the `known` combinations of labels, as 0 if there is nothing."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ((),)


_CHANNELS: Final = tuple((channel.value,) for channel in DeliveryChannel)


def _of_channels(*states: DeliveryState) -> tuple[tuple[str, ...], ...]:
    return tuple((*channel, state.value) for channel in _CHANNELS for state in states)


GAUGES: Final = (
    Gauge(
        "callout_deliveries_waiting",
        f"Deliveries that wait to be sent (PENDING) or for a confirmation (HELD); up to {COUNTED_MAX}.",
        ("channel", "state"),
        _of_channels(DeliveryState.PENDING, DeliveryState.HELD),
    ),
    Gauge(
        "callout_deliveries_oldest_seconds",
        "For how long the oldest PENDING delivery has waited.",
        ("channel",),
        _CHANNELS,
    ),
    Gauge(
        "callout_deliveries_finished",
        f"Deliveries that were finished in the last hour, by whatever process; up to {COUNTED_MAX}.",
        ("channel", "state"),
        _of_channels(DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.DROPPED),
    ),
    Gauge("callout_webhooks", "Webhooks.", ("state",), tuple((state.value,) for state in WebhookState)),
    Gauge(
        "callout_webhooks_suspended",
        "Suspended webhooks, by the reason.",
        ("suspension",),
        tuple((suspension.value,) for suspension in WebhookSuspension),
    ),
    Gauge("callout_webhooks_failing", "Active webhooks whose latest attempt was not acknowledged."),
    Gauge("callout_webhooks_oldest_failing_seconds", "For how long the longest failing webhook has failed."),
    Gauge(
        "callout_inbound_messages",
        f"Inbound messages of the last hour, by their outcome, without duplicates; up to {COUNTED_MAX}.",
        ("outcome",),
        tuple((outcome.value,) for outcome in InboundOutcome if outcome is not InboundOutcome.DUPLICATE),
    ),
    Gauge(
        "callout_inbound_messages_in_review",
        f"Inbound messages that were kept aside and wait for an admin; up to {COUNTED_MAX}.",
    ),
    Gauge(
        "callout_files_unfinished",
        f"Files that are being uploaded (UPLOADING) or checked (SCANNING); up to {COUNTED_MAX}.",
        ("state",),
        (("UPLOADING",), ("SCANNING",)),
    ),
    Gauge("callout_files_oldest_scanning_seconds", "The age of the oldest file that is being checked."),
    Gauge("callout_files_rejected", f"Files that were rejected in the last hour; up to {COUNTED_MAX}."),
    Gauge("callout_event_log_bytes", "The size of the event log and the audit trail, with indexes.", ("table",), ()),
    Gauge("callout_event_log_rows", "About how many rows these have, by PostgreSQL's statistics.", ("table",), ()),
    Gauge("callout_event_log_oldest_seconds", "The age of the oldest event: how far back histories reach."),
    Gauge("callout_database_connections", "Connections to the database, of all its clients."),
    Gauge("callout_database_connections_max", "How many connections PostgreSQL accepts."),
)

State: TypeAlias = Mapping[str, Mapping[tuple[str, ...], float]]
"""The values of each gauge by its labels."""


class DatabaseState:
    """The gauges above, read by one statement at a time and remembered for `REMEMBER_SECONDS`. One for each process."""

    def __init__(self, database: Queryable) -> None:
        self._database = database
        self._reading: asyncio.Task[dict[str, Any] | None] | None = None
        self._read_at = 0.0

    async def read(self) -> State | None:
        """Returns the state; None if the database has not answered in `ANSWER_SECONDS`."""
        if self._reading is None or (self._reading.done() and monotonic() >= self._read_at + REMEMBER_SECONDS):
            self._read_at = monotonic()
            self._reading = asyncio.create_task(self._read())
        await asyncio.wait({self._reading}, timeout=max(0.0, self._read_at + ANSWER_SECONDS - monotonic()))
        found = self._reading.result() if self._reading.done() else None
        return None if found is None else {gauge.name: dict(_values(gauge, found)) for gauge in GAUGES}

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading}, timeout=ANSWER_SECONDS)

    async def _read(self) -> dict[str, Any] | None:
        try:
            row = await self._database.fetchrow(_STATE)
        except OUTAGE:  # the pool has logged it
            return None
        state: dict[str, Any] = orjson.loads(row[0])
        return state


def _values(gauge: Gauge, found: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    yield from ((labels, 0.0) for labels in gauge.known)
    yield from ((tuple(labels), float(value)) for labels, value in found.get(gauge.name, ()))
