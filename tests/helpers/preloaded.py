"""The modules of a Callout server, imported once by the process from which the servers are forked."""

from __future__ import annotations

import gc

import anyio._backends._asyncio  # noqa: F401
import httpcore  # noqa: F401
import opentelemetry.trace  # noqa: F401
import uvicorn.lifespan.on
import uvicorn.loops.uvloop  # noqa: F401

from callout import app, cli, serve  # noqa: F401
from db.postgres import embedded, migrate  # noqa: F401
from db.seed import demo  # noqa: F401

gc.freeze()  # otherwise each server's first collection goes through all modules again, and copies their memory
