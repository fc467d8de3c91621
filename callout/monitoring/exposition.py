"""The metrics of a process, as prometheus_client writes them: what was counted (`db/metrics.py`), what there is at the
moment, and what the database has (`callout/monitoring/database.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from callout.monitoring.database import GAUGES, DatabaseState, State
from db.events.replicas import Replicas
from db.metrics import COUNTERS, HISTOGRAMS, Counter, Histogram
from db.postgres.pool import Database
from db.postgres.revisions import Code
from pubsub.bell import Bell
from pubsub.connections import Connections
from pubsub.hub import Hub

TRANSPORTS: Final = ("websocket", "event_stream")


@dataclass(frozen=True, slots=True)
class LiveLayer:
    """What a server has of live clients."""

    hub: Hub
    connections: Connections


@dataclass(frozen=True, slots=True)
class Observed:
    """What a process has, to be looked at when it is scraped. `live` is a server's, not that of `callout notify`."""

    database: Database
    bell: Bell
    code: Code
    live: LiveLayer | None = None
    replicas: Replicas | None = None


class Exposition:
    """The metrics of a process as text. One for each process."""

    def __init__(self, observed: Observed, state: DatabaseState) -> None:
        self._state = state
        self._of_database = _OfDatabase()
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(_OfProcess(observed))
        self._registry.register(self._of_database)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Returns the metrics and their media type, that of Prometheus or of OpenMetrics, as the header `Accept`
        asks for. Never raises for a database that cannot be read."""
        encode, media_type = choose_encoder(accept)
        self._of_database.state = await self._state.read()
        return encode(self._registry), media_type


class _OfProcess(Collector):
    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._build = InfoMetricFamily(
            "callout_build",
            "The version of Callout, and the revision of the database that it was written for.",
            {"version": version("callout"), "revision": observed.code.newest},
        )

    def collect(self) -> Iterator[Metric]:
        yield self._build
        yield from map(_counted, COUNTERS)
        yield from map(_observed, HISTOGRAMS)
        if self._observed.live is not None:
            yield from self._live(self._observed.live)
        yield GaugeMetricFamily(
            "callout_bell_connected",
            "Whether processes can wake each other at once.",
            int(self._observed.bell.connected),
        )
        yield from self._pool()
        yield from self._replicas()

    def _live(self, layer: LiveLayer) -> Iterator[Metric]:
        hub = layer.hub
        connections = GaugeMetricFamily(
            "callout_live_connections", "Open WebSockets and event streams.", labels=["transport"]
        )
        messages = GaugeMetricFamily(
            "callout_send_queue_messages", "Messages that wait for clients to read.", labels=["transport"]
        )
        size = GaugeMetricFamily("callout_send_queue_bytes", "The size of these messages.", labels=["transport"])
        longest = GaugeMetricFamily("callout_send_queue_longest", "Messages in the longest queue of one client.")
        there = list(layer.connections.open)
        for transport in TRANSPORTS:
            queues = [each.queue for each in there if each.transport == transport]
            connections.add_metric([transport], len(queues))
            messages.add_metric([transport], sum(map(len, queues)))
            size.add_metric([transport], sum(queue.size for queue in queues))
        longest.add_metric([], max((len(each.queue) for each in there), default=0))
        yield from (connections, messages, size, longest)
        yield GaugeMetricFamily("callout_subscriptions", "Subscriptions that are under way.", hub.subscriptions)
        yield GaugeMetricFamily("callout_groups", "Groups: subscribers of the same messages.", hub.groups)
        yield GaugeMetricFamily("callout_families", "Families: groups that share one statement.", hub.families)
        yield GaugeMetricFamily(
            "callout_tail_lag_seconds",
            "For how long the event log has not been read; 0 without subscriptions. Usually up to a second.",
            hub.lag,
        )

    def _pool(self) -> Iterator[Metric]:
        pool = self._observed.database
        yield GaugeMetricFamily("callout_pool_size", "How many database connections the process may hold.", pool.size)
        yield GaugeMetricFamily("callout_pool_in_use", "Connections that are in use.", pool.in_use)
        yield GaugeMetricFamily("callout_pool_waiting", "Callers that wait for a connection.", pool.waiting)

    def _replicas(self) -> Iterator[Metric]:
        used = GaugeMetricFamily(
            "callout_replica_used", "Whether queries are read from the replica.", labels=["replica"]
        )
        reads = CounterMetricFamily(
            "callout_replica_reads", "Statements that a replica has answered.", labels=["replica"]
        )
        left = CounterMetricFamily(
            "callout_replica_missed", "Reads of the primary because no replica could be had.", labels=[]
        )
        if self._observed.replicas is not None:
            for replica in self._observed.replicas.replicas:
                used.add_metric([replica.name], int(replica.agreed_with > 0 and replica.keeps_up))
                reads.add_metric([replica.name], replica.reads)
            left.add_metric([], self._observed.replicas.left_to_primary)
        yield from (used, reads, left)


class _OfDatabase(Collector):
    state: State | None = None

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "callout_database_up",
            "Whether the database has answered; without an answer, the metrics about it are absent.",
            int(self.state is not None),
        )
        if self.state is not None:
            for gauge in GAUGES:
                family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
                for labels, value in self.state[gauge.name].items():
                    family.add_metric(labels, value)
                yield family


def _counted(counter: Counter) -> Metric:
    family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
    for labels, number in list(counter.values.items()):
        family.add_metric(labels, number)
    return family


def _observed(histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    for labels, buckets in list(histogram.values.items()):
        total, cumulated = 0, []
        for bound, count in zip(bounds, buckets.counts, strict=True):
            total += count
            cumulated.append((bound, float(total)))
        family.add_metric(labels, cumulated, buckets.sum)
    return family
