"""Every setting of Callout. Only this module reads the `CALLOUT_*` environment variables. A setting can also stand in a
file that `CALLOUT_…_FILE` names, as orchestrators mount secrets.

In development every setting has a usable value: without a database URL an embedded server runs, and the secret that
signs tokens is generated once and kept in the data directory, so that all processes use the same one, also after a
restart. In production nothing is generated: a missing or unsafe setting is refused with the name of its variable.
"""

from __future__ import annotations

import os
import re
import secrets
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from callout.auth.issuers import ClaimMapping, TrustedIssuer, parse_claims, parse_issuers
from callout.execution.budgets import UNLIMITED, Allowance
from callout.execution.trusted import TrustedDocuments, read_manifest
from callout.files.scanner import Scanner
from callout.http.client_address import ClientAddresses, parse_network
from callout.webhooks.pace import WebhookPace
from db import retention
from db.enums import EVERYONE, STAFF, Role
from db.errors import Failure
from db.object_store import SCHEMES, ObjectStore
from db.postgres.url import server_url
from db.private_files import FILE_MODE, FILES, MAIL, SECRET, make_data_directory
from db.retention import Retained
from notifiers.addresses import Mailbox
from notifiers.company_profile import CompanyProfile, zone_of
from notifiers.inbound.imap import Account, OAuthClient
from notifiers.links import ID, REFERENCE, TicketLinks, ticket_page
from notifiers.message_ids import OwnMail, UnvouchedShare
from notifiers.screening_rules import Limits
from notifiers.smtp_server import SmtpServer
from pubsub.connections import Times
from resolvers.attachment_rules import FileLimits

if TYPE_CHECKING:
    from notifiers.vapid import VapidKey

PREFIX = "CALLOUT_"
SECRET_BYTES_MIN = 32  # RFC 7518, section 3.2: a key for HS256 must be at least as long as the hash
DEVELOPMENT_SECRET = "development-"  # prefix of every generated secret, by which production recognises and refuses it
DEVELOPMENT_SENDER = "Callout <support@callout.localhost>"
MEBIBYTE = 2**20
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
FILE_MAX = 65_536  # characters of a file with a setting

# Kubernetes sets these in each pod for a service with the name `callout`.
_OF_KUBERNETES = re.compile(rf"{PREFIX}(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_|$)")

Seconds: TypeAlias = Annotated[float, Field(gt=0, le=3_600)]
Points: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000_000)]
Concurrency: TypeAlias = Annotated[int, Field(ge=1, le=200)]


class InvalidSettings(Failure):
    """One or more settings are invalid. `problems` has a line for each, with the name of the variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """The settings of a process, validated and immutable. Use `load()`, which reports all problems.

    A setting that is or has a secret is declared with `repr=False`: then neither `repr` nor `callout doctor` shows it.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    env: Literal["development", "production"] = Field(
        "development",
        description="`production` refuses unsafe conveniences, and offers no IDE unless `CALLOUT_IDE` is on.",
    )
    database_url: str | None = Field(
        None,
        repr=False,
        description="`postgresql://user:password@host:5432/database`, PostgreSQL 14 or newer. Without it, in"
        " development, an embedded server keeps its data in the data directory.",
    )
    database_direct_url: str | None = Field(
        None,
        repr=False,
        description="The URL of PostgreSQL itself, if that of the database leads to a connection pooler such as"
        " PgBouncer. LISTEN, the event log's tail and all commands but `serve` and `notify` use it alone.",
    )
    database_replica_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="The URLs of hot standbys of the database, separated by commas, from which queries are read. One"
        " that is away, or that has not replayed what was committed before a query began, is left out.",
    )
    database_wait: Annotated[float, Field(ge=0, le=3_600)] = Field(
        30,
        description="Seconds that `serve`, `notify` and `migrate` wait at the start for a database that cannot be"
        " reached or written to yet, or that is not migrated.",
    )
    data_dir: Path = Field(
        Path(".data"), description="Where the embedded server's data and the development secret are kept."
    )
    host: str = Field("127.0.0.1", description="The address to listen on; `::` for all, of both families.")
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(8000, description="The port to listen on.")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="How many server processes share the port.")
    pool_size: Annotated[int, Field(ge=1, le=200)] = Field(
        10, description="How many database connections each process may hold."
    )
    pubsub_url: str | None = Field(
        None,
        repr=False,
        description="How server processes wake each other: `postgres://` (the database, the default),"
        " `redis://host:6379` (Redis or Valkey), `kafka://host:9092` (with aiokafka installed), or `memory://` for a"
        " single process.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The origins whose pages may use the API, besides the server's own: `https://a.example,…`.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The addresses and networks of the proxies in front of the server: `10.0.0.5,10.1.0.0/16,…`. Only"
        " from them `X-Forwarded-For` is believed, for the client's address in the access log and the audit trail; they"
        " may have any number of connections.",
    )
    connections_per_address: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        1_000,
        description="How many connections one address may have to a process, except for the proxies; 0 for any number."
        " In any case, at most half of the file descriptors. IPv6 addresses count by their /64.",
    )
    request_head_seconds: Seconds = Field(
        10,
        description="Seconds that the line and headers of a request may take to arrive, and the first one after the"
        " connection has been opened.",
    )
    socket_init_seconds: Seconds = Field(10, description="Seconds that a WebSocket may take to send `connection_init`.")
    socket_admission_seconds: Seconds = Field(10, description="Seconds that checking a WebSocket's token may take.")
    socket_ping_seconds: Annotated[float, Field(gt=0, le=40)] = Field(
        20,
        description="Seconds of a client's silence before the server sends it a `ping`. Clients take 45 s without one"
        " for a broken connection.",
    )
    socket_silence_seconds: Seconds = Field(
        60,
        description="Seconds of a client's silence before its WebSocket is closed; more than before the `ping`.",
    )
    stream_beat_seconds: Seconds = Field(
        15,
        description="Seconds of silence before a comment is sent on a stream of server-sent events, for the proxies on"
        " the way.",
    )
    connection_watch_seconds: Annotated[float, Field(gt=0, le=5)] = Field(
        1,
        description="Seconds between two checks of live connections for silence, expired tokens and viewers who have"
        " lost access.",
    )
    presence_seconds: Annotated[int, Field(ge=2, le=300)] = Field(
        30,
        description="Seconds after which the presence of a member of the staff on a ticket ends, unless it is renewed.",
    )
    budgets: bool = Field(
        True,
        description="Whether viewers are limited by the settings below and by the limits of subscriptions in"
        " `docs/live.md`.",
    )
    budget_admin: Points = Field(
        30_000, description="Points a minute that each admin may spend in each process: `docs/dashboard.md`."
    )
    budget_technician: Points = Field(12_000, description="The same for each technician.")
    budget_customer: Points = Field(6_000, description="The same for each customer.")
    budget_service: Points = Field(30_000, description="The same for each service.")
    concurrency_admin: Concurrency = Field(
        5,
        description="Statements that each admin may run at a time in each process; others wait. One connection of the"
        " pool is always left to other viewers.",
    )
    concurrency_technician: Concurrency = Field(4, description="The same for each technician.")
    concurrency_customer: Concurrency = Field(3, description="The same for each customer.")
    concurrency_service: Concurrency = Field(5, description="The same for each service.")
    introspection: Literal["on", "staff", "off"] = Field(
        "staff",
        description="Who may read the schema by a query, and is given its names as suggestions by errors: all with a"
        " token, admins and technicians, or nobody.",
    )
    trusted_documents: Path | None = Field(
        None,
        description="A file with the documents of your clients, which requests may then name by their ids: a manifest"
        " of Apollo's, or `{id: document}` as graphql-codegen and Relay write.",
    )
    trusted_documents_only: bool = Field(
        False,
        description="Whether all other documents are refused, those that introspect too.",
    )
    batch_max: Annotated[int, Field(ge=0, le=100)] = Field(
        10, description="How many requests a client may send at once, as a JSON array; 0 for none."
    )
    compression: bool = Field(
        True,
        description="Whether answers of more than 1 KB are compressed for clients that accept it. Off if a proxy does"
        " so.",
    )
    ide: Literal["on", "off"] | None = Field(
        None,
        description="Whether browsers get the IDE at `/graphql`. Only in development if not set. In production it has"
        " no token.",
    )
    console: Literal["on", "off"] = Field(
        "on",
        description="Whether browsers get the console: pages at `/` for the staff, at `/tech` for technicians and at"
        " `/portal` for customers.",
    )
    event_retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None,
        description="How many days events are kept, which bounds replay and the history of tickets. Forever if not"
        " set.",
    )
    delivery_retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None,
        description="How many days deliveries are kept after they were sent or given up. Forever if not set.",
    )
    inbound_retention_days: Annotated[int, Field(ge=30, le=36_500)] | None = Field(
        None,
        description="How many days inbound messages are kept, with the mail that was kept aside. Later a copy of one"
        " would not be recognised. Forever if not set.",
    )
    raw_mail_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        90,
        description="How many days the raw mail of inbound messages is kept, whatever became of them. What is kept"
        " aside stays.",
    )
    audit_retention_days: Annotated[int, Field(ge=30, le=36_500)] | None = Field(
        None,
        description="How many days entries of the audit trail are kept. Forever if not set.",
    )
    idempotency_retention_days: Annotated[int, Field(ge=30, le=36_500)] = Field(
        30,
        description="How many days idempotency keys are kept, and devices that send no commands. A request that is"
        " repeated later is carried out again.",
    )
    api_url: str | None = Field(
        None,
        description="This API as its clients reach it: `https://api.example.com`. The URLs of attached files begin with"
        " it, and pages of its origin may open sockets. If not set, the server itself in development, and in production"
        " they are paths on the API's own host.",
    )
    files_url: str | None = Field(
        None,
        repr=False,
        description="Where attached files are stored: `s3://bucket/prefix`, `gs://…` or `az://…`, with the credentials"
        " in the usual environment variables of that cloud, or `file:///path`. The folder `files` in the data directory"
        " if not set.",
    )
    file_max_mib: Annotated[int, Field(ge=1, le=2_000)] = Field(
        25, description="How large a file may be that is attached to a ticket or note, in MiB."
    )
    ticket_files: Annotated[int, Field(ge=1, le=10_000)] = Field(
        200, description="How many files a ticket may have, with those of its notes."
    )
    ticket_files_mib: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1_000, description="How large all of them may be together, in MiB."
    )
    files_per_day: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        200, description="How many files one person may attach in 24 hours."
    )
    files_per_day_mib: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        1_000, description="How large these may be together, in MiB."
    )
    files_per_day_service: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        10_000, description="How many files one service may attach in 24 hours."
    )
    files_per_day_service_mib: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        50_000, description="How large these may be together, in MiB."
    )
    upload_hours: Annotated[int, Field(ge=1, le=720)] = Field(
        24, description="How many hours an upload may take. Later what has arrived of it is deleted."
    )
    rejected_file_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        30, description="How many days it is kept in mind that a file was rejected, and why."
    )
    clamd_url: str | None = Field(
        None,
        description="The ClamAV daemon that scans attached files: `tcp://host:3310` or `unix:///path`. Without it files"
        " are not scanned.",
    )
    jwt_secret: str | None = Field(
        None,
        repr=False,
        description="Signs and checks HS256 tokens; at least 32 bytes. Generated and kept in development.",
    )
    jwt_secret_previous: str | None = Field(
        None,
        repr=False,
        description="The secret before the current one: checks tokens, but signs none. Set it while a secret is"
        " rotated.",
    )
    session_days: Annotated[int, Field(ge=1, le=366)] = Field(
        30, description="After how many days without use a session of a browser ends."
    )
    jwt_max_lifetime_days: Annotated[int, Field(ge=1, le=366)] = Field(
        30, description="How many days a token may be valid, from its `iat` to its `exp`. Others are refused."
    )
    jwt_jwks_url: str | None = Field(
        None,
        repr=False,
        description="Where the issuer publishes its RS256 and ES256 keys; instead of a secret, or besides it.",
    )
    jwt_issuer: str = Field("callout", min_length=1, description="The required `iss` of a token.")
    jwt_audience: str = Field("callout", min_length=1, description="The required `aud` of a token, or one of several.")
    jwt_claims: Annotated[ClaimMapping | None, NoDecode] = Field(
        None,
        description="Where role, subject, name and e-mail are in the tokens of the issuer with the JWKS URL: JSON,"
        ' `{"role": "realm_access.roles"}`; see [Signing in](signing-in.md).',
    )
    jwt_issuers: Annotated[tuple[TrustedIssuer, ...], NoDecode] = Field(
        (),
        description="Identity providers, each with its own keys, audience and claims: JSON; see"
        " [Signing in](signing-in.md).",
    )
    notify: bool = Field(True, description="Whether server processes send notifications. `callout notify` always does.")
    notify_give_up: Annotated[float, Field(gt=0, le=8_760)] = Field(
        72, description="How many hours a notification is retried before it is given up."
    )
    smtp_url: str | None = Field(
        None,
        repr=False,
        description="The mail server: `smtp://user:password@host:587` with STARTTLS, or `smtps://…:465`. Without it"
        " mail is written to a folder in development, and waits in production.",
    )
    mail_from: str | None = Field(
        None, description="The sender of mail: `Callout <support@example.com>`. Message-IDs have its domain."
    )
    mail_reply_to: str | None = Field(None, description="Where replies go, if not to the sender.")
    mail_dir: Path | None = Field(
        None, description="The folder for mail in development; `mail` in the data directory if not set."
    )
    templates_dir: Path | None = Field(
        None, description="A folder of mail templates that replace the built-in ones of the same name."
    )
    public_url: str | None = Field(
        None,
        description="Where links in notifications lead, `{url}/tickets/{reference}`, unless the next three settings say"
        " otherwise. If not set, the server itself in development; in production there are no links.",
    )
    portal_url: str | None = Field(
        None,
        description="Where links in mail to customers lead, if not below `CALLOUT_PUBLIC_URL`:"
        " `https://portal.example.com`, to which `/tickets/{reference}` is added, or a URL with `{reference}` or `{id}`"
        " in it.",
    )
    dashboard_url: str | None = Field(None, description="The same for links in mail to admins, and in Google Chat.")
    device_url: str | None = Field(None, description="The same for links in mail to technicians.")
    company_name: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="The company in whose name mail is sent. If not set, the name in `CALLOUT_MAIL_FROM`.",
    )
    company_logo_url: str | None = Field(
        None,
        description="A picture of the company's logo, 40 pixels high, that mail shows: `https://…`. Many mail programs"
        " show its name instead until the reader wants pictures.",
    )
    time_zone: str = Field(
        "UTC",
        description="The time zone of times in mail, and of viewers whose token names none: a name of the IANA"
        " database, such as `America/Toronto`.",
    )
    confirm_url: str | None = Field(
        None,
        description="Callout's page `/confirm-address` as the recipients of mail reach it, on which they confirm their"
        " address. If not set, `{CALLOUT_PUBLIC_URL}/confirm-address`.",
    )
    mail_files_mib: Annotated[int, Field(ge=0, le=50)] = Field(
        5,
        description="How many MiB of files a mail may carry; others are named in it. 0 to carry none.",
    )
    mail_confirmations_per_address: Annotated[int, Field(ge=1, le=1_000)] = Field(
        5,
        description="How many mails that ask to confirm it go to one address in 24 hours, without an answer, whoever"
        " causes them.",
    )
    mail_confirmations_per_customer: Annotated[int, Field(ge=1, le=100_000)] = Field(
        20,
        description="How many such mails the tickets of one customer cause in 24 hours, without an answer; further ones"
        " wait.",
    )
    mail_confirmations_per_service: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        3_600,
        description="How many such mails the tickets of one API key, or all inbound mail, cause in an hour, without an"
        " answer; further ones wait.",
    )
    mail_addresses_per_domain: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        200,
        description="How many different addresses of one domain are sent such a mail in 24 hours, without an answer,"
        " whoever causes them; further ones wait.",
    )
    mail_receipts_per_address: Annotated[int, Field(ge=1, le=10_000)] = Field(
        20,
        description="How many mails about new tickets a contact gets in 24 hours, if neither staff created them nor the"
        " contact, with a token.",
    )
    mail_answers_per_ticket: Annotated[int, Field(ge=1, le=10_000)] = Field(
        20, description="Of how many answers to one ticket each recipient is notified in an hour."
    )
    mail_answers_per_customer: Annotated[int, Field(ge=1, le=10_000)] = Field(
        60, description="Of how many answers by one customer each recipient is notified in an hour."
    )
    mail_summary_after: Annotated[int, Field(ge=1, le=10_000)] = Field(
        30,
        description="After how many notifications of new tickets, within `CALLOUT_MAIL_SUMMARY_MINUTES`, an admin"
        " recipient and the Google Chat space get a summary instead.",
    )
    mail_summary_minutes: Annotated[float, Field(gt=0, le=1_440)] = Field(
        10, description="For how many minutes of new tickets one summary is."
    )
    push_private_key: str | None = Field(
        None,
        repr=False,
        description="The key with which notices to devices are signed (Web Push), as `callout push-keys` prints it. No"
        " device is notified if not set. `callout[push]` installs what it needs.",
    )
    push_contact: str | None = Field(
        None,
        description="Where push services reach you, a `mailto:` or `https:` URL; by default the address of"
        " `CALLOUT_MAIL_FROM`.",
    )
    push_private_hosts: Literal["refuse", "allow"] = Field(
        "refuse",
        description="`allow` lets devices name push services that are not on the public internet.",
    )
    push_subscription_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        90, description="After how many days a device is forgotten that has not set its subscription again."
    )
    push_wait_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        5,
        description="For how many seconds a device's live stream may confirm an event before the device gets a notice.",
    )
    webhook_private_hosts: Literal["refuse", "allow"] = Field(
        "refuse",
        description="`allow` lets the webhook lead to hosts that are not on the public internet, such as one of this"
        " machine or of its network.",
    )
    webhooks: bool = Field(
        True, description="Whether server processes carry webhooks, which post what happens to URLs."
    )
    webhook_retry_seconds: Annotated[float, Field(gt=0, le=3_600)] = Field(
        5,
        description="Seconds after which a webhook's message that was not acknowledged is sent again. They double with"
        " each further attempt, up to an hour.",
    )
    webhook_give_up_hours: Annotated[float, Field(gt=0, le=8_760)] = Field(
        72, description="After how many hours of failed attempts a webhook is suspended, and the admins are notified."
    )
    author_absence_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        30,
        description="After how many days without a valid token of theirs an author's webhooks are suspended, and a"
        " technician's or admin's devices get no more notices. For those who sign in elsewhere: who signs in here, or"
        " has an API key, keeps both for as long as the access.",
    )
    webhook_delivery_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        30, description="How many days it is kept which attempts to deliver webhooks have made."
    )
    imap_url: str | None = Field(
        None,
        repr=False,
        description="The mailbox that `callout mail-in --imap` empties: `imaps://user:password@host/INBOX`; without the"
        " password if the next settings are set.",
    )
    imap_oauth_token_url: str | None = Field(
        None,
        description="Where access tokens for the mailbox are issued, for Microsoft 365 and Gmail:"
        " `https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token`, `https://oauth2.googleapis.com/token`.",
    )
    imap_oauth_client_id: str | None = Field(None, description="The id of Callout as an application there.")
    imap_oauth_client_secret: str | None = Field(
        None, repr=False, description="The secret of that application, if it has one."
    )
    imap_oauth_refresh_token: str | None = Field(
        None,
        repr=False,
        description="The token that the mailbox's user has consented to. Without it the application itself must be"
        " allowed to read the mailbox (client credentials).",
    )
    imap_oauth_scope: str | None = Field(
        None,
        description="The scope of the tokens: `https://outlook.office365.com/.default` for client credentials at"
        " Microsoft. Often not needed with a refresh token.",
    )
    mail_lists: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The addresses of Google Groups and mailing lists that lead to Callout, besides its own:"
        " `support@example.com,…`. What other lists send is ignored.",
    )
    mail_forms: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The addresses from which your web forms send, besides Callout's own: `website@example.com,…`."
        " Their `Reply-To` is believed as a `From` is; what other forms name is nobody's until it is confirmed.",
    )
    mail_unvouched_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        300,
        description="How many inbound messages of strangers are processed in an hour, all senders together; and as many"
        " of known senders whom no mail server vouches for. More are kept aside for an admin.",
    )
    mail_unvouched_per_day: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        2_000, description="The same in 24 hours."
    )
    mail_authserv_id: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The authserv-ids of the mail servers whose `Authentication-Results` count in inbound mail:"
        " `mx.example.com,…`; `-` for a server that gives none, as Exchange Online. Not set, no sender is verified.",
    )
    mail_socket: Path | None = Field(
        None,
        description="The path of a socket on which a server receives what `callout mail-in` takes, which is then five"
        " times as quick. Its folder belongs to the user of both.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe messages to log."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="`json` writes one object for each line; the default in production."
    )
    slow_operation_ms: Annotated[int, Field(ge=1, le=3_600_000)] = Field(
        2_000,
        description="Queries and mutations that take more milliseconds are logged, with where the time went and without"
        " their variables.",
    )
    tracing: bool = Field(
        False,
        description="Whether operations are traced by OpenTelemetry, which `callout[tracing]` installs, and exported as"
        " its own variables say: `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    )
    sentry_dsn: str | None = Field(
        None,
        repr=False,
        description="The DSN of a project at Sentry, to which faults are reported, without anything of requests."
        " `callout[sentry]` installs what it needs.",
    )
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None,
        description="The port of `/metrics`. Of several server processes each has one, the next ones from here;"
        " `callout notify` the one behind them. There are no metrics if not set.",
    )
    metrics_host: str = Field("127.0.0.1", description="The address to listen on for metrics.")
    metrics_token: Annotated[str, Field(min_length=16)] | None = Field(
        None,
        repr=False,
        description="The token that reads the metrics, as `Authorization: Bearer`; at least 16 characters. If not set,"
        " they need none.",
    )

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def jwt_lifetime(self) -> timedelta:
        """The longest that a token may be valid."""
        return timedelta(days=self.jwt_max_lifetime_days)

    @property
    def author_absence(self) -> timedelta:
        """For how long the webhooks and devices of somebody work who shows no valid token."""
        return timedelta(days=self.author_absence_days)

    @property
    def webhook_pace(self) -> WebhookPace:
        return WebhookPace(self.webhook_retry_seconds, give_up=self.webhook_give_up_hours * 3_600)

    @property
    def smtp_server(self) -> SmtpServer | None:
        return None if self.smtp_url is None else SmtpServer.parse(self.smtp_url)

    @property
    def scanner(self) -> Scanner | None:
        return None if self.clamd_url is None else Scanner.parse(self.clamd_url)

    @property
    def sender(self) -> Mailbox:
        return Mailbox.parse(self.mail_from or DEVELOPMENT_SENDER)

    @property
    def reply_to(self) -> Mailbox:
        return self.sender if self.mail_reply_to is None else Mailbox.parse(self.mail_reply_to)

    @property
    def trusted(self) -> TrustedDocuments:
        """The documents of the manifest. Raises `ValueError` if it can no longer be read."""
        documents = {} if self.trusted_documents is None else read_manifest(self.trusted_documents)
        return TrustedDocuments(documents, only=self.trusted_documents_only)

    @property
    def with_ide(self) -> bool:
        return self.ide == "on" if self.ide is not None else not self.production

    @property
    def introspecting(self) -> frozenset[Role]:
        """The roles that may introspect the schema."""
        return {"on": EVERYONE, "staff": STAFF, "off": frozenset[Role]()}[self.introspection]

    @property
    def bell_url(self) -> str:
        return self.pubsub_url or "postgres://"

    @property
    def times(self) -> Times:
        return Times(
            init=self.socket_init_seconds,
            admission=self.socket_admission_seconds,
            ping=self.socket_ping_seconds,
            silence=self.socket_silence_seconds,
            beat=self.stream_beat_seconds,
            watch=self.connection_watch_seconds,
        )

    @property
    def client_addresses(self) -> ClientAddresses:
        return ClientAddresses([parse_network(proxy) for proxy in self.trusted_proxies])

    @property
    def allowances(self) -> dict[Role, Allowance]:
        """What each viewer of a role may take."""
        most = max(1, self.pool_size - 1)
        given = {
            Role.ADMIN: Allowance(self.budget_admin, min(self.concurrency_admin, most)),
            Role.TECHNICIAN: Allowance(self.budget_technician, min(self.concurrency_technician, most)),
            Role.CUSTOMER: Allowance(self.budget_customer, min(self.concurrency_customer, most)),
            Role.SERVICE: Allowance(self.budget_service, min(self.concurrency_service, most)),
        }
        return given if self.budgets else dict.fromkeys(Role, UNLIMITED)

    @property
    def direct_url(self) -> str | None:
        """The URL of PostgreSQL itself; None for the embedded server."""
        return self.database_direct_url or self.database_url

    @property
    def own_mail(self) -> OwnMail:
        """What is ours in inbound mail: the addresses, the Message-ID domain and the mail servers."""
        sender = self.sender
        addresses = frozenset({sender.address.lower(), self.reply_to.address.lower()})
        servers, lists, forms = map(frozenset, (self.mail_authserv_id, self.mail_lists, self.mail_forms))
        unvouched = UnvouchedShare(self.mail_unvouched_per_hour, self.mail_unvouched_per_day)
        return OwnMail(addresses, sender.domain, servers, lists, forms, unvouched)

    @property
    def imap_oauth(self) -> OAuthClient | None:
        """How tokens for the mailbox are asked for; None if it has a password."""
        if self.imap_oauth_token_url is None or self.imap_oauth_client_id is None:
            return None
        return OAuthClient(
            self.imap_oauth_token_url,
            self.imap_oauth_client_id,
            self.imap_oauth_client_secret,
            self.imap_oauth_refresh_token,
            self.imap_oauth_scope,
        )

    @property
    def mail_folder(self) -> Path:
        return self.mail_dir or self.data_dir / MAIL

    @property
    def object_store(self) -> ObjectStore:
        return ObjectStore(self.files_url, self.data_dir / FILES)

    @property
    def file_limits(self) -> FileLimits:
        return FileLimits(
            file_bytes=self.file_max_mib * MEBIBYTE,
            ticket_files=self.ticket_files,
            ticket_bytes=self.ticket_files_mib * MEBIBYTE,
            person_files=self.files_per_day,
            person_bytes=self.files_per_day_mib * MEBIBYTE,
            service_files=self.files_per_day_service,
            service_bytes=self.files_per_day_service_mib * MEBIBYTE,
            upload_time=timedelta(hours=self.upload_hours),
        )

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may open sockets, also where a proxy has changed the `Host` header: those that are
        allowed, and the API's own."""
        if self.api_url is None:
            return self.allowed_origins
        own = urlsplit(self.api_url)
        return (*self.allowed_origins, f"{own.scheme}://{own.netloc}".lower())

    @property
    def api_base(self) -> str:
        """What the URLs of attached files begin with; empty for paths on the API's own host."""
        return self.api_url or ("" if self.production else f"http://127.0.0.1:{self.port}")

    @property
    def retained(self) -> dict[Retained, timedelta]:
        """The rows that are pruned, with the time for which they are kept."""
        days = {
            retention.DELIVERIES: self.delivery_retention_days,
            retention.INBOUND_MESSAGES: self.inbound_retention_days,
            retention.RAW_MAIL: self.raw_mail_retention_days,
            retention.AUDIT_ENTRIES: self.audit_retention_days,
            retention.IDEMPOTENCY_KEYS: self.idempotency_retention_days,
            retention.DEVICES: self.idempotency_retention_days,
            retention.REJECTED_ATTACHMENTS: self.rejected_file_retention_days,
            retention.WEBHOOK_DELIVERIES: self.webhook_delivery_retention_days,
        }
        kept = {each: timedelta(days=number) for each, number in days.items() if number is not None}
        return kept | {
            retention.USED_STREAM_TICKETS: timedelta(hours=1),
            retention.SESSIONS: timedelta(days=self.session_days),
            retention.SIGN_IN_LINKS: retention.SIGN_IN_LINKS_COUNT,
            retention.PUSH_SUBSCRIPTIONS: timedelta(days=self.push_subscription_days),
            retention.PUSH_OF_ABSENT: self.author_absence,
        }

    @property
    def push_key(self) -> VapidKey | None:
        return None if self.push_private_key is None else _vapid_key(self.push_private_key)

    @property
    def push_contact_url(self) -> str:
        return self.push_contact or f"mailto:{self.sender.address}"

    @property
    def link_base(self) -> str | None:
        """The URL that links in notifications start with; None for notifications without links."""
        if self.public_url is None and not self.production:
            return f"http://127.0.0.1:{self.port}"
        return self.public_url

    @property
    def ticket_links(self) -> TicketLinks:
        """Where links to tickets lead, for each audience."""
        links = (url or self.link_base for url in (self.portal_url, self.dashboard_url, self.device_url))
        return TicketLinks(*(None if url is None else ticket_page(url) for url in links))

    @property
    def company(self) -> CompanyProfile:
        """The company as notifications present it."""
        return CompanyProfile(
            self.company_name or self.sender.name or "Callout", self.company_logo_url, zone_of(self.time_zone)
        )

    @property
    def confirm_base(self) -> str | None:
        """The URL of the page that confirms an address; None for mail without links to it."""
        return self.confirm_url or (None if self.link_base is None else f"{self.link_base}/confirm-address")

    @property
    def mail_limits(self) -> Limits:
        return Limits(
            confirmations_per_address=self.mail_confirmations_per_address,
            confirmations_per_customer=self.mail_confirmations_per_customer,
            confirmations_per_service=self.mail_confirmations_per_service,
            addresses_per_domain=self.mail_addresses_per_domain,
            receipts_per_address=self.mail_receipts_per_address,
            answers_per_ticket=self.mail_answers_per_ticket,
            answers_per_customer=self.mail_answers_per_customer,
            summary_after=self.mail_summary_after,
            summary_time=timedelta(minutes=self.mail_summary_minutes),
        )

    @model_validator(mode="before")
    @classmethod
    def _default_log_format(cls, values: Any) -> Any:
        if values.get("env") == "production":
            values.setdefault("log_format", "json")
        return values

    @field_validator(
        *("env", "introspection", "log_level", "log_format", "push_private_hosts", "webhook_private_hosts"),
        mode="before",
    )
    @classmethod
    def _in_lower_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _normalise_database_url(cls, url: str | None) -> str | None:
        return None if url is None else _database_url(url)

    @field_validator("database_replica_urls")
    @classmethod
    def _normalise_replica_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_database_url, urls))

    @field_validator("trusted_documents")
    @classmethod
    def _readable_manifest(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_manifest(path)
        return path

    @field_validator("trusted_documents_only")
    @classmethod
    def _with_documents(cls, only: bool, info: ValidationInfo) -> bool:
        if only and info.data.get("trusted_documents") is None:
            raise ValueError(f"needs {PREFIX}TRUSTED_DOCUMENTS, or all documents would be refused")
        return only

    @field_validator("socket_silence_seconds")
    @classmethod
    def _longer_than_until_the_ping(cls, silence: float, info: ValidationInfo) -> float:
        if silence <= info.data.get("socket_ping_seconds", 0):
            raise ValueError(f"must be more than {PREFIX}SOCKET_PING_SECONDS, so that clients can answer the ping")
        return silence

    @field_validator("metrics_port")
    @classmethod
    def _is_another_port(cls, metrics: int | None, info: ValidationInfo) -> int | None:
        given = info.data
        if metrics is not None and metrics <= given.get("port", 0) < metrics + given.get("workers", 1):
            raise ValueError(f"must not lead to {PREFIX}PORT: metrics have a port for each process")
        return metrics

    @field_validator("clamd_url")
    @classmethod
    def _is_a_scanner(cls, url: str | None) -> str | None:
        if url is not None:
            Scanner.parse(url)
        return url

    @field_validator("imap_url")
    @classmethod
    def _check_imap_url(cls, url: str | None) -> str | None:
        if url is not None and not (account := Account.of(url)).encrypted and account.host not in LOOPBACK:
            raise ValueError("must start with imaps://, so that the password is encrypted")
        return url

    @field_validator(
        *("allowed_origins", "database_replica_urls", "mail_authserv_id", "mail_forms", "mail_lists"),
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split(cls, listed: Any) -> Any:
        return tuple(filter(None, map(str.strip, listed.split(",")))) if isinstance(listed, str) else listed

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _is_origin(origin):
                raise ValueError(f"{origin} is not an origin: a scheme, a host, and a port unless it is the usual one")
        return origins

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            if parse_network(proxy).prefixlen == 0:
                raise ValueError(f"{proxy} trusts everybody, so anybody could choose the address that is logged")
        return proxies

    @field_validator("mail_authserv_id")
    @classmethod
    def _are_authserv_ids(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"-|[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", id_, re.IGNORECASE) for id_ in ids):
            raise ValueError("must be authserv-ids such as mx.example.com, separated by commas")
        return tuple(map(str.lower, ids))

    @field_validator("mail_lists", "mail_forms")
    @classmethod
    def _are_addresses(cls, listed: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(Mailbox.of("", address).address.lower() for address in listed)

    @field_validator("data_dir", "mail_dir", "templates_dir", "mail_socket")
    @classmethod
    def _make_absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("push_private_key")
    @classmethod
    def _is_a_push_key(cls, key: str | None) -> str | None:
        return None if key is None else _vapid_key(key).text

    @field_validator("push_contact")
    @classmethod
    def _is_a_contact(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"(mailto:[^\s@]+@[^\s@]+|https://[^\s/]+[^\s]*)", url):
            raise ValueError("must be a URL such as mailto:support@example.com or https://example.com/contact")
        return url

    @field_validator("smtp_url")
    @classmethod
    def _names_a_mail_server(cls, url: str | None) -> str | None:
        if url is not None:
            SmtpServer.parse(url)
        return url

    @field_validator("mail_from", "mail_reply_to")
    @classmethod
    def _is_a_mailbox(cls, text: str | None) -> str | None:
        if text is not None and not Mailbox.parse(text).address.isascii():
            raise ValueError("must have an ASCII address: not every mail server accepts others")
        return text

    @field_validator("files_url")
    @classmethod
    def _is_a_store(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            of_a_cloud = parts.scheme in SCHEMES and bool(parts.hostname)
            if not (of_a_cloud or (parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc)):
                raise ValueError("must start with s3://, gs:// or az:// and name a bucket, or with file:///")
        return url

    @field_validator("public_url", "confirm_url", "api_url")
    @classmethod
    def _is_the_begin_of_links(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        plain = not (parts.query or parts.fragment or "@" in parts.netloc or re.search(r"[^!-~]", url))
        if not (plain and parts.scheme in ("https", "http") and parts.hostname and _has_port_or_none(parts)):
            raise ValueError("must be a URL such as https://callout.example.com, to which a path can be added")
        return url.rstrip("/")

    @field_validator("portal_url", "dashboard_url", "device_url")
    @classmethod
    def _is_a_link(cls, url: str | None) -> str | None:
        """A URL to which a path can be added, or one with places for the ticket's reference or id."""
        if url is None:
            return None
        filled = url.replace(REFERENCE, "x").replace(ID, "x")
        if filled == url:
            return cls._is_the_begin_of_links(url)
        parts = urlsplit(filled)
        plain = not ("@" in parts.netloc or re.search(r"[^!-~]|[{}\"<>]", filled))
        if not (plain and parts.scheme in ("https", "http") and parts.hostname and _has_port_or_none(parts)):
            raise ValueError("must be a URL such as https://portal.example.com/tickets/{reference}")
        return url

    @field_validator("company_logo_url")
    @classmethod
    def _is_a_picture(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or not re.fullmatch(r"[!#-;=?-~]+", url):
            raise ValueError("must be a URL such as https://example.com/logo.png")
        return url

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return zone_of(name).key

    @field_validator("jwt_secret", "jwt_secret_previous")
    @classmethod
    def _long_enough(cls, secret: str | None) -> str | None:
        if secret is not None and len(secret.encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"is shorter than {SECRET_BYTES_MIN} bytes; `openssl rand -base64 48` makes a good one")
        return secret

    @field_validator("jwt_secret_previous")
    @classmethod
    def _another(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if secret is not None and secret == info.data.get("jwt_secret"):
            raise ValueError(f"is the same as {PREFIX}JWT_SECRET: set that to a new secret, or unset this one")
        return secret

    @field_validator("jwt_claims", mode="before")
    @classmethod
    def _parse_claims(cls, given: Any) -> Any:
        return parse_claims(given) if isinstance(given, str) else given

    @field_validator("jwt_issuers", mode="before")
    @classmethod
    def _parse_issuers(cls, given: Any) -> Any:
        return parse_issuers(given) if isinstance(given, str) else given

    @field_validator("jwt_claims")
    @classmethod
    def _of_an_issuer(cls, claims: ClaimMapping | None, info: ValidationInfo) -> ClaimMapping | None:
        if claims is not None and info.data.get("jwt_jwks_url", "") is None:
            raise ValueError(
                f"is set, but {PREFIX}JWT_JWKS_URL is not. Tokens that are signed with a secret have Callout's claims"
            )
        return claims

    @field_validator("jwt_issuers")
    @classmethod
    def _besides_the_issuer(cls, issuers: tuple[TrustedIssuer, ...], info: ValidationInfo) -> tuple[TrustedIssuer, ...]:
        if info.data.get("jwt_issuer") in [each.issuer for each in issuers]:
            raise ValueError(f"has the issuer of {PREFIX}JWT_ISSUER, which is for the tokens of the other settings")
        return issuers

    @field_validator("database_direct_url", "database_replica_urls")
    @classmethod
    def _besides_the_database_url(cls, url: Any, info: ValidationInfo) -> Any:
        if url and info.data.get("database_url", "") is None:
            raise ValueError(f"is set, but {PREFIX}DATABASE_URL is not: set that alone, or both")
        return url

    @field_validator("imap_oauth_token_url")
    @classmethod
    def _keeps_secrets_encrypted(cls, url: str | None) -> str | None:
        if url is not None and not _is_private_enough(url):
            raise ValueError("must start with https://, so that the secrets are encrypted")
        return url

    @model_validator(mode="after")
    def _logs_in_to_the_mailbox(self) -> Self:
        oauth = (self.imap_oauth_token_url, self.imap_oauth_client_id)
        if any(oauth) and not all(oauth):
            raise InvalidSettings(
                [f"{PREFIX}IMAP_OAUTH_TOKEN_URL and {PREFIX}IMAP_OAUTH_CLIENT_ID must be set together."]
            )
        if self.imap_oauth is not None and self.imap_oauth_client_secret is None and not self.imap_oauth_refresh_token:
            raise InvalidSettings(
                [f"{PREFIX}IMAP_OAUTH_CLIENT_SECRET or {PREFIX}IMAP_OAUTH_REFRESH_TOKEN must be set as well."]
            )
        if self.imap_url is not None and not Account.of(self.imap_url).password and self.imap_oauth is None:
            raise InvalidSettings([f"{PREFIX}IMAP_URL has no password, so {PREFIX}IMAP_OAUTH_TOKEN_URL must be set."])
        return self

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if not self.production:
            return self
        problems = []
        if self.database_url is None:
            problems.append(f"{PREFIX}DATABASE_URL must be set in production: the embedded server is for development.")
        if self.jwt_secret is None and self.jwt_jwks_url is None and not self.jwt_issuers:
            problems.append(
                f"{PREFIX}JWT_SECRET, {PREFIX}JWT_JWKS_URL or {PREFIX}JWT_ISSUERS must be set in production;"
                " `openssl rand -base64 48` makes a good secret."
            )
        for name, secret in (("JWT_SECRET", self.jwt_secret), ("JWT_SECRET_PREVIOUS", self.jwt_secret_previous)):
            if secret is not None and secret.startswith(DEVELOPMENT_SECRET):
                problems.append(f"{PREFIX}{name} is a development secret, which must not be used in production.")
        if self.jwt_secret_previous is not None and self.jwt_secret is None:
            problems.append(f"{PREFIX}JWT_SECRET_PREVIOUS is set, but {PREFIX}JWT_SECRET is not: set both, or neither.")
        if self.jwt_jwks_url is not None and not _is_private_enough(self.jwt_jwks_url):
            problems.append(f"{PREFIX}JWT_JWKS_URL must start with https:// in production.")
        for issuer in self.jwt_issuers:
            if not all(map(_is_private_enough, filter(None, (issuer.issuer, issuer.jwks_url)))):
                problems.append(
                    f"{PREFIX}JWT_ISSUERS: the URLs of {issuer.name} must start with https:// in production."
                )
        if self.link_base is None and any(each.browser for each in self.jwt_issuers):
            problems.append(
                f"{PREFIX}PUBLIC_URL must be set in production: providers in {PREFIX}JWT_ISSUERS return browsers there."
            )
        if self.push_private_key is not None and self.push_contact is None and self.mail_from is None:
            problems.append(f"{PREFIX}PUSH_CONTACT must be set in production: mailto:support@example.com.")
        if self.smtp_url is not None and self.mail_from is None:
            problems.append(f"{PREFIX}MAIL_FROM must be set in production to send mail: Callout <support@example.com>.")
        if problems:
            raise InvalidSettings(problems)
        return self

    @model_validator(mode="after")
    def _secret_of_development(self) -> Self:
        if not (self.production or self.jwt_secret or self.jwt_jwks_url or self.jwt_issuers):
            # The model is frozen; only this default, which needs the data directory, is set later.
            object.__setattr__(self, "jwt_secret", _development_secret(self.data_dir))
        return self


def load(**overrides: Any) -> Settings:
    """Returns the settings of this process. `overrides` take precedence over the environment, unless they are None.

    Raises `InvalidSettings` with as many of the problems as can be found at once, and never with a secret's text.
    """
    misspelt = [f"{name}: {problem}" for name, problem in unknown_variables().items()]
    try:
        settings = load_known(**overrides)
    except InvalidSettings as error:
        raise InvalidSettings(misspelt + error.problems) from None
    if misspelt:
        raise InvalidSettings(misspelt)
    return settings


def load_known(**overrides: Any) -> Settings:
    """Like `load`, but ignores variables that are not settings."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**(_from_files(given) | given))
    except ValidationError as error:
        raise InvalidSettings([_line(problem["loc"], problem["msg"]) for problem in error.errors()]) from None


def _from_files(overrides: dict[str, Any]) -> dict[str, str]:
    """Returns the settings that stand in files (`CALLOUT_JWT_SECRET_FILE`), without the line break at the end. Raises
    `InvalidSettings`."""
    texts, problems = {}, []
    for field in Settings.model_fields:
        name = file_variable(field)
        path = os.environ.get(name)
        if not path or field in overrides:
            continue
        if os.environ.get(variable(field)):
            problems.append(f"{name} and {variable(field)} are both set: unset one of them.")
            continue
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read(FILE_MAX + 1)
        except OSError as error:
            problems.append(f"{name}: {path} cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            problems.append(f"{name}: {path} is not a text in UTF-8")
        else:
            if len(text) > FILE_MAX:
                problems.append(f"{name}: {path} has more than {FILE_MAX:,} characters")
            elif text.strip():
                texts[field] = text.removesuffix("\n").removesuffix("\r")
            else:
                problems.append(f"{name}: {path} is empty")
    if problems:
        raise InvalidSettings(problems)
    return texts


def variable(field: str) -> str:
    """Returns the name of the environment variable that sets `field`."""
    return PREFIX + field.upper()


def file_variable(field: str) -> str:
    """Returns the name of the environment variable that names a file with the value of `field`."""
    return f"{variable(field)}_FILE"


def documentation() -> list[tuple[str, str, str]]:
    """Returns for each setting its variable, its default as text, and its description."""
    return [
        (variable(name), in_words(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def in_words(value: Any) -> str:
    """Returns a setting's value as one writes it in the environment; "none" if there is none."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def unknown_variables() -> dict[str, str]:
    """Returns the `CALLOUT_*` variables that are not settings, each with a sentence on what it may have been meant to
    be: a misspelt one would otherwise go unnoticed."""
    names = (name for field in Settings.model_fields for name in (variable(field), file_variable(field)))
    known = [name.removeprefix(PREFIX) for name in names]
    problems = {}
    for name in sorted(os.environ):
        rest = name.removeprefix(PREFIX)
        if rest not in (name, *known) and not _OF_KUBERNETES.match(name):
            near = get_close_matches(rest, known, n=1)
            advice = f"the nearest is {PREFIX}{near[0]}" if near else "unset it"
            problems[name] = f"no setting has this name; {advice}."
    return problems


def _line(location: tuple[int | str, ...], message: str) -> str:
    name = variable(str(location[0])) if location else PREFIX.rstrip("_")
    return f"{name}: {message.removeprefix('Value error, ')}"


def _database_url(url: str) -> str:
    """The URL as asyncpg takes it. Raises `ValueError`."""
    parts = server_url(url)
    if parts.scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        raise ValueError("must start with postgresql://")
    if not parts.path.strip("/"):
        raise ValueError("must name a database: postgresql://user@host:5432/database")
    return "postgresql" + url[len(parts.scheme) :]


def _is_origin(text: str) -> bool:
    """Whether a browser would send `text` as an origin: in lower case, in ASCII, without a path and the usual port."""
    parts = urlsplit(text)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    if usual is None or not parts.hostname or not _has_port_or_none(parts) or parts.port == usual:
        return False
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port is None else f":{parts.port}"
    return (
        text.isascii()
        and text == f"{parts.scheme}://{host}{port}"
        and re.fullmatch(r"[a-z0-9._:\[\]-]+", host + port) is not None
    )


def _has_port_or_none(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:  # not passed on: its message quotes part of the URL, perhaps of the password
        return False


def _is_private_enough(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _development_secret(data_dir: Path) -> str:
    """Returns the secret kept in `data_dir`, readable by its owner only. The first process that needs it creates it.
    Raises `InvalidSettings` if the file cannot be read or written."""
    path = data_dir / SECRET
    try:
        make_data_directory(data_dir)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            draft.touch(mode=FILE_MODE)
            draft.write_text(DEVELOPMENT_SECRET + secrets.token_urlsafe(48))
            try:
                os.link(draft, path)  # atomic: a reader never sees half a secret, and only the first process wins
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise InvalidSettings([f"{PREFIX}DATA_DIR: {path} cannot be used: {error.strerror}"]) from error


def _vapid_key(text: str) -> VapidKey:
    from notifiers.vapid import VapidKey  # cryptography, for which mail-in does not wait

    return VapidKey.parse(text)
