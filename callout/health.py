"""Health checks for orchestrators, without a token: is the process alive (`/healthz`), and can it serve (`/readyz`)?
`/version` says which version it is."""

from __future__ import annotations

import asyncio
from importlib import metadata
from time import monotonic
from typing import Final

import asyncpg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from callout.http.errors import HttpError
from db.postgres.pool import OUTAGE
from db.postgres.revisions import STATE, Code
from db.postgres.statement import Queryable
from pubsub.bell import Bell

VERSION: Final = metadata.version("callout")
ANSWER_SECONDS = 2.0
REMEMBER_SECONDS = 1.0

# Needs room on the disk of the database's tables: the series exceeds its memory, so PostgreSQL writes it to a file.
_STATE: Final = f"""
SELECT migrated.version_num AS revision, migrated.oldest_code, pg_is_in_recovery() AS standby,
    current_setting('transaction_read_only')::boolean AS read_only
FROM (SELECT set_config('work_mem', '64kB', true) AS memory OFFSET 0) AS small
CROSS JOIN LATERAL (SELECT count(*) FROM generate_series(1, 8000 + 0 * length(memory))) AS spilled
LEFT JOIN ({STATE}) AS migrated ON true"""


class DatabaseUnreachable(HttpError):
    status = 503
    code = "DATABASE_UNREACHABLE"
    default = "The database is not responding."


class DatabaseConnectionsExhausted(HttpError):
    status = 503
    code = "DATABASE_CONNECTIONS_EXHAUSTED"
    default = "The database has no connection left for this server."


class DatabaseNotMigrated(HttpError):
    status = 503
    code = "DATABASE_NOT_MIGRATED"
    default = "The database is at a schema revision with which this version does not work."


class DatabaseReadOnly(HttpError):
    status = 503
    code = "DATABASE_READ_ONLY"
    default = "The database is read-only by its settings."


class DatabaseFull(HttpError):
    status = 503
    code = "DATABASE_FULL"
    default = "The database has no room left on its disk."


BELL_DISCONNECTED: Final = {
    "code": "PUBSUB_UNREACHABLE",
    "message": "The pub/sub server cannot be reached: live changes arrive up to a second late.",
}
STANDBY: Final = "The database is a standby, which accepts no writes until it is promoted."


class Readiness:
    """Checks whether the database can be read and written; one for each process. However many requests come, it runs
    one query at a time and remembers the result for `REMEMBER_SECONDS`."""

    def __init__(self, database: Queryable, code: Code) -> None:
        """`code` says which revisions of the database this version works with."""
        self._database = database
        self._code = code
        self._asking: asyncio.Task[HttpError | None] | None = None
        self._asked_at = 0.0

    async def check(self) -> None:
        """Returns if requests can be served, also those that write; raises one of the errors above otherwise, within
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
            state = await self._database.fetchrow(_STATE)
        except asyncpg.UndefinedTableError:
            state = {"revision": None, "oldest_code": None}
        except asyncpg.TooManyConnectionsError as error:
            return DatabaseConnectionsExhausted(reason=repr(error))
        except asyncpg.DiskFullError as error:
            return DatabaseFull(reason=repr(error))
        except OUTAGE as error:
            return DatabaseUnreachable(reason=repr(error))
        if misfit := self._code.misfit(state["revision"], state["oldest_code"]):
            return DatabaseNotMigrated(f"The database is {misfit}.", reason=misfit)
        if state["standby"]:
            return DatabaseReadOnly(STANDBY)
        return DatabaseReadOnly() if state["read_only"] else None


async def healthz(request: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    readiness: Readiness = request.state.readiness
    await readiness.check()
    bell: Bell = request.state.bell
    if not bell.connected:
        return JSONResponse({"status": "degraded", "problems": [BELL_DISCONNECTED]})
    return JSONResponse({"status": "ready"})


async def version(request: Request) -> Response:
    return JSONResponse({"version": VERSION})


ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/version", version)]
