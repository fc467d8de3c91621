"""The mail server that accepts our mail, parsed from a URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

from db.postgres.url import server_url

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PORTS = {"smtp": 587, "smtps": 465}

Security = Literal["tls", "starttls", "none"]


@dataclass(frozen=True, slots=True)
class SmtpServer:
    host: str
    port: int
    security: Security
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """Parse a URL. `smtps://user:password@host:465` uses TLS from the start. `smtp://user:password@host:587` uses
        STARTTLS, which the server must offer; not with `?tls=none`, and for a loopback host only with `?tls=starttls`.
        User and password are percent-decoded.

        Raises `ValueError`, whose text contains no part of the URL, if it is not of this form.
        """
        parts = server_url(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("must be smtp://user:password@host:587 or smtps://user:password@host:465")
        if parts.path.strip("/") or parts.fragment:
            raise ValueError("must not have a path or fragment after the host")
        local = parts.hostname in _LOOPBACK
        security: Security = "tls" if parts.scheme == "smtps" else "none" if local else "starttls"
        match parse_qsl(parts.query, keep_blank_values=True):
            case []:
                pass
            case [("tls", "none" | "starttls" as chosen)] if parts.scheme == "smtp":
                security = "none" if chosen == "none" else "starttls"
            case _:
                raise ValueError("may have only ?tls=none or ?tls=starttls as its query, and only with smtp://")
        if security == "none" and not local and parts.username is not None:
            raise ValueError("would send the password unencrypted: remove ?tls=none")
        user, password = (None if text is None else unquote(text) for text in (parts.username, parts.password))
        return cls(parts.hostname, parts.port or _PORTS[parts.scheme], security, user, password)
