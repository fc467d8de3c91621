"""Every setting of Callout, read from `CALLOUT_*` environment variables, here and nowhere else.

In development everything has a value: with no database URL an embedded server is used, and the secret that signs
tokens is made once and kept under the data directory, so that several processes, and the same one tomorrow, agree.
In production nothing is made up: what is missing or unsafe is refused with the name of the variable to set.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from db.server_url import server_url
from notifiers.addresses import Mailbox
from notifiers.imap import Account
from notifiers.message_ids import OwnMail
from notifiers.smtp_server import SmtpServer
from pubsub.connections import Times

PREFIX = "CALLOUT_"
SECRET_BYTES_MIN = 32  # RFC 7518, section 3.2: a key for HS256 is at least as long as its hash
DEVELOPMENT_SECRET = "development-"  # what every secret made up for development starts with
DEVELOPMENT_SECRET_FILE = "development-secret"
DEVELOPMENT_SENDER = "Callout <support@callout.localhost>"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}

Seconds: TypeAlias = Annotated[float, Field(gt=0, le=3_600)]


class InvalidSettings(Exception):
    """One or more settings cannot be used. `problems` has a line for each, which names the variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    env: Literal["development", "production"] = Field(
        "development",
        description="`production` refuses whatever is convenient and unsafe, and offers no IDE.",
    )
    database_url: str | None = Field(
        None,
        repr=False,
        description="`postgresql://user:password@host:5432/database`, PostgreSQL 14 or later. Without it, in"
        " development, an embedded server keeps its data under the data directory.",
    )
    data_dir: Path = Field(Path(".data"), description="Where the embedded server and the development secret are kept.")
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(8000, description="The port to listen on.")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="How many server processes share the port.")
    pool_size: Annotated[int, Field(ge=1, le=200)] = Field(
        10, description="How many database connections each process may hold."
    )
    pubsub_url: str | None = Field(
        None,
        repr=False,
        description="How server processes wake each other: `postgres://` (the database, which is the default),"
        " `redis://host:6379` (Redis or Valkey), `kafka://host:9092` (with aiokafka installed), or `memory://` for one"
        " process alone.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="The origins whose pages may open WebSockets, besides the server's own: `https://a.example,…`.",
    )
    socket_init_seconds: Seconds = Field(10, description="How long a WebSocket may take to send `connection_init`.")
    socket_admission_seconds: Seconds = Field(
        10, description="How long the check of a token that comes over a WebSocket may take."
    )
    socket_ping_seconds: Annotated[float, Field(gt=0, le=40)] = Field(
        20,
        description="After how much silence of a client the server sends it a `ping`. Clients take 45 s without one for"
        " a broken line.",
    )
    socket_silence_seconds: Seconds = Field(
        60, description="After how much silence a client's WebSocket is closed; longer than the time until the `ping`."
    )
    stream_beat_seconds: Seconds = Field(
        15, description="How long server-sent events may be silent before a comment is sent, for proxies on the way."
    )
    connection_watch_seconds: Annotated[float, Field(gt=0, le=5)] = Field(
        1, description="How often live connections are checked for silence, expired tokens and viewers who lost access."
    )
    event_retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None,
        description="For how many days events are kept: how far back streams go, and the history of tickets. For ever"
        " if not set.",
    )
    jwt_secret: str | None = Field(
        None,
        repr=False,
        description="Signs and checks HS256 tokens; at least 32 bytes. Made up and kept in development.",
    )
    jwt_jwks_url: str | None = Field(
        None, description="Where the issuer publishes its RS256 and ES256 keys, in place of a secret or beside it."
    )
    jwt_issuer: str = Field("callout", min_length=1, description="What `iss` of a token must be.")
    jwt_audience: str = Field("callout", min_length=1, description="What `aud` of a token must be, or hold.")
    notify: bool = Field(
        True, description="Whether the server processes send notifications; `callout notify` does in any case."
    )
    notify_give_up: Annotated[float, Field(gt=0, le=8_760)] = Field(
        72, description="How many hours a notification is tried before it is given up."
    )
    smtp_url: str | None = Field(
        None,
        repr=False,
        description="Sends mail: `smtp://user:password@host:587` with STARTTLS, or `smtps://…:465`. Without it, in"
        " development, mail is written to a folder; in production there is none.",
    )
    mail_from: str | None = Field(
        None, description="From whom mail is: `Callout <support@example.com>`. Its domain is in the Message-IDs."
    )
    mail_reply_to: str | None = Field(None, description="Where answers to mail go, if not to the sender.")
    mail_dir: Path | None = Field(
        None, description="The folder for mail in development; `mail` in the data directory if not given."
    )
    templates_dir: Path | None = Field(
        None, description="A folder with mail templates that take the place of those with the same names."
    )
    public_url: str | None = Field(
        None,
        description="Where links in notices lead: `{url}/tickets/{reference}`. In development the server itself if not"
        " given; in production notices have no links then.",
    )
    imap_url: str | None = Field(
        None,
        repr=False,
        description="The mailbox that `callout mail-in --imap` empties: `imaps://user:password@host/INBOX`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe messages to log."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="`json` writes an object a line. In production that is the default."
    )

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def smtp_server(self) -> SmtpServer | None:
        return None if self.smtp_url is None else SmtpServer.parse(self.smtp_url)

    @property
    def sender(self) -> Mailbox:
        return Mailbox.parse(self.mail_from or DEVELOPMENT_SENDER)

    @property
    def reply_to(self) -> Mailbox:
        return self.sender if self.mail_reply_to is None else Mailbox.parse(self.mail_reply_to)

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
    def own_mail(self) -> OwnMail:
        """What mail of our own is known by."""
        sender = self.sender
        return OwnMail(frozenset({sender.address.lower(), self.reply_to.address.lower()}), sender.domain)

    @property
    def mail_folder(self) -> Path:
        return self.mail_dir or self.data_dir / "mail"

    @property
    def link_base(self) -> str | None:
        """What the links of notices begin with."""
        if self.public_url is None and not self.production:
            return f"http://127.0.0.1:{self.port}"
        return self.public_url

    @model_validator(mode="before")
    @classmethod
    def _default_log_format(cls, values: Any) -> Any:
        if values.get("env") == "production":
            values.setdefault("log_format", "json")
        return values

    @field_validator("env", "log_level", "log_format", mode="before")
    @classmethod
    def _in_lower_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _normalise_database_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = server_url(url)
        if parts.scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
            raise ValueError("must start with postgresql://")
        if not parts.path.strip("/"):
            raise ValueError("must name a database: postgresql://user@host:5432/database")
        return "postgresql" + url[len(parts.scheme) :]

    @field_validator("socket_silence_seconds")
    @classmethod
    def _longer_than_until_the_ping(cls, silence: float, info: ValidationInfo) -> float:
        if silence <= info.data.get("socket_ping_seconds", 0):
            raise ValueError(f"must be more than {PREFIX}SOCKET_PING_SECONDS, or nobody could answer the ping")
        return silence

    @field_validator("imap_url")
    @classmethod
    def _check_imap_url(cls, url: str | None) -> str | None:
        if url is not None and not (account := Account.of(url)).encrypted and account.host not in LOOPBACK:
            raise ValueError("must start with imaps://: a password is nobody else's business")
        return url

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, origins: Any) -> Any:
        return tuple(filter(None, map(str.strip, origins.split(",")))) if isinstance(origins, str) else origins

    @field_validator("data_dir", "mail_dir", "templates_dir")
    @classmethod
    def _make_absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

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
            raise ValueError("has an address that not every mail server takes: before the @ it must be ASCII")
        return text

    @field_validator("public_url")
    @classmethod
    def _is_the_begin_of_links(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        plain = not (parts.query or parts.fragment or "@" in parts.netloc or re.search(r"[^!-~]", url))
        if not (plain and parts.scheme in ("https", "http") and parts.hostname and _has_port_or_none(parts)):
            raise ValueError("must be an address such as https://callout.example.com, to which a path can be added")
        return url.rstrip("/")

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, secret: str | None) -> str | None:
        if secret is not None and len(secret.encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"is shorter than {SECRET_BYTES_MIN} bytes; `openssl rand -base64 48` makes a good one")
        return secret

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if not self.production:
            return self
        problems = []
        if self.database_url is None:
            problems.append(f"{PREFIX}DATABASE_URL must be set in production: the embedded server is for development.")
        if self.jwt_secret is None and self.jwt_jwks_url is None:
            problems.append(
                f"{PREFIX}JWT_SECRET or {PREFIX}JWT_JWKS_URL must be set in production;"
                " `openssl rand -base64 48` makes a good secret."
            )
        if self.jwt_secret is not None and self.jwt_secret.startswith(DEVELOPMENT_SECRET):
            problems.append(f"{PREFIX}JWT_SECRET is a development secret, which must not be used in production.")
        if self.jwt_jwks_url is not None and not _is_private_enough(self.jwt_jwks_url):
            problems.append(f"{PREFIX}JWT_JWKS_URL must start with https:// in production.")
        if self.smtp_url is not None and self.mail_from is None:
            problems.append(f"{PREFIX}MAIL_FROM must be set in production to send mail: Callout <support@example.com>.")
        if problems:
            raise InvalidSettings(problems)
        return self

    @model_validator(mode="after")
    def _secret_of_development(self) -> Self:
        if not self.production and self.jwt_secret is None and self.jwt_jwks_url is None:
            # The model is frozen for everybody else.
            object.__setattr__(self, "jwt_secret", _development_secret(self.data_dir))
        return self


def load(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` (None: not given) win over the environment.

    Raises `InvalidSettings` with all that is wrong, as far as it can be told at once, and never a secret's text.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise InvalidSettings([_line(problem["loc"], problem["msg"]) for problem in error.errors()]) from None


def variable(field: str) -> str:
    """The environment variable that sets `field`."""
    return PREFIX + field.upper()


def documentation() -> list[tuple[str, str, str]]:
    """For each setting the variable, its default as text, and what it does."""
    return [
        (variable(name), "none" if field.default in (None, ()) else str(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def unknown_variables() -> list[str]:
    """Variables that look like settings and aren't: a misspelt one would otherwise go unnoticed."""
    known = {variable(field) for field in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _line(location: tuple[int | str, ...], message: str) -> str:
    name = variable(str(location[0])) if location else PREFIX.rstrip("_")
    return f"{name}: {message.removeprefix('Value error, ')}"


def _has_port_or_none(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:  # with a piece of the URL in its message, which may be one of the password
        return False


def _is_private_enough(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _development_secret(data_dir: Path) -> str:
    """The secret kept in `data_dir`, readable by its owner only; made on first use, by one process of several."""
    path = data_dir / DEVELOPMENT_SECRET_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            draft.touch(mode=0o600)
            draft.write_text(DEVELOPMENT_SECRET + secrets.token_urlsafe(48))
            try:
                os.link(draft, path)  # whole or not at all, and only the first of several
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise InvalidSettings([f"{PREFIX}DATA_DIR: {path} cannot be used: {error.strerror}"]) from error
