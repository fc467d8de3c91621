"""`/metrics`: what a scrape says of what clients have done."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import callout.app  # noqa: F401 (it declares all metrics)
from callout.monitoring.exposition import TRANSPORTS
from callout.monitoring.operations import NAMES_OF_VIEWER
from db.enums import Role
from db.metrics import COUNTERS, HISTOGRAMS, Counter, Histogram
from tests.helpers.api import Api, Refusal, Server
from tests.helpers.attached_files import attach
from tests.helpers.dashboard import definition, expressions, files
from tests.helpers.graphql_ws_client import following, live
from tests.helpers.inbound_mail import message
from tests.helpers.metrics import WITHIN, Metrics, Scrape
from tests.helpers.paths import ROOT
from tests.helpers.process import free_port, free_ports
from tests.helpers.stress import server_of, server_process
from tests.live.test_event_stream import following as streaming

TOKEN = "read-the-metrics-1"
LIST = "query FindArticles($text: String) { articles(first: 3, search: $text) { nodes { problem } } }"


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"metrics_port": str(free_port()), "budget_service": "10"}


@pytest.fixture
def metrics(server: Server, server_settings: dict[str, str]) -> Metrics:
    return Metrics(int(server_settings["metrics_port"]))


# What was counted


async def test_operations_are_counted_and_timed_by_their_name_and_outcome(api: Api, metrics: Metrics) -> None:
    before = await metrics.scrape()
    for _ in range(3):
        await api(LIST)
    async with api.customer(await api.new_customer()) as customer:
        await customer(LIST)
    with pytest.raises(Refusal):
        await api(LIST, text="x" * 100_000)
    after = await metrics.scrape()

    def more(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert more("callout_operations_total", operation="FindArticles", role="ADMIN", outcome="OK") == 3
    assert more("callout_operations_total", operation="FindArticles", role="CUSTOMER", type="query") == 1
    assert more("callout_operations_total", operation="FindArticles", outcome="BAD_USER_INPUT") == 1
    assert more("callout_operations_total", operation="anonymous", type="mutation", outcome="OK") == 1
    assert more("callout_operation_seconds_count", operation="FindArticles", succeeded="true") == 4
    assert more("callout_operation_seconds_count", operation="FindArticles", succeeded="false") == 1
    assert 0 < more("callout_operation_seconds_sum", operation="FindArticles", succeeded="true") < 4 * 10
    assert more("callout_operation_seconds_bucket", operation="FindArticles", succeeded="true", le="+Inf") == 4
    assert more("callout_http_responses_total", route="graphql", status="200") == 5
    assert more("callout_http_responses_total", route="graphql", status="400") == 1
    assert more("callout_statement_compile_seconds_count") >= 2  # for each role
    assert more("callout_document_read_seconds_count") == 2
    assert more("callout_database_seconds_count") >= 5
    assert more("callout_database_wait_seconds_count") == more("callout_database_seconds_count")


async def test_the_operations_of_a_batch_are_counted_one_by_one(api: Api, metrics: Metrics) -> None:
    before = await metrics.scrape()
    batch = [{"query": "query First { __typename }"}, {"query": LIST}, {"query": "query Bad { nothing }"}]
    assert (await api.http.post("/graphql", json=batch)).status_code == 200
    after = await metrics.scrape()
    name = "callout_operations_total"
    assert after.sum(name, operation="First", type="query", role="ADMIN", outcome="OK") == 1
    assert after.sum(name, operation="FindArticles", outcome="OK") == 1 + before.sum(
        name, operation="FindArticles", outcome="OK"
    )
    assert after.sum(name, type="batch") == 1 + before.sum(name, type="batch")
    assert not [label for label in after.labels(name, "operation") if "," in label]


async def test_requests_without_a_valid_token_have_no_operation(api: Api, metrics: Metrics) -> None:
    before = await metrics.scrape()
    response = await api.http.post("/graphql", json={"query": LIST}, headers={"authorization": "Bearer x"})
    assert response.status_code == 401
    after = await metrics.scrape()
    refused = {"outcome": "UNAUTHENTICATED", "operation": "anonymous", "role": "", "type": ""}
    name = "callout_operations_total"
    assert after.sum(name, **refused) == before.sum(name, **refused) + 1


async def test_a_viewer_cannot_fill_the_metrics_with_names(api: Api, metrics: Metrics) -> None:
    own = NAMES_OF_VIEWER[Role.CUSTOMER]
    invented = [f"Invented{number}" for number in range(own + 30)]
    async with api.customer(await api.new_customer()) as customer:
        for name in invented:
            await customer(f"query {name} {{ __typename }}")
    with pytest.raises(Refusal):
        await api("query NeverRan { tickets { nodes { noSuchField } } }")
    after = await metrics.scrape()
    shown = after.labels("callout_operations_total", "operation")
    assert len(shown & set(invented)) == own
    assert after.sum("callout_operations_total", operation="other", role="CUSTOMER") == 30
    assert "NeverRan" not in after.text


async def test_variables_and_names_of_people_are_in_no_metric(api: Api, metrics: Metrics) -> None:
    await api(LIST, text="swordfish")
    await api.http.get("/files/swordfish/swordfish?signature=swordfish")
    await api.http.get("/swordfish")
    after = await metrics.scrape()
    assert "swordfish" not in after.text
    assert "boss" not in after.text
    assert after.labels("callout_http_responses_total", "route") >= {"graphql", "files", "other"}


async def test_refusals_of_the_budget_are_counted(api: Api, metrics: Metrics) -> None:
    before = await metrics.scrape()
    async with api.service() as service:
        with pytest.raises(Refusal, match="LIMIT_EXCEEDED"):
            await service("query TooMuch { tickets(first: 100) { nodes { history(first: 50) { nodes { kind } } } } }")
        with pytest.raises(Refusal, match="RATE_LIMITED"):
            for _ in range(100):
                await service("query ABit { articles(first: 1) { nodes { problem } } }")
    after = await metrics.scrape()
    for reason, times in {"too_expensive": 1, "points": 1, "requests": 0}.items():
        name = "callout_budget_refusals_total"
        assert after.sum(name, reason=reason) - before.sum(name, reason=reason) == times
    assert after.sum("callout_operations_total", role="SERVICE", outcome="RATE_LIMITED") == 1


# What there is


async def test_live_connections_and_subscriptions_are_counted_while_they_last(api: Api, metrics: Metrics) -> None:
    technician = await api.new_technician()

    def open_(scrape: Scrape) -> tuple[float, ...]:
        connections = (scrape.sum("callout_live_connections", transport=each) for each in TRANSPORTS)
        return (*connections, *map(scrape.sum, ("callout_subscriptions", "callout_groups", "callout_families")))

    before = await metrics.until(lambda scrape: open_(scrape) == (0, 0, 0, 0, 0))
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(following(api))
        await stack.enter_async_context(following(api, {"status": ["OPEN"]}))
        mine = await stack.enter_async_context(api.technician(technician))
        stream = await stack.enter_async_context(streaming(mine))
        found = await metrics.until(lambda scrape: open_(scrape) == (3, 1, 4, 3, 2))
        assert found["callout_tail_lag_seconds"] < 30
        await api.new_ticket(technicianId=technician)
        assert (await stream.next())["change"] == "ENTERED"
        after = await metrics.until(
            lambda scrape: scrape["callout_messages_delivered_total"] >= before["callout_messages_delivered_total"] + 4
        )
        assert after["callout_tail_delay_seconds_count"] > before["callout_tail_delay_seconds_count"]
        assert after["callout_send_queue_messages"] == after["callout_send_queue_bytes"] == 0
    await metrics.until(lambda scrape: open_(scrape) == (0, 0, 0, 0, 0))


async def test_operations_over_sockets_are_counted_too(api: Api, metrics: Metrics) -> None:
    async with live(api) as socket:
        await socket.subscribe("1", "query OverASocket { tickets(first: 1) { totalCount } }")
        assert (await socket.next())["totalCount"] >= 0
        assert (await socket.receive())["type"] == "complete"
        await socket.subscribe("2", "subscription Follows { ticketChanged { ... on StreamReady { cursor } } }")
        assert (await socket.next())["cursor"]
        await socket.send(id="2", type="complete")
        after = await metrics.until(lambda scrape: scrape.sum("callout_operations_total", operation="Follows") == 1)
    assert after.sum("callout_operations_total", operation="OverASocket", type="query", outcome="OK") == 1
    assert after.sum("callout_operation_seconds_count", operation="OverASocket") == 1
    assert after.of("callout_operation_seconds_count", operation="Follows") == {}


async def test_resets_are_counted_by_reason_and_replays_by_their_depth(api: Api, metrics: Metrics) -> None:
    before = await metrics.scrape()
    cursor = (await api("{ tickets(first: 1) { streamCursor } }"))["tickets"]["streamCursor"]
    for _ in range(3):
        await api.new_ticket()
    async with following(api, after=cursor) as socket:
        kinds = [(await socket.next())["__typename"] for _ in range(4)]
    assert kinds == ["TicketChange"] * 3 + ["StreamReady"]
    async with following(api, after="nonsense") as socket:
        assert (await socket.next())["reason"] == "CURSOR_UNKNOWN"
    await api('{ ticketEvents(after: "nonsense") { reset } }')
    after = await metrics.scrape()
    resets = {
        reason: after.sum("callout_stream_resets_total", reason=reason)
        - before.sum("callout_stream_resets_total", reason=reason)
        for reason in after.labels("callout_stream_resets_total", "reason")
    }
    assert resets == {"CURSOR_UNKNOWN": 2, "CURSOR_EXPIRED": 0, "OVERFLOW": 0}
    assert after["callout_replay_events_count"] == before["callout_replay_events_count"] + 1
    assert after["callout_replay_events_sum"] == before["callout_replay_events_sum"] + 3
    assert after.sum("callout_replay_events_bucket", le="1.0") == before.sum("callout_replay_events_bucket", le="1.0")


async def test_the_queue_the_mail_and_the_files_of_the_whole_database_are_shown(api: Api, metrics: Metrics) -> None:
    """This server sends no notifications."""
    await api.done("supportSettingsUpdate", "__typename", adminRecipients=["boss@example.com"])
    ticket = await api.new_ticket()
    kept_aside = base64.b64encode(message("", "No sender.")).decode()
    payload = await api.done("inboundEmailIngest", "outcome", message={"encoded": kept_aside})
    assert payload["outcome"] == "KEPT_ASIDE"
    await attach(api, b"%PDF-1.7 hello", ticketId=ticket)
    after = await metrics.until(lambda scrape: scrape["callout_inbound_messages_in_review"] == 1)
    assert after.sum("callout_deliveries_waiting", channel="EMAIL", state="PENDING") >= 1
    assert after.sum("callout_deliveries_waiting", channel="GOOGLE_CHAT") == 0
    assert 0 < after.sum("callout_deliveries_oldest_seconds", channel="EMAIL") < 600
    assert after.sum("callout_inbound_messages", outcome="KEPT_ASIDE") == 1
    assert after["callout_files_unfinished"] <= 1
    assert after.sum("callout_event_log_bytes", table="ticket_events") > 8192
    assert 0 < after["callout_event_log_oldest_seconds"] < 600
    assert after["callout_database_connections"] >= 1
    assert after["callout_pool_size"] == 10
    assert 0 <= after["callout_pool_in_use"] <= 10


async def test_a_scrape_succeeds_while_the_database_is_away(
    api: Api, metrics: Metrics, server: Server, postgres: str
) -> None:
    name = urlsplit(server.database_url).path.strip("/")
    other = await asyncpg.connect(urlsplit(postgres)._replace(path="/postgres").geturl())
    try:
        assert (await metrics.scrape())["callout_database_up"] == 1
        await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        away = await metrics.until(lambda scrape: scrape["callout_database_up"] == 0)
        assert "callout_deliveries_waiting" not in away.types
        assert away["callout_http_responses_total"] > 0
    finally:
        await other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await other.close()
    back = await metrics.until(lambda scrape: scrape["callout_database_up"] == 1)
    assert "callout_deliveries_waiting" in back.types


# The port


async def test_every_metric_has_its_place_also_before_anything_happens(metrics: Metrics) -> None:
    found = set((await metrics.scrape()).types)
    declared = {each.name for each in COUNTERS} | {each.name for each in HISTOGRAMS}
    assert declared <= found
    assert {name for name in found if not name.startswith(("callout_", "process_", "python_"))} == set()


async def test_each_metric_and_alert_is_documented(metrics: Metrics) -> None:
    page = (ROOT / "docs/watching.md").read_text()
    named = {name.removesuffix("_total").removesuffix("_info") for name in re.findall(r"callout_[a-z_]+[a-z]", page)}
    found = {name.removesuffix("_info") for name in (await metrics.scrape()).types if name.startswith("callout_")}
    assert found - named == set()
    assert named - found <= {"callout"}
    assert {alert["name"] for alert in definition()["alert"]} == set(re.findall(r"`(Callout\w+)`", page))


def test_the_dashboard_and_the_alerts_are_those_of_their_definition() -> None:
    for path, text in files().items():
        assert path.read_text() == text, f"{path.name} is out of date: run `make dashboard`"


async def test_each_metric_and_label_of_the_dashboard_and_the_alerts_exists(metrics: Metrics) -> None:
    found = await metrics.scrape()
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    names = {name + suffix for name, type_ in found.types.items() for suffix in suffixes.get(type_, ("",))}
    labels = {label for _, pairs in found.values for label, _ in pairs} | {"replica"}  # this server has none
    declared: list[Counter | Histogram] = [*COUNTERS, *HISTOGRAMS]
    labels |= {label for each in declared for label in each.labels}
    used = list(expressions())
    assert {name for each in used for name in re.findall(r"\b(?:callout|process)_\w+", each)} - names == set()
    of_labels = [re.findall(r"(\w+)(?:=~|!~|!=|=)\"", each) for each in used]
    of_labels += [re.split(r", *", listed) for each in used for listed in re.findall(r"by \(([^)]*)\)", each)]
    assert {label for listed in of_labels for label in listed} - labels == {"job", "instance"}  # Prometheus' own


async def test_openmetrics_is_written_for_those_that_accept_it(metrics: Metrics) -> None:
    response = await metrics.get(accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = text_string_to_metric_families(response.text)  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"callout_operations", "callout_build", "callout_database_up"} <= names


async def test_the_public_port_has_no_metrics_and_the_other_one_nothing_else(api: Api, metrics: Metrics) -> None:
    for path in ("/metrics", "/metrics/", "/graphql/metrics"):
        assert (await api.http.get(path)).status_code == 404
    base = metrics.url.removesuffix("/metrics")
    async with httpx.AsyncClient(base_url=base, headers=api.http.headers, trust_env=False, verify=False) as client:
        for path in ("/", "/graphql", "/healthz", "/metrics/", "/files/x/original"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/graphql", json={"query": LIST})).status_code == 404
        assert (await client.post("/metrics")).status_code == 405
        head = await client.head("/metrics")
        assert (head.status_code, head.text) == (200, "")


@asynccontextmanager
async def serving(directory: Path, url: str, **settings: str) -> AsyncIterator[Api]:
    starting = server_process(directory, url, **settings)
    process = await asyncio.to_thread(starting.__enter__)
    try:
        async with Api(server_of(process, url)) as api:
            yield api
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)


async def test_each_process_has_a_port_whose_sums_are_right_and_a_token_that_opens_it(
    tmp_path: Path, fresh_url: str
) -> None:
    port = free_ports(2)
    settings = {"workers": "2", "metrics_port": str(port), "metrics_token": TOKEN}
    async with serving(tmp_path, fresh_url, **settings) as api:
        both = [Metrics(port), Metrics(port + 1)]
        for metrics in both:
            await metrics.listening()
            assert (await metrics.get()).status_code == 401
            assert (await metrics.get(authorization="Bearer wrong")).status_code == 401

        async def asked() -> None:
            async with Api(api.server) as client:
                await client(LIST)

        await asyncio.gather(*(asked() for _ in range(30)))
        scrapes = [await metrics.scrape(authorization=f"Bearer {TOKEN}") for metrics in both]
        counts = [scrape.sum("callout_operations_total", operation="FindArticles") for scrape in scrapes]
        assert sum(counts) == 30
        assert all(scrape["callout_database_up"] == 1 for scrape in scrapes)


async def slow_line(server: Server) -> dict[str, Any]:
    """Returns the first line about a slow operation, once it is there."""
    deadline = time.monotonic() + WITHIN
    while not (lines := server.process.records("callout.slow")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return lines[0]


async def test_a_slow_operation_is_logged_without_its_variables(tmp_path: Path, fresh_url: str) -> None:
    async with serving(tmp_path, fresh_url, slow_operation_ms="1") as api:
        await api(LIST, text="swordfish")
        line = await slow_line(api.server)
        assert (line["operation"], line["type"], line["role"], line["outcome"]) == (
            "FindArticles",
            "query",
            "ADMIN",
            "OK",
        )
        assert line["preparingMs"] + line["databaseMs"] + line["waitingMs"] <= line["ms"]
        assert min(line["preparingMs"], line["databaseMs"]) > 0
        assert len(line["document"]) == 64
        assert line["cost"] > 0
        assert "swordfish" not in api.server.process.log()
