"""The ASGI application. Everything is wired together here, in the lifespan; importing this module starts nothing."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callout import health, logs, notification_worker
from callout.auth.authenticator import Authenticator
from callout.auth.tokens import IdeToken
from callout.background import (
    Work,
    background,
    keep_answered,
    keep_counted,
    keep_erasing,
    keep_forgetting,
    keep_pruned,
    keep_retained,
    keep_swept,
)
from callout.database import DatabaseUnusable, wait_for
from callout.execution.budgets import Budgets
from callout.execution.persisted import PersistedDocuments
from callout.execution.prepare import Preparer
from callout.execution.run import Engine
from callout.execution.trusted import TrustedDocuments
from callout.files.worker import FileWorker
from callout.http import (
    acknowledging,
    confirm_page,
    cross_origin,
    downloads,
    entrance,
    front_page,
    passkeys,
    provider_sign_in,
    sign_in_page,
    uploads,
)
from callout.http.access_log import AccessLog
from callout.http.confirm_attempts import ConfirmAttempts
from callout.http.connection_limits import ConnectionLimits
from callout.http.console import Console
from callout.http.console import documents as console_documents
from callout.http.downloads import Downloads
from callout.http.endpoint import GraphQLEndpoint
from callout.http.entrance import Entrance, KnownBrowsers
from callout.http.guard import RequestGuard, on_http_exception
from callout.http.ide import Ide
from callout.http.ide import files as files_of_ide
from callout.http.passkeys import Passkeys
from callout.http.sign_in_page import SignInMail
from callout.http.uploads import Uploads
from callout.live.device_streams import ReceivedEvents
from callout.live.event_stream import EventStreams
from callout.live.feeds import Feeds
from callout.live.operations import LiveApplication
from callout.live.screening import Screenings
from callout.live.stream_tickets import StreamTickets, TicketOffice
from callout.live.websocket import Sockets
from callout.mail_in import call_of
from callout.mail_socket import mail_received
from callout.monitoring import faults, tracing
from callout.monitoring.database import DatabaseState
from callout.monitoring.exposition import Exposition, LiveLayer, Observed
from callout.monitoring.operations import OPERATIONS
from callout.monitoring.port import metrics_served
from callout.notification_channels import channels_of
from callout.settings import Settings, load, variable
from callout.webhooks.office import Office
from callout.webhooks.subscriptions import Subscriptions
from callout.webhooks.worker import WebhookWorker
from db.enums import DeliveryChannel
from db.errors import Failure
from db.events import log as event_log
from db.events.replicas import Replicas
from db.events.stream_cursor import StreamCursors
from db.postgres import migrate
from db.postgres.pool import Database
from notifiers.vapid import VapidKey
from notifiers.webhook_sender import WebhookSender
from pubsub.bell import Bell
from pubsub.connections import Connections
from pubsub.hub import Hub
from pubsub.presence import Presences
from resolvers.file_links import FileLinks
from resolvers.files import Files
from resolvers.receipts import Receipts
from resolvers.staff_presence import StaffPresence
from schema import graphql_schema, schema

if TYPE_CHECKING:
    from callout.auth.openid import OpenIdClient

logger = logging.getLogger(__name__)


class State(TypedDict):
    """The objects that live as long as the process serves; each request's scope refers to them."""

    connection_limits: ConnectionLimits
    readiness: health.Readiness
    database: Database
    bell: Bell
    confirm_attempts: ConfirmAttempts
    acknowledging_attempts: ConfirmAttempts
    acknowledgements: acknowledging.Acknowledgements
    entrance: Entrance
    openid_clients: Mapping[str, OpenIdClient]
    passkeys: Passkeys
    sign_in_attempts: ConfirmAttempts
    sign_in_mail: SignInMail
    push_key: VapidKey | None
    graphql: GraphQLEndpoint
    uploads: Uploads
    downloads: Downloads
    sockets: Sockets
    event_streams: EventStreams
    stream_tickets: TicketOffice


def create_app(
    settings: Settings | None = None, channels: Callable[[Settings], notification_worker.Channels] = channels_of
) -> Starlette:
    """Returns the application. Without `settings`, they are read from the environment. `channels` makes the
    notification channels; tests pass their own."""
    chosen = load() if settings is None else settings
    logs.configure(chosen)
    access_log = AccessLog()
    tracing.start(chosen)
    faults.start(chosen)
    OPERATIONS.slow_seconds = chosen.slow_operation_ms / 1000
    console = Console() if chosen.console == "on" else None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            stack.callback(tracing.stop)
            stack.callback(access_log.flush)
            try:
                state = await _wire(chosen, channels, access_log, stack)
            except Failure as error:
                logger.critical("cannot start: %s", error)
                raise
            except Exception:
                logger.critical("cannot start", exc_info=True)
                raise
            gc.collect()
            gc.freeze()  # these objects live until the process ends: exclude them from every further collection
            yield state

    return Starlette(
        routes=[
            *front_page.routes(with_ide=chosen.with_ide, console=console),
            *health.ROUTES,
            *confirm_page.ROUTES,
            *acknowledging.ROUTES,
            *uploads.ROUTES,
            *downloads.ROUTES,
            *([files_of_ide()] if chosen.with_ide else []),
            *([] if console is None else [*console.routes(), *_of_sign_in()]),
        ],
        middleware=[
            *([Middleware(faults.FaultReports)] if chosen.sentry_dsn else []),
            *cross_origin.middleware(chosen.allowed_origins),
            Middleware(RequestGuard, access_log, chosen.client_addresses),
            Middleware(_GraphQLFirst),
        ],
        exception_handlers={HTTPException: on_http_exception},
        lifespan=lifespan,
    )


async def _wire(
    settings: Settings,
    make_channels: Callable[[Settings], notification_worker.Channels],
    access_log: AccessLog,
    stack: AsyncExitStack,
) -> State:
    if settings.database_url is None or settings.direct_url is None:
        raise DatabaseUnusable(f"{variable('database_url')} is not set; `callout serve` starts an embedded server.")

    async def start(work: Work) -> None:
        await stack.enter_async_context(background(work))

    # It may be away while a worker is replaced.
    await wait_for(settings.direct_url, settings.database_wait, pool_url=settings.database_url)
    database = await Database.open(settings.database_url, size=settings.pool_size)
    stack.push_async_callback(database.close)
    authenticator = Authenticator(settings, database)
    stack.push_async_callback(authenticator.close)
    await authenticator.read_revocations()
    await start(authenticator.uses.write)
    await start(authenticator.session_uses.write)
    await start(authenticator.people_uses.write)
    code = migrate.code()
    readiness = health.Readiness(database, code)
    stack.push_async_callback(readiness.close)
    identity = await event_log.identity(database)
    cursors, tickets = StreamCursors(identity), StreamTickets(identity, database)
    presences = Presences(settings.presence_seconds)
    bell = await stack.enter_async_context(Bell.open(settings.bell_url, settings.direct_url, presences))
    await start(presences.run)
    channels = await stack.enter_async_context(notification_worker.opened(make_channels, settings))
    if settings.notify:
        worker = notification_worker.worker(settings, database, channels, bell)
        await start(worker.run)
    sign_in_mail = SignInMail(database, channels.get(DeliveryChannel.EMAIL), settings.link_base)
    stack.push_async_callback(sign_in_mail.close)
    budgets = Budgets(settings.allowances)
    preparer = Preparer(graphql_schema(schema), settings.introspecting, PersistedDocuments(_trusted(settings)))
    files = Files(settings.object_store, settings.file_limits)
    links = FileLinks(identity, settings.api_base, settings.file_limits.upload_time, authenticator.is_revoked)
    replicas = None
    if settings.database_replica_urls:
        replicas = Replicas(settings.direct_url, settings.database_replica_urls, settings.pool_size)
        stack.push_async_callback(replicas.close)
        await start(replicas.watch)
    sender = WebhookSender(private_hosts=settings.webhook_private_hosts == "allow")
    sign = partial(links.signed, preparer.marks.link.encode())
    subscriptions = Subscriptions(preparer, database, sign)
    presence = StaffPresence(presences, database, identity)
    push_key = settings.push_key
    offered = Receipts(database)
    await start(offered.run)
    engine = Engine(
        schema,
        preparer,
        database,
        cursors,
        channels,
        settings.own_mail,
        files,
        links,
        written=bell.ring,
        replicas=replicas,
        presence=presence,
        push_public_key=None if push_key is None else push_key.public,
        receipts=offered,
        webhooks=partial(Office, subscriptions, database, cursors, sender),
    )
    checking = FileWorker(database, files.store, settings.scanner, heard=bell.ear().wait, written=bell.ring)
    await start(checking.run)

    def arrived() -> None:
        checking.wake()
        bell.ring()

    hub = Hub(database, settings.direct_url, bell, cursors, presences)
    await start(hub.follow)
    if settings.webhooks:
        carrying = WebhookWorker(
            database,
            subscriptions,
            budgets,
            cursors,
            hub,
            sender,
            channels,
            settings.webhook_pace,
            settings.author_absence,
        )
        await start(carrying.run)

    def forget() -> None:
        preparer.forget()
        authenticator.forget()

    for work in _housekeeping(settings, database, files, bell.ring, forget):
        await start(work)
    feeds = Feeds(database, preparer.marks.position, engine.sign, Screenings(database), presence, offered)
    live = LiveApplication(preparer, engine, authenticator, feeds, settings.origins, budgets)
    connections = Connections(live.gone, settings.times.watch)
    await start(connections.watch)
    limits = ConnectionLimits(
        settings.request_head_seconds, settings.connections_per_address, settings.client_addresses.trusts
    )
    await start(limits.watch)
    ide = None
    if settings.with_ide:
        ide = Ide(None if settings.production else IdeToken(settings, database))
    url = settings.direct_url
    await start(lambda: authenticator.follow_revocations(url, connections.check_soon))
    received_events = ReceivedEvents(database)
    await start(received_events.write)
    state = DatabaseState(database)
    stack.push_async_callback(state.close)
    exposition = Exposition(Observed(database, bell, code, LiveLayer(hub, connections), replicas), state)
    await stack.enter_async_context(metrics_served(settings, exposition, settings.workers))
    await stack.enter_async_context(mail_received(settings.mail_socket, call_of(settings, database), bell.ring))
    return State(
        connection_limits=limits,
        readiness=readiness,
        database=database,
        bell=bell,
        confirm_attempts=ConfirmAttempts(monotonic()),
        acknowledging_attempts=ConfirmAttempts(monotonic()),
        acknowledgements=acknowledging.Acknowledgements(database),
        openid_clients=_openid_clients(settings),
        passkeys=Passkeys(identity, settings.link_base, partial(Console().script, "sign_in")),
        sign_in_attempts=ConfirmAttempts(monotonic()),
        sign_in_mail=sign_in_mail,
        entrance=Entrance(
            database, authenticator, KnownBrowsers(identity), not settings.production, settings.session_days * 86_400
        ),
        push_key=push_key,
        graphql=GraphQLEndpoint(
            preparer,
            engine,
            authenticator,
            budgets,
            ide,
            batch_max=settings.batch_max,
            compressing=settings.compression,
        ),
        uploads=Uploads(database, files, links, budgets, arrived),
        downloads=Downloads(database, files, links, budgets),
        sockets=Sockets(live, hub, connections, settings.times, access_log, presences, received_events),
        event_streams=EventStreams(live, hub, connections, settings.times, tickets),
        stream_tickets=TicketOffice(authenticator, tickets),
    )


def _of_sign_in() -> list[Route]:
    return [*entrance.ROUTES, *sign_in_page.ROUTES, *provider_sign_in.ROUTES, *passkeys.ROUTES]


def _openid_clients(settings: Settings) -> dict[str, OpenIdClient]:
    """The providers at which people sign in in a browser, by their names."""
    chosen = [(issuer, issuer.browser) for issuer in settings.jwt_issuers if issuer.browser is not None]
    base = settings.link_base
    if not chosen or base is None:
        return {}
    from callout.auth.openid import OpenIdClient  # Authlib, which others need not load

    return {issuer.name: OpenIdClient(issuer, browser, base) for issuer, browser in chosen}


def _trusted(settings: Settings) -> TrustedDocuments:
    """The documents of the manifest, and those of the console: it works, too, where no others are accepted."""
    trusted = settings.trusted
    return trusted.with_documents(console_documents()) if trusted.only and settings.console == "on" else trusted


def _housekeeping(
    settings: Settings, database: Database, files: Files, ring: Callable[[], None], forget: Callable[[], None]
) -> Iterator[Work]:
    """What is kept in order in the background: counts, what has become old, overdue assignments, files, erasures."""
    yield lambda: keep_counted(database)
    yield lambda: keep_forgetting(database)
    if settings.event_retention_days is not None:
        kept = timedelta(days=settings.event_retention_days)
        yield lambda: keep_pruned(database, kept)
    yield lambda: keep_retained(database, settings.retained)
    yield lambda: keep_answered(database, ring)
    yield lambda: keep_swept(database, files, ring)
    yield lambda: keep_erasing(database, ring, forget)


_GRAPHQL: Final = ("/graphql", "/graphql/")


class _GraphQLFirst:
    """Passes `/graphql` and the paths below it to their endpoints; bypasses the router for speed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in _GRAPHQL:
            endpoint: GraphQLEndpoint = scope["state"]["graphql"]
            await endpoint(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] in _GRAPHQL:
            await scope["state"]["sockets"](scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/graphql/stream":
            await scope["state"]["event_streams"](scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/graphql/stream/ticket":
            await scope["state"]["stream_tickets"](scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, _without_traceback(send))
        else:
            await self._app(scope, receive, send)


def _without_traceback(send: Send) -> Send:
    """Removes the traceback that Starlette adds to a failed start: the reason has been logged."""

    async def send_brief(message: Message) -> None:
        await send({**message, "message": ""} if message["type"] == "lifespan.startup.failed" else message)

    return send_brief
