"""Tickets for `EventSource`, which cannot send an `Authorization` header: a page gets one with its token, and puts it
into the URL of `/graphql/stream`.

A ticket is the token itself, sealed, so that its stream ends when the token expires or is revoked. URLs end up in logs
of proxies and in histories of browsers. So it is valid for seconds, and works once: the database keeps its id once it
has been used. All servers of a database seal with the same key.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import insert
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from callout.auth.authenticator import Authenticator
from callout.http.context import request_of
from callout.http.errors import AuthenticationUnavailable, Unauthenticated
from callout.http.request import MethodNotAllowed, headers_of, send_methods
from db import models
from db.events.seal import Seal
from db.postgres.pool import OUTAGE
from db.postgres.statement import Queryable, Statement
from db.sql import table

VALID_SECONDS: Final = 30

_METHODS: Final = "OPTIONS, POST"

_USED = table(models.UsedStreamTicketRow)
_USE = Statement(
    insert(_USED)
    .values({column.name: bindparam(column.name, type_=column.type) for column in _USED.c})
    .on_conflict_do_nothing()
    .returning(_USED.c.id)
)


class StreamTickets:
    """Issues and redeems the tickets of one database, which its event log's identity stands for."""

    def __init__(self, log_identity: str, database: Queryable) -> None:
        self._seal = Seal("stream ticket 1", log_identity)
        self._database = database

    def issue(self, authorization: str) -> str:
        """Returns a ticket, valid for `VALID_SECONDS`, in place of this `Authorization` header."""
        return self._seal.seal(f"{uuid.uuid4()} {int(time.time()) + VALID_SECONDS} {authorization}")

    async def redeem(self, ticket: str) -> str:
        """Returns the `Authorization` header that the ticket stands for. Raises `Unauthenticated` if it is none of
        ours, has expired or was used before, and `AuthenticationUnavailable` if the database cannot say so now."""
        content = self._seal.open(ticket)
        if content is None:
            raise Unauthenticated("The stream ticket is not valid.")
        id_, expires_at, authorization = content.split(" ", 2)
        if int(expires_at) < time.time():
            raise Unauthenticated("The stream ticket has expired.")
        try:
            used = await _USE.fetchval(self._database, id=id_, expires_at=datetime.fromtimestamp(int(expires_at), UTC))
        except OUTAGE as error:
            raise AuthenticationUnavailable from error
        if used is None:
            raise Unauthenticated("The stream ticket was used before; get a new one.")
        return authorization


class TicketOffice:
    """The ASGI application at `/graphql/stream/ticket`, which gives a viewer a ticket."""

    def __init__(self, authenticator: Authenticator, tickets: StreamTickets) -> None:
        self._authenticator = authenticator
        self._tickets = tickets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await send_methods(send, _METHODS)
            return
        if scope["method"] != "POST":
            raise MethodNotAllowed("Use POST.", allow=_METHODS)
        authorization = headers_of(scope).authorization
        request_of(scope).viewer = await self._authenticator.authenticate(authorization)
        assert authorization is not None
        answer = {"streamTicket": self._tickets.issue(authorization), "validSeconds": VALID_SECONDS}
        await JSONResponse(answer)(scope, receive, send)
