"""Operations over HTTP with results as server-sent events: the distinct connections mode of graphql-sse."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from callout.auth.authenticator import LEEWAY_SECONDS, mint
from db.enums import Role
from tests.helpers.api import Api, Server
from tests.helpers.graphql_ws_client import CHANGES, WITHIN
from tests.helpers.process import callout_process
from tests.helpers.stress import SECRET, server_of

MUTATION = """
mutation { technicianCreate(input: {name: "Tess", email: "tess@example.com"}) { userErrors { code } } }"""
JSON = {"content-type": "application/json", "accept": "text/event-stream"}


class Stream:
    """The events of one response. `ids` has the ids of those that have one."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.ids: list[str] = []
        self._lines = self._read_lines()

    async def _read_lines(self) -> AsyncIterator[str]:
        """Yields the lines of the response. httpx's own lines would also end at U+2028."""
        text = ""
        async for part in self.response.aiter_text():
            *lines, text = (text + part).split("\n")
            for line in lines:
                yield line

    async def event(self) -> tuple[str, Any]:
        """Returns the next event's name and data, or `("", None)` at the end of the response. Skips comments."""
        name, data = "", ""
        async with asyncio.timeout(WITHIN):
            async for line in self._lines:
                field, _, value = line.partition(":")
                if field == "event":
                    name = value.removeprefix(" ")
                elif field == "id":
                    self.ids.append(value.removeprefix(" "))
                elif field == "data":
                    data += value.removeprefix(" ")
                elif not line and name:
                    return name, orjson.loads(data) if data else None
        return "", None

    async def next(self) -> Any:
        name, data = await self.event()
        assert name == "next", (name, data)
        ((_, value),) = data["data"].items()
        return value

    async def rest(self) -> list[tuple[str, Any]]:
        events = []
        while (event := await self.event())[0]:
            events.append(event)
        return events


@asynccontextmanager
async def streamed(viewer: Api, query: str, **variables: Any) -> AsyncIterator[Stream]:
    body = orjson.dumps({"query": query, "variables": variables})
    async with viewer.http.stream("POST", "/graphql/stream", content=body, headers=JSON) as response:
        yield Stream(response)


@asynccontextmanager
async def following(viewer: Api, filter: Any = None, after: str | None = None) -> AsyncIterator[Stream]:
    async with streamed(viewer, CHANGES, filter=filter, after=after) as stream:
        assert stream.response.status_code == 200
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        if after is None:
            assert (await stream.next())["__typename"] == "StreamReady"
        yield stream


async def test_a_subscription_delivers_events_and_continues_from_its_cursor(api: Api) -> None:
    mine = {"search": "Camera of this stream"}
    async with following(api, mine) as stream:
        ticket = await api.new_ticket(subject="Camera of this stream is blind")
        change = await stream.next()
        assert (change["change"], change["ticketId"]) == ("ENTERED", ticket)
    await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="URGENT")
    async with following(api, mine, change["cursor"]) as stream:
        missed, ready = await stream.next(), await stream.next()
        assert (missed["change"], missed["changedFields"]) == ("UPDATED", ["priority"])
        assert ready["__typename"] == "StreamReady"


async def test_a_client_continues_after_the_id_of_the_last_event(api: Api) -> None:
    """As clients of server-sent events do by themselves: they send the same request again, and `Last-Event-ID`."""
    query = (
        "subscription($after: String) { ticketChanged(after: $after) { __typename ... on TicketChange { ticketId } } }"
    )

    def entered(ticket: str) -> dict[str, str]:
        return {"__typename": "TicketChange", "ticketId": ticket}

    async def continued(last_id: str, **variables: str) -> AsyncIterator[Any]:
        body = {"query": query, "variables": variables}
        headers = {"accept": "text/event-stream", "last-event-id": last_id}
        async with api.http.stream("POST", "/graphql/stream", json=body, headers=headers) as response:
            stream = Stream(response)
            while True:
                yield await stream.next()

    async with streamed(api, query) as stream:
        await stream.next()
        first = await api.new_ticket()
        assert await stream.next() == entered(first)
        ready, change = stream.ids
    second = await api.new_ticket()
    assert await anext(continued(change)) == entered(second)
    assert await anext(continued(change, after=ready)) == entered(second)
    assert await anext(continued("", after=ready)) == entered(first)
    for unknown in ("nonsense", "5", "A" * 200):
        assert await anext(continued(unknown)) == {"__typename": "StreamReset"}


async def test_current_numbers_have_no_id_and_need_none(api: Api) -> None:
    async with streamed(api, "subscription { ticketCountsChanged { all } }") as stream:
        await stream.next()
        assert stream.ids == []
    body = {"query": "subscription { ticketCountsChanged { all } }"}
    async with api.http.stream("POST", "/graphql/stream", json=body, headers=JSON | {"last-event-id": "5"}) as response:
        assert set(await Stream(response).next()) == {"all"}


async def test_line_breaks_in_a_text_stay_within_their_event(api: Api) -> None:
    query = "subscription { ticketChanged { ... on TicketChange { ticket { description } } } }"
    async with streamed(api, query) as stream:
        assert await stream.next() == {}
        await api.new_ticket(description="One\n\ndata: two\nevent: complete\n\nthree\u2028four")
        assert await stream.next() == {
            "ticket": {"description": "One\n\ndata: two\nevent: complete\n\nthree\u2028four"}
        }


async def test_a_query_and_a_mutation_are_answered_and_completed(api: Api) -> None:
    async with streamed(api, "{ me { role } }") as stream:
        assert await stream.rest() == [("next", {"data": {"me": {"role": "ADMIN"}}}), ("complete", None)]
    async with streamed(api, MUTATION) as stream:
        done: Any = {"data": {"technicianCreate": {"userErrors": []}}}
        assert await stream.rest() == [("next", done), ("complete", None)]


@pytest.mark.parametrize(
    ("query", "code"),
    [("{", "GRAPHQL_PARSE_FAILED"), ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
     ('subscription { ticketChanged(filter: {customerId: "cus_1"}) { __typename } }', "BAD_USER_INPUT")],
)  # fmt: skip
async def test_an_operation_that_cannot_be_executed_is_answered_with_an_event(api: Api, query: str, code: str) -> None:
    async with streamed(api, query) as stream:
        assert stream.response.status_code == 200
        (name, data), end = await stream.rest()
    assert (name, data["errors"][0]["extensions"]["code"], end) == ("next", code, ("complete", None))


async def test_a_get_subscribes_and_changes_nothing(api: Api) -> None:
    parameters = {"query": "subscription { ticketCountsChanged { all } }"}
    async with api.http.stream("GET", "/graphql/stream", params=parameters, headers=JSON) as response:
        assert set(await Stream(response).next()) == {"all"}
    assert (await api.http.get("/graphql/stream", params={"query": MUTATION})).status_code == 405
    both = {"query": f"query A {{ me {{ role }} }} {MUTATION.replace('mutation', 'mutation B')}", "operationName": "B"}
    assert (await api.http.get("/graphql/stream", params=both)).status_code == 405
    for parameters in ({"query": "{"}, {"query": "{ me { role } }", "operationName": "Another"}):
        response = await api.http.get("/graphql/stream", params=parameters)
        assert (response.status_code, response.text[:12]) == (200, "event: next\n")
        assert '{"errors":[' in response.text


async def test_unauthorised_and_invalid_requests_are_refused(api: Api) -> None:
    body = {"query": "{ me { role } }"}
    stranger = {"authorization": "Bearer nonsense"}
    assert (await api.http.post("/graphql/stream", json=body, headers=stranger)).status_code == 401
    assert (await api.http.post("/graphql/stream", json=body, headers={"accept": "text/html"})).status_code == 406
    assert (await api.http.post("/graphql/stream", json=[body])).status_code == 400
    assert (await api.http.post("/graphql/stream", content=b"x")).status_code == 415
    assert (await api.http.put("/graphql/stream", json=body)).status_code == 405
    assert (await api.http.post("/graphql/stream", content=b"x" * 2**21, headers=JSON)).status_code == 413


async def test_a_stream_ends_when_its_token_expires_or_its_technician_is_inactive(api: Api, server: Server) -> None:
    technician = await api.new_technician()
    async with api.technician(technician) as viewer, following(viewer) as stream:
        await api.done("technicianUpdate", "technician { id }", technicianId=technician, active=False)
        assert await stream.rest() == []
    token = mint(server.settings, role=Role.ADMIN, subject="brief", name="Brief", ttl=2 - LEEWAY_SECONDS)
    headers = JSON | {"authorization": f"Bearer {token}"}
    body = orjson.dumps({"query": CHANGES})
    async with api.http.stream("POST", "/graphql/stream", content=body, headers=headers) as response:
        brief = Stream(response)
        assert (await brief.next())["__typename"] == "StreamReady"
        assert await brief.rest() == []


async def test_internal_notes_are_not_delivered_to_a_customer(api: Api) -> None:
    customer = await api.new_customer()
    ticket = await api.new_ticket(customerId=customer)
    async with api.customer(customer) as viewer, following(viewer) as stream:
        await api.done("noteAdd", "note { id }", ticketId=ticket, body="They are difficult.")
        await api.done("noteAdd", "note { id }", ticketId=ticket, body="On our way.", internalOnly=False)
        change = await stream.next()
        assert change["kind"] == "NOTE_ADDED"
        await api.done("ticketUpdate", "ticket { id }", ticketId=ticket, priority="LOW")
        assert (await stream.next())["kind"] == "UPDATED"


async def test_each_viewer_is_limited_to_fifty_streams(api: Api) -> None:
    customer = await api.new_customer()
    async with api.customer(customer) as viewer:
        query = {"query": "subscription { ticketCountsChanged { all } }"}
        open_ = [
            await viewer.http.send(viewer.http.build_request("POST", "/graphql/stream", json=query), stream=True)
            for _ in range(51)
        ]
        assert [response.status_code for response in open_] == [200] * 50 + [429]
        for response in open_:
            await response.aclose()


async def test_streams_end_when_the_server_shuts_down(fresh_url: str, tmp_path: Path) -> None:
    with callout_process(tmp_path, database_url=fresh_url, jwt_secret=SECRET) as process:
        async with Api(server_of(process, fresh_url)) as viewer, following(viewer) as stream:
            os.kill(process.pid, signal.SIGTERM)
            assert await stream.rest() == []
