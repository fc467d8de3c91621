"""Health checks for orchestrators, without a token: is the process alive (`/healthz`), and can it serve (`/readyz`)?"""

from __future__ import annotations

import asyncio
from time import monotonic

import asyncpg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from callout.http.errors import HttpError
from db.postgres.pool import OUTAGE
from db.postgres.revisions import STATE, Code
from db.postgres.statement import Queryable

ANSWER_SECONDS = 2.0
REMEMBER_SECONDS = 1.0


class DatabaseUnreachable(HttpError):
    status = 503
    code = "DATABASE_UNREACHABLE"
    default = "The database is not responding."


class DatabaseNotMigrated(HttpError):
    status = 503
    code = "DATABASE_NOT_MIGRATED"
    default = "The database is at a schema revision with which this version does not work."


class Readiness:
    """Checks whether the database can be used; one for each process. However many requests come, it runs one query at a
    time and remembers the result for `REMEMBER_SECONDS`."""

    def __init__(self, database: Queryable, code: Code) -> None:
        """`code` says which revisions of the database this version works with."""
        self._database = database
        self._code = code
        self._asking: asyncio.Task[HttpError | None] | None = None
        self._asked_at = 0.0

    async def check(self) -> None:
        """Returns if the database can be used; raises `DatabaseUnreachable` or `DatabaseNotMigrated` otherwise, within
        `ANSWER_SECONDS`."""
        if self._asking is None or (self._asking.done() and monotonic() >= self._asked_at + REMEMBER_SECONDS):
            self._asked_at = monotonic()
            self._asking = asyncio.create_task(self._ask())
        # Not `wait_for`: it would wait for the cancelled query, and releasing the connection of a server that has gone
        # silent takes longer than `ANSWER_SECONDS`.
        await asyncio.wait({self._asking}, timeout=max(0.0, self._asked_at + ANSWER_SECONDS - monotonic()))
        problem = self._asking.result() if self._asking.done() else DatabaseUnreachable(reason="timed out")
        if problem is not None:
            raise problem.with_traceback(None)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking}, timeout=ANSWER_SECONDS)

    async def _ask(self) -> HttpError | None:
        try:
            state = await self._database.fetchrow(STATE)
        except asyncpg.UndefinedTableError:
            state = None
        except OUTAGE as error:
            return DatabaseUnreachable(reason=repr(error))
        misfit = self._code.misfit(*(state or (None, None)))
        return DatabaseNotMigrated(f"The database is {misfit}.", reason=misfit) if misfit else None


async def healthz(request: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    readiness: Readiness = request.state.readiness
    await readiness.check()
    return JSONResponse({"status": "ready"})


ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz)]
