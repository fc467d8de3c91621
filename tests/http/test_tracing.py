"""Spans of OpenTelemetry, as a collector receives them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.graphql_ws_client import live
from tests.helpers.metrics import Metrics
from tests.helpers.otlp import Collector, Span, collector
from tests.helpers.process import free_port

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
LIST = "query FindArticles($text: String) { articles(first: 3, search: $text) { nodes { problem } } }"


@pytest.fixture(scope="module")
def exported() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def server_settings(exported: Collector) -> Iterator[dict[str, str]]:
    """OpenTelemetry's own variables are read by the server from its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", exported.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield {"tracing": "true", "metrics_port": str(free_port())}


async def found(exported: Collector, name: str) -> Span:
    return await asyncio.to_thread(exported.wait_for, name)


async def test_an_operation_is_a_span_in_its_clients_trace_with_its_statements_below(
    api: Api, exported: Collector
) -> None:
    response = await api.http.post(
        "/graphql",
        json={"query": LIST, "variables": {"text": "swordfish"}},
        headers={"traceparent": TRACEPARENT, "baggage": "secret=swordfish"},
    )
    assert "errors" not in response.json()
    span = await found(exported, "query FindArticles")
    assert (span.trace_id, span.parent_id) == (TRACE, PARENT)
    assert span.attributes["graphql.operation.name"] == "FindArticles"
    assert span.attributes["graphql.operation.type"] == "query"
    assert (span.attributes["callout.role"], span.attributes["callout.outcome"]) == ("ADMIN", "OK")
    assert isinstance(cost := span.attributes["callout.cost"], float)
    assert cost > 0
    below = exported.below(span)
    assert {each.name for each in below} == {"PostgreSQL"}
    assert {each.trace_id for each in below} == {TRACE}
    assert sum(each.seconds for each in below) <= span.seconds
    assert b"swordfish" not in exported.raw
    assert b"boss" not in exported.raw


def logged(api: Api, operation: str) -> list[dict[str, Any]]:
    return [line for line in api.server.process.records("callout.access") if line.get("operation") == operation]


async def test_a_trace_is_in_the_log_and_in_the_response_to_those_who_ask(api: Api, exported: Collector) -> None:
    body = {"query": "query Asks { __typename }", "extensions": {"trace": True, "cost": True}}
    answer = (await api.http.post("/graphql", json=body)).json()
    span = await found(exported, "query Asks")
    assert answer["extensions"]["traceId"] == span.trace_id
    assert answer["extensions"]["cost"]["requested"] > 0
    silent = (await api.http.post("/graphql", json={"query": "query Asks { __typename }"})).json()
    assert "extensions" not in silent
    async with asyncio.timeout(20):
        while not (lines := logged(api, "Asks")):  # noqa: ASYNC110 (the log is a file)
            await asyncio.sleep(0.05)
    assert lines[0]["traceId"] == span.trace_id


async def test_a_client_that_samples_nothing_gets_no_trace(api: Api) -> None:
    body = {"query": "query Unsampled { __typename }", "extensions": {"trace": True}}
    headers = {"traceparent": TRACEPARENT.removesuffix("1") + "0"}
    assert "extensions" not in (await api.http.post("/graphql", json=body, headers=headers)).json()


@pytest.mark.parametrize("given", ["", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5_000, "00-zz-zz-01", "\xff"])
async def test_a_broken_traceparent_starts_a_trace_of_its_own(api: Api, exported: Collector, given: str) -> None:
    name = f"Broken{len(given)}{given[:1].encode().hex()}"
    headers = {b"traceparent": given.encode("latin-1")}
    response = await api.http.post("/graphql", json={"query": f"query {name} {{ __typename }}"}, headers=headers)
    assert response.status_code == 200
    span = await found(exported, f"query {name}")
    assert span.parent_id == ""


async def test_a_refused_operation_has_its_code_and_only_our_faults_are_errors(api: Api, exported: Collector) -> None:
    await api.http.post("/graphql", json={"query": "query Refused { nothing }"})
    span = await found(exported, "GraphQL Operation")
    assert (span.attributes["error.type"], span.is_error) == ("GRAPHQL_VALIDATION_FAILED", False)


async def test_operations_over_a_socket_have_a_span_each(api: Api, exported: Collector) -> None:
    async with live(api, additional_headers={"traceparent": TRACEPARENT}) as socket:
        await socket.subscribe("1", "query OverASocket { tickets(first: 1) { totalCount } }")
        await socket.next()
        await socket.receive()
        await socket.subscribe("2", "subscription Follows { ticketChanged { ... on StreamReady { cursor } } }")
        await socket.next()
    query, subscription = await found(exported, "query OverASocket"), await found(exported, "subscription Follows")
    assert query.trace_id == subscription.trace_id == TRACE
    assert query.parent_id == subscription.parent_id == PARENT
    assert [each.name for each in exported.below(query)] == ["PostgreSQL"]


async def test_a_test_message_is_a_span_below_its_mutation(api: Api, exported: Collector) -> None:
    url = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=swordfish&token=swordfish"
    await api.done("supportSettingsUpdate", "__typename", googleChatWebhookUrl=url)
    document = """mutation Tries { supportSettingsTest(input: {channel: GOOGLE_CHAT}) { userErrors { code } } }"""
    await api(document)
    mutation = await found(exported, "mutation Tries")
    (delivery,) = [each for each in exported.below(mutation) if each.name == "deliver GOOGLE_CHAT"]
    assert delivery.attributes == {"callout.channel": "GOOGLE_CHAT"}
    assert b"swordfish" not in exported.raw


async def test_background_work_makes_no_spans_of_its_own(
    api: Api, exported: Collector, server_settings: dict[str, str]
) -> None:
    """Servers read the queue, the counts and the event log every second or two."""
    metrics = Metrics(int(server_settings["metrics_port"]))
    before = await metrics.scrape()
    await metrics.until(
        lambda scrape: scrape["callout_database_seconds_count"] > before["callout_database_seconds_count"] + 2
    )
    await api("query Later { __typename }")
    await found(exported, "query Later")  # spans are exported in order
    roots = {span.name for span in exported.spans if not span.parent_id}
    assert "PostgreSQL" not in roots


@pytest.mark.parametrize("path", ["/graphql", "/graphql/stream"])
async def test_a_stranger_neither_names_a_trace_nor_hides_it(api: Api, exported: Collector, path: str) -> None:
    """Nor does one choose what is recorded where the sampler takes only a part."""
    hidden = TRACEPARENT.removesuffix("1") + "0"
    before = len([each for each in exported.spans if each.name == "GraphQL Operation"])
    for headers in ({"traceparent": TRACEPARENT}, {"traceparent": hidden}):
        signed = headers | {"authorization": "Bearer nobody"}
        assert (await api.http.post(path, json={"query": "{ __typename }"}, headers=signed)).status_code == 401
    name = f"After{len(path)}"
    await api(f"query {name} {{ __typename }}")
    await found(exported, f"query {name}")  # spans are exported in order
    spans = [each for each in exported.spans if each.name == "GraphQL Operation"][before:]
    assert [(each.parent_id, each.attributes["error.type"]) for each in spans] == [("", "UNAUTHENTICATED")] * 2
    assert TRACE not in {each.trace_id for each in spans}
