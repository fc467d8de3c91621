"""`callout serve`: runs the server processes; in development also the database, with a greeting on the terminal."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from time import sleep

import asyncpg
import click
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from callout import logs
from callout.auth import tokens
from callout.auth.tokens import Credential
from callout.database import is_empty, migrated_database
from callout.http.server import BoundedProtocol, FramingProtocol
from callout.settings import Settings, file_variable, variable
from db.enums import Role
from db.seed import demo as seed

logger = logging.getLogger(__name__)

APP = "callout.serve:create_app_of_process"
BACKLOG = 2048  # connections that may wait to be accepted
SHUTDOWN_SECONDS = 10  # for the requests under way
WORKER_SECONDS = 60  # without a response, after which a worker is replaced: on a loaded machine it imports for long
WEBSOCKET_MESSAGE_MAX = 2**20  # bytes
UNSENT_SECONDS = 6  # after which the system closes a connection whose peer acknowledges nothing
KEEP_ALIVE_SECONDS = 75  # longer than a load balancer's, so that the server never hangs up first

_CURL = """\
curl -sS -w '\\n' {url} \\
  -H 'Content-Type: application/json' \\
  -H 'Authorization: Bearer {token}' \\
  -d '{{"query": "{{ tickets(first: 3) {{ totalCount nodes {{ reference subject status priority }} }} }}"}}'\
"""


def serve(settings: Settings) -> None:
    """Serves until Ctrl-C or SIGTERM, then finishes the requests under way.

    In development the database is migrated first, and the embedded one is filled with a demo company if it is empty.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        logs.configure(settings)
        if settings.database_url is None:
            click.echo("Starting PostgreSQL", err=True)  # on the first run it takes some seconds
        url = stack.enter_context(migrated_database(settings, wait=settings.database_wait))
        greet: Callable[[], None] | None = None
        if not settings.production:
            issued = asyncio.run(_prepare(settings, url))
            greet = _greeting(settings, issued)
            settings = settings.model_copy(update={"database_url": settings.database_url or url})
        config = uvicorn.Config(
            APP,
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            loop="uvloop",
            http=BoundedProtocol,
            ws=FramingProtocol,
            ws_max_size=WEBSOCKET_MESSAGE_MAX,
            ws_ping_interval=None,  # uvicorn would close silent sockets with 1011, after which clients don't reconnect
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            log_level=settings.log_level if settings.production else "warning",
            access_log=False,
            proxy_headers=False,  # `callout/http/client_address.py` reads them, from trusted proxies only
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            timeout_worker_healthcheck=WORKER_SECONDS,
        )
        _set_environment(settings)
        if settings.workers == 1:
            _Server(config, greet).run(sockets=[listener])
        else:
            if greet is not None:
                greet()
            supervisor = Multiprocess(config, sockets=[listener])
            supervisor.run()
            if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
                raise SystemExit(STARTUP_FAILURE)


def create_app_of_process() -> Starlette:
    """The application of a server process, which ends when its parent does: a worker that outlives its supervisor would
    keep the port, and nobody could stop it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    from callout.app import create_app

    return create_app()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    logger.critical("the parent process has ended; stopping")
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(2 * SHUTDOWN_SECONDS)
    os._exit(STARTUP_FAILURE)


class _Server(uvicorn.Server):
    """Prints the greeting once it accepts requests."""

    def __init__(self, config: uvicorn.Config, greet: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._greet = greet

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._greet is not None:
            self._greet()


def _listen(settings: Settings) -> socket.socket:
    """Binds the port before anything slow starts: a port that is taken is reported at once, and early clients wait
    instead of being refused. Raises `click.ClickException` if the port cannot be bound."""
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        # `::` stands for all addresses, also those of IPv4, whatever the system's own default.
        dual = settings.host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=dual)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSENT_SECONDS * 1000)
        return listener
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # `create_server` appends the address in brackets
        raise click.ClickException(
            f"cannot listen on {settings.host}, port {settings.port}: {why}.\n"
            f"Choose another port with --port or {variable('port')}."
        ) from error


def _set_environment(settings: Settings) -> None:
    """Sets this process's choices as environment variables: worker processes read their settings from there."""
    chosen = {"host": settings.host, "port": settings.port, "workers": settings.workers, "data_dir": settings.data_dir}
    if settings.database_url is not None:
        chosen["database_url"] = settings.database_url
    for field, value in chosen.items():
        os.environ[variable(field)] = str(value)
        os.environ.pop(file_variable(field), None)


async def _prepare(settings: Settings, url: str) -> list[Credential]:
    connection = await asyncpg.connect(url)
    try:
        if settings.database_url is None and await is_empty(connection):
            async with connection.transaction():
                await seed.demo(connection)
        return await tokens.greeting(settings, connection)
    finally:
        await connection.close()


def _greeting(settings: Settings, issued: list[Credential]) -> Callable[[], None]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/graphql"
    database = f"embedded PostgreSQL in {settings.data_dir}" if settings.database_url is None else "by URL"
    lines = [
        "",
        f"  {click.style('Callout is ready', fg='green', bold=True)} at {click.style(url, bold=True)}",
        click.style(f"  Open it in a browser for the IDE. Database: {database}. Ctrl-C stops the server.", dim=True),
        "",
    ]
    if issued:
        lines.append(f"  A token for each role, valid for {min(7, settings.jwt_max_lifetime_days)} days:")
        for credential in issued:
            role = credential.role.lower()
            lines.append(f"\n{click.style(f'# {role}: {credential.name}', dim=True)}")
            lines.append(f"export {role.upper()}_TOKEN={credential.token}")
        admin = next(credential.token for credential in issued if credential.role is Role.ADMIN)
        lines += [
            "",
            "  Paste this into another terminal to list the newest tickets:",
            "",
            _CURL.format(url=url, token=admin),
            "",
        ]
    else:
        issuers = [*filter(None, [settings.jwt_jwks_url]), *(each.issuer for each in settings.jwt_issuers)]
        lines += [f"  Tokens come from {', '.join(issuers)}.", ""]
    if settings.console == "on":  # last, where one looks
        console = click.style(url.removesuffix("graphql"), bold=True)
        lines += [f"  The console{', with you signed in as an admin' if issued else ''}: {console}", ""]
    return lambda: click.echo("\n".join(lines))
