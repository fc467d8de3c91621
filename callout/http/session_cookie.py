"""The cookie of a session, and the checks of requests that come with it.

A browser sends cookies with requests that pages of other origins make. So a request with the cookie must show that it
comes from a page of our own: by a header that other pages cannot send without asking (`X-Requested-With`), and by
`Sec-Fetch-Site` and `Origin`, where the browser sends them. `SameSite=Lax` keeps the cookie away from most such
requests in the first place
(https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from callout.http.client_address import is_loopback
from callout.http.errors import HttpError

NAME: Final = "__Host-callout"
"""The prefix makes the browser insist on `Secure`, on `Path=/`, and on no `Domain`: no other host can set it."""

_NAME: Final = NAME.encode()
_OWN: Final = b"callout"
_FROM_HERE: Final = (b"same-origin", b"none")


class CrossSite(HttpError):
    """A request with a session's cookie that may come from a page of another origin."""

    status = 403
    code = "CSRF"
    default = (
        "With a session's cookie, a request must come from a page of this server, over https, with"
        " `X-Requested-With: callout`."
    )


def secret_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The session's secret in the headers; None without a cookie."""
    return value_in(headers, _NAME)


def value_in(headers: Iterable[tuple[bytes, bytes]], cookie_name: bytes) -> str | None:
    """The value of a cookie in the headers; None without it. Other programs on the same host may have set cookies that
    no standard allows, after which the parser of the standard library stops."""
    for name, value in headers:
        if name == b"cookie":
            for pair in value.split(b";"):
                found, _, secret = pair.strip().partition(b"=")
                if found == cookie_name:
                    return secret.decode("latin-1")
    return None


def authorization_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The `Authorization` that the session's cookie stands for; None without one. Raises `CrossSite`."""
    given = list(headers)
    secret = secret_in(given)
    if secret is None:
        return None
    found = dict(given)
    if found.get(b"x-requested-with") != _OWN or not is_from_here(found):
        raise CrossSite
    return f"Bearer {secret}"


def is_from_here(headers: Mapping[bytes, bytes]) -> bool:
    """Whether nothing in the headers says that a page of another origin sends the request."""
    if headers.get(b"sec-fetch-site", b"same-origin") not in _FROM_HERE:
        return False
    origin = headers.get(b"origin")
    return origin is None or is_own(origin, headers.get(b"host", b""))


def is_own(origin: bytes, host: bytes) -> bool:
    """Whether the origin is the server's own, by the request's `Host`. A browser has the cookie only over `https` or
    from this computer, whatever proxies make of it. So a page of the same host that came without encryption, in which
    anybody on the way may have written, is none of ours."""
    try:
        parts = urlsplit(origin.decode("latin-1"))
        is_private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        return is_private and parts.netloc.lower() == host.decode("latin-1").lower() != ""
    except ValueError:
        return False


def cookie(value: str, seconds: int, name: str = NAME) -> str:
    """The value of `Set-Cookie` for a session of this many seconds, or another cookie; 0 ends it."""
    return f"{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"
