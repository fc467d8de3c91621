"""`callout doctor`: checks what is configured, whether it can be reached, and whether the database is migrated.

It never prints a secret, only whether one is set.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import click

from callout import notification_channels as channels
from callout import settings as configuration
from callout.auth.issuers import TrustedIssuer
from callout.auth.jwks import UNREADABLE, KeySet
from callout.auth.verifier import keys_of
from callout.database import OLDEST_SERVER as OLDEST_SERVER
from callout.database import DatabaseUnusable, database, wait_for
from callout.execution.trusted import read_manifest
from callout.files.scanner import ScannerUnavailable
from callout.settings import InvalidSettings, Settings
from db.errors import ClientError
from db.events import replicas
from db.object_store import StoreError
from db.postgres import migrate
from db.postgres.embedded import EmbeddedServerError, has_database
from db.postgres.pool import OUTAGE
from notifiers.mail import Composer
from notifiers.notification import Unavailable
from notifiers.smtp import Smtp
from pubsub.bell import BELL_OF_THE_DATABASE, UnusableUrl, try_to_ring

SERVER_SECONDS = 3
OVERDUE_MINUTES = 10
EXPIRING_DAYS = 14
INVALID_SHOWN = 5

_UNDELIVERED = """
SELECT count(*) FILTER (WHERE state = 'PENDING'),
    count(*) FILTER (WHERE state = 'PENDING' AND due_at < now() - $1 * interval '1 minute'),
    count(*) FILTER (WHERE state = 'HELD'),
    count(*) FILTER (WHERE state = 'DEAD'),
    (SELECT admin_recipients = '{}' AND NOT google_chat_enabled FROM support_settings)
FROM deliveries WHERE state IN ('PENDING', 'HELD', 'DEAD')"""

_CHECKED = """
SELECT count(*), count(*) FILTER (WHERE created_at < now() - $1 * interval '1 minute')
FROM attachments WHERE state = 'SCANNING'"""

_KEYS = """
SELECT count(*), count(*) FILTER (WHERE last_used_at IS NULL), count(*) FILTER (WHERE scope IS NULL)
FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"""

_EXPIRING = """
SELECT name, prefix, expires_at FROM api_keys
WHERE revoked_at IS NULL AND expires_at > now() AND expires_at <= now() + $1 * interval '1 day' ORDER BY expires_at"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. The first line of `text` is a summary; further lines are details."""

    good: bool
    about: str
    text: str


def examine() -> bool:
    """Prints each finding as soon as it is known, and a summary. Returns True if nothing is wrong."""
    problems = 0
    for finding in _findings():
        problems += not finding.good
        mark = click.style("✓", fg="green") if finding.good else click.style("✗", fg="red", bold=True)
        first, *more = finding.text.splitlines()
        click.echo("\n".join([f"{mark} {finding.about:<9} {first}", *(f"{'':12}{line}" for line in more)]))
    click.echo("\nNothing is wrong." if not problems else f"\n{problems} of these must be looked at: see the ✗.")
    return not problems


def _findings() -> Iterator[Finding]:
    yield Finding(
        True,
        "program",
        f"Callout {version('callout')} on Python {platform.python_version()}, {platform.system()} {platform.machine()}",
    )
    for name, problem in configuration.unknown_variables().items():
        yield Finding(False, "settings", f"{name}: {problem}")
    try:
        settings = configuration.load_known()
    except InvalidSettings as error:
        for problem in error.problems:
            yield Finding(False, "settings", problem)
        return
    yield Finding(True, "settings", "\n".join([settings.env, *_settings(settings)]))
    yield from _tokens(settings)
    yield from _trusted(settings)
    yield from _database(settings)
    yield from _pubsub(settings)
    yield _files(settings)
    yield from _mail(settings)
    yield from _scanner(settings)
    yield from _server(settings)


def _settings(settings: Settings) -> Iterator[str]:
    width = max(len(configuration.variable(field)) for field in Settings.model_fields)
    for field, declared in Settings.model_fields.items():
        name = configuration.variable(field)
        value = getattr(settings, field)
        if declared.repr or value is None:
            shown = configuration.in_words(value)
        elif field.endswith("_urls"):
            shown = ",".join(map(_without_secrets, value)) or "none"
        elif field.endswith("_url"):
            shown = _without_secrets(value)
        else:
            shown = f"{len(value.encode())} bytes, not shown"
        yield f"{name:<{width}} {shown}{_origin(name, configuration.file_variable(field))}"


def _origin(name: str, file_name: str) -> str:
    if os.environ.get(name):
        return ""
    return f"  (from {os.environ[file_name]})" if os.environ.get(file_name) else "  (default)"


def _without_secrets(url: str) -> str:
    """Returns `url` without its password, whether in the authority or in the query."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = re.sub(r"(password=)[^&]*", r"\1…", parts.query)
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query=query))


def _tokens(settings: Settings) -> Iterator[Finding]:
    if settings.jwt_secret is not None:
        own = settings.jwt_secret.startswith(configuration.DEVELOPMENT_SECRET)
        text = f"HS256, signed with {'a development' if own else 'the configured'} secret"
        if settings.jwt_secret_previous is not None:
            text += (
                "\nthose signed with CALLOUT_JWT_SECRET_PREVIOUS are accepted, too; unset it when they have expired,"
                f" after {settings.jwt_max_lifetime_days} days at most"
            )
        yield Finding(True, "tokens", text)
    if settings.jwt_jwks_url is not None:
        if isinstance(asyncio.run(_usable_keys(KeySet(settings.jwt_jwks_url))), str):
            yield Finding(False, "tokens", "the issuer's keys cannot be read from CALLOUT_JWT_JWKS_URL")
        else:
            yield Finding(True, "tokens", "RS256 and ES256, checked with the issuer's keys, which can be read")
    yield from asyncio.run(_issuers(settings.jwt_issuers))


async def _issuers(issuers: Sequence[TrustedIssuer]) -> list[Finding]:
    """Asks the identity providers for their keys, all at once."""
    found = await asyncio.gather(*(_usable_keys(keys_of(issuer)) for issuer in issuers))
    return [_issuer(issuer, usable) for issuer, usable in zip(issuers, found, strict=True)]


def _issuer(issuer: TrustedIssuer, usable: int | str) -> Finding:
    if isinstance(usable, str):
        return Finding(False, "tokens", f"{issuer.name}: the keys of {issuer.issuer} cannot be read: {usable}")
    algorithms, audience = ", ".join(issuer.algorithms), ", ".join(issuer.audience)
    if not usable:
        return Finding(False, "tokens", f"{issuer.name}: {issuer.issuer} has no key for {algorithms}")
    keys = f"{usable} key{'s' if usable > 1 else ''} for {algorithms}"
    return Finding(True, "tokens", f"{issuer.name}: {issuer.issuer} has {keys}; the audience is {audience}")


async def _usable_keys(keys: KeySet) -> int | str:
    """The number of keys that can be used, or why they cannot be read."""
    try:
        return await keys.check()
    except UNREADABLE as error:
        return str(error) or type(error).__name__
    finally:
        await keys.close()


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None and not has_database(settings.data_dir):
        yield Finding(True, "database", f"none in {settings.data_dir} yet: `callout serve` makes it")
        return
    try:
        with database(settings) as url:
            number, name = asyncio.run(_server_version(url))
            where = f"embedded in {settings.data_dir}" if settings.database_url is None else "by URL"
            recent = number >= OLDEST_SERVER
            yield Finding(recent, "database", f"PostgreSQL {name}, {where}" + ("" if recent else "; 14 is the oldest"))
            yield from _writable(url)
            if misfit := migrate.misfit(url):
                yield Finding(False, "schema", misfit)
            else:
                revision, newest = migrate.current(url), migrate.head()
                known = "the newest" if revision == newest else f"with which this version works; its own is {newest}"
                yield Finding(True, "schema", f"at revision {revision}, {known}")
                yield asyncio.run(_deliveries(url))
                yield asyncio.run(_unchecked(url))
                yield asyncio.run(_keys(url))
                yield asyncio.run(_devices(url, settings))
                yield from asyncio.run(_replicas(url, settings.database_replica_urls))
    except (DatabaseUnusable, EmbeddedServerError) as error:
        yield Finding(False, "database", str(error))


def _writable(url: str) -> Iterator[Finding]:
    try:
        asyncio.run(wait_for(url, 0, writable=True))
    except DatabaseUnusable as error:
        yield Finding(False, "database", str(error))


async def _server_version(url: str) -> tuple[int, str]:
    connection = await asyncpg.connect(url)
    try:
        number = await connection.fetchval("SHOW server_version_num")
        return int(number), await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()


async def _deliveries(url: str) -> Finding:
    """Checks whether due deliveries are being sent. Deliveries that were given up are counted but are not a problem."""
    connection = await asyncpg.connect(url)
    try:
        ((waiting, overdue, held, dead, unnotified),) = await connection.fetch(_UNDELIVERED, OVERDUE_MINUTES)
    finally:
        await connection.close()
    text = f"{waiting:,} to be sent, {dead:,} given up"
    if held:
        text += f", {held:,} held until their recipients confirm their addresses, or for a summary"
    if overdue:
        text += f"\n{overdue:,} have been due for more than {OVERDUE_MINUTES} minutes: no worker sends them"
    if unnotified:
        text += "\nno admin recipients, and Google Chat is off: nobody is notified of a ticket that has no technician"
    return Finding(overdue == 0, "queue", text)


async def _unchecked(url: str) -> Finding:
    """Checks whether files that have arrived are being checked."""
    connection = await asyncpg.connect(url)
    try:
        ((waiting, overdue),) = await connection.fetch(_CHECKED, OVERDUE_MINUTES)
    finally:
        await connection.close()
    text = f"{waiting:,} files wait to be checked"
    if overdue:
        text += f"\n{overdue:,} arrived more than {OVERDUE_MINUTES} minutes ago: no server checks them, or it cannot"
    return Finding(overdue == 0, "checks", text)


async def _keys(url: str) -> Finding:
    """Counts the API keys that work, and names those that will soon expire."""
    connection = await asyncpg.connect(url)
    try:
        ((working, unused, unscoped),) = await connection.fetch(_KEYS)
        expiring = await connection.fetch(_EXPIRING, EXPIRING_DAYS)
    finally:
        await connection.close()
    lines = [f"{working:,} work, {unused:,} of them never used"]
    if unscoped:
        lines.append(f"{unscoped:,} without a scope, from before keys had one: give each its scope with apiKeyUpdate")
    lines += [f"{row['name']} ({row['prefix']}…) expires on {row['expires_at']:%Y-%m-%d}" for row in expiring]
    return Finding(True, "keys", "\n".join(lines))


async def _devices(url: str, settings: Settings) -> Finding:
    """Counts the devices that are subscribed to notices, and checks whether this installation can send any."""
    connection = await asyncpg.connect(url)
    try:
        number = await connection.fetchval("SELECT count(*) FROM push_subscriptions")
    finally:
        await connection.close()
    missing = f"{configuration.variable('push_private_key')} is not set"
    if settings.push_key is None:
        return Finding(
            number == 0, "devices", f"{number:,} wait for notices: {missing}" if number else f"none: {missing}"
        )
    if find_spec("pywebpush") is None:
        return Finding(False, "devices", "none can be notified: `callout[push]` is not installed")
    key = f"the public key is {settings.push_key.public}"
    return Finding(True, "devices", f"{number:,} are notified, for {settings.push_contact_url}; {key}")


async def _replicas(url: str, replica_urls: Sequence[str]) -> list[Finding]:
    """Checks whether queries can be read from each replica now, as a server does."""
    if not replica_urls:
        return []
    try:
        found = await replicas.problems(url, replica_urls)
    except OUTAGE as error:
        return [Finding(False, "replica", f"the primary cannot be asked: {error or type(error).__name__}")]
    return [
        Finding(
            problem is None,
            "replica",
            f"{_without_secrets(replica)} " + ("can be read" if problem is None else f"is left out: {problem}"),
        )
        for replica, problem in zip(replica_urls, found, strict=True)
    ]


def _trusted(settings: Settings) -> Iterator[Finding]:
    """Checks whether the server would execute each document of the manifest."""
    if settings.trusted_documents is None:
        return
    from callout.execution.documents import Documents, InvalidDocument
    from callout.execution.thread import Thread
    from schema import graphql_schema, schema

    documents = Documents(graphql_schema(schema), Thread())
    invalid = []
    manifest = read_manifest(settings.trusted_documents)
    for id, text in manifest.items():
        try:
            documents.get(text)
        except ClientError as error:
            first = error.errors[0] if isinstance(error, InvalidDocument) else error
            invalid.append(f"{id}: {first.message}")
    of = f"{len(manifest):,} trusted documents in {settings.trusted_documents}"
    if invalid:
        more = [f"and {len(invalid) - INVALID_SHOWN:,} more"] if len(invalid) > INVALID_SHOWN else []
        yield Finding(
            False, "documents", "\n".join([f"{len(invalid):,} of {of} are refused", *invalid[:INVALID_SHOWN], *more])
        )
    else:
        yield Finding(True, "documents", f"{of}, all valid")


def _pubsub(settings: Settings) -> Iterator[Finding]:
    """Rings the bell once, unless it is the database's own."""
    if settings.pubsub_url is None or settings.pubsub_url in BELL_OF_THE_DATABASE:
        return
    server = _without_secrets(settings.pubsub_url)
    try:
        asyncio.run(try_to_ring(settings.pubsub_url))
    except (UnusableUrl, ConnectionError) as error:
        yield Finding(
            False, "pubsub", f"{server} cannot be reached, so live changes arrive up to a second late: {error}"
        )
    else:
        yield Finding(True, "pubsub", f"{server} can be reached")


def _files(settings: Settings) -> Finding:
    """Checks whether files can be stored."""
    store = settings.object_store
    try:
        asyncio.run(store.check())
    except StoreError as error:
        return Finding(False, "files", f"none can be attached: {store.place} cannot be used ({error})")
    return Finding(True, "files", f"stored in {store.place}")


def _mail(settings: Settings) -> Iterator[Finding]:
    texts = channels.templates(settings)
    problems = texts.problems()
    for problem in problems:
        yield Finding(False, "templates", problem)
    if settings.templates_dir is not None and not problems:
        yield Finding(True, "templates", f"the templates in {settings.templates_dir} are valid")
    server = settings.smtp_server
    if server is None:
        where = channels.MAIL_IS_OFF if settings.production else f"not sent, but written to {settings.mail_folder}"
        yield Finding(True, "mail", where)
        return
    if settings.confirm_base is None:
        yield Finding(False, "mail", channels.NOBODY_CONFIRMS)
    name = f"{server.host}, port {server.port}"
    try:
        asyncio.run(Smtp(server, Composer(texts, settings.sender, settings.reply_to), seconds=SERVER_SECONDS).check())
    except Unavailable as error:
        yield Finding(False, "mail", f"{name}: {error.said}")
    else:
        yield Finding(True, "mail", f"via {name}, from {settings.sender.address}")


def _scanner(settings: Settings) -> Iterator[Finding]:
    if settings.scanner is None:
        yield Finding(True, "scanner", "none: attached files are not scanned")
        return
    try:
        asyncio.run(settings.scanner.check())
    except ScannerUnavailable as error:
        yield Finding(False, "scanner", f"{settings.clamd_url}: {error}; files wait for it")
    else:
        yield Finding(True, "scanner", f"{settings.clamd_url} answers")


def _server(settings: Settings) -> Iterator[Finding]:
    """Checks the server on the configured port. No server is fine; one that is not ready is a problem."""
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=SERVER_SECONDS)
    where = f"{settings.host}, port {settings.port}"
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        content = response.read()
    except ConnectionRefusedError:
        yield Finding(True, "server", f"none on {where}")
    except (OSError, http.client.HTTPException) as error:
        yield Finding(False, "server", f"{where} does not answer like Callout: {error or type(error).__name__}")
    else:
        problems = _problems(content)
        if response.status != http.client.OK:
            state = f"not ready (status {response.status})"
        else:
            state = "degraded" if problems else "ready"
        yield Finding(state == "ready", "server", "\n".join([f"{state} on {where}", *problems]))
    finally:
        connection.close()


def _problems(content: bytes) -> list[str]:
    """Returns the problems that an answer of `/readyz` names."""
    try:
        answer = json.loads(content)
        return [str(problem["message"]) for name in ("errors", "problems") for problem in answer.get(name, ())]
    except (ValueError, AttributeError, LookupError, TypeError):  # not an answer of Callout
        return []
