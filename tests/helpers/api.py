"""A client of the API for tests, which also creates the objects that most tests start with."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from callout.auth.authenticator import mint
from callout.settings import Settings
from db.enums import Role
from schema import graphql_schema, schema
from tests.helpers.posting import Poster
from tests.helpers.process import Process
from tests.helpers.response_checker import departures

SCHEMA = graphql_schema(schema)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """A running server: its URL, settings, database and process."""

    url: str
    settings: Settings
    database_url: str
    process: Process


class Refusal(Exception):
    """The response has errors. `codes` are their codes, `response` is the whole response."""

    def __init__(self, response: dict[str, Any]) -> None:
        super().__init__(str(response["errors"]))
        self.response = response
        self.codes = [error["extensions"]["code"] for error in response["errors"]]


class Api:
    """A viewer's client. Call it with a document and variables: it returns `data`, or raises `Refusal`."""

    def __init__(
        self,
        server: Server,
        role: Role = Role.ADMIN,
        subject: str = "boss",
        name: str = "The Boss",
        claims: Mapping[str, object] | None = None,
    ) -> None:
        self.server, self.role, self.subject = server, role, subject
        token = mint(server.settings, role=role, subject=subject, name=name, ttl=3600, claims=claims)
        headers = {"authorization": f"Bearer {token}"}
        # Reading certificates takes each client 60 ms, and plain HTTP needs none.
        self.http = httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, trust_env=False, verify=False)
        self._poster = Poster(httpx.URL(f"{server.url}/graphql"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        self._poster.close()
        await self.http.aclose()

    async def __call__(self, document: str, **variables: Any) -> Any:
        response = await self.respond(document, variables)
        if "errors" in response:
            raise Refusal(response)
        return response["data"]

    async def respond(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns the whole response, after checking its data against the schema."""
        body = {"query": document, "variables": variables}
        response: dict[str, Any] = await self._poster.post(body, self.http.headers)
        if response.get("data") is not None:
            assert departures(SCHEMA, document, variables or {}, response["data"]) == []
        return response

    async def seen(self, document: str, **variables: Any) -> Any:
        """Like a call, for objects by their ids of which some may not be there for the viewer: returns `data`, after
        checking that each of its errors is about one of these, which is null."""
        response = await self.respond(document, variables)
        for error in response.get("errors", ()):
            assert error["extensions"]["code"] == "NOT_FOUND", response
            assert error["message"] == "There is no such object, or you cannot see it."
            value = response["data"]
            for key in error["path"]:
                value = value[key]
            assert value is None
        return response["data"]

    async def do(self, mutation: str, selection: str, **input: Any) -> Any:
        """Runs `mutation(input: …)`. Returns its payload, with `userErrors` besides the selection. A service's ticket
        gets the idempotency key that it needs, unless the input says something about it."""
        conversation = (input.get("chat") or {}).get("conversationId") or ""
        if self.role is Role.SERVICE and mutation == "ticketCreate" and not conversation.strip():
            input.setdefault("idempotencyKey", f"request {next(_numbers)}")
        type_ = mutation[0].upper() + mutation[1:] + "Input"
        errors = "userErrors { code field message }"
        document = f"mutation($input: {type_}!) {{ {mutation}(input: $input) {{ {selection} {errors} }} }}"
        return (await self(document, input=input))[mutation]

    async def done(self, mutation: str, selection: str, **input: Any) -> Any:
        """Like `do`, and fails if there are user errors."""
        payload = await self.do(mutation, selection, **input)
        assert payload["userErrors"] == []
        return payload

    async def refused(self, mutation: str, selection: str = "__typename", **input: Any) -> list[tuple[str, str]]:
        """Like `do`, for a mutation that must fail. Returns its user errors as (code, field path after `input.`)."""
        payload = await self.do(mutation, selection, **input)
        assert payload["userErrors"]
        return [(error["code"], ".".join(error["field"][1:])) for error in payload["userErrors"]]

    # Other viewers

    def technician(self, technician_id: str) -> Api:
        return Api(self.server, Role.TECHNICIAN, technician_id, "Technician")

    def customer(self, customer_id: str) -> Api:
        return Api(self.server, Role.CUSTOMER, customer_id, "Customer")

    def service(self, subject: str = "chatbot") -> Api:
        return Api(self.server, Role.SERVICE, subject, "Chatbot")

    def with_token(self, token: str) -> Api:
        """A client that shows this token or API key."""
        viewer = Api(self.server)
        viewer.http.headers["authorization"] = f"Bearer {token}"
        return viewer

    async def with_new_key(self, **given: Any) -> Api:
        """A client that shows a new API key."""
        return self.with_token((await self.done("apiKeyCreate", "secret", **{"name": "A service"} | given))["secret"])

    # Test data. Values that are not passed are random, so that they are unique.

    async def new_customer(self, **given: Any) -> str:
        n = next(_numbers)
        values = {"name": f"Customer {n}", "email": f"customer{n}@example.com", "accountNumber": f"C-{n:06}"} | given
        return str((await self.done("customerCreate", "customer { id }", **values))["customer"]["id"])

    async def new_property(self, customer_id: str, **given: Any) -> str:
        n = next(_numbers)
        values = {"customerId": customer_id, "address": f"{n} Elm Street", "accountNumber": f"P-{n:06}"} | given
        return str((await self.done("propertyCreate", "property { id }", **values))["property"]["id"])

    async def new_technician(self, **given: Any) -> str:
        n = next(_numbers)
        values = {"name": f"Technician {n}", "email": f"technician{n}@example.com"} | given
        return str((await self.done("technicianCreate", "technician { id }", **values))["technician"]["id"])

    async def new_ticket(self, **given: Any) -> str:
        values = {"subject": "Alarm panel beeping", "description": "Since the power outage."} | given
        if "customerId" not in values and "contact" not in values:
            values["contact"] = {"name": "John Smith", "email": "john@example.com"}
        return str((await self.done("ticketCreate", "ticket { id }", **values))["ticket"]["id"])
