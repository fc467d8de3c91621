"""The IDE at `/graphql` for browsers: its page, its files, and the headers that bound what it may load and who may show
it. `make ide` builds the files from `callout/ide/`.

In development the page has a token, so that its examples run at once. Only the computer that the server runs on gets
it: a page of another site, a proxy and a DNS name that has been pointed at this computer do not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from callout.http.client_address import is_loopback
from callout.http.guard import OWN_CACHE_CONTROL

DIRECTORY: Final = Path(sys.prefix) / "share" / "callout" / "ide"
"""Where `make ide` puts the files."""
ENTRY: Final = "ide.js"

EXAMPLES: Final = (
    """# The newest open tickets.
# Ctrl+Enter runs it, Ctrl+Space suggests.
query List {
  tickets(filter: {status: [OPEN]}, first: 10) {
    totalCount
    nodes {
      id reference subject priority
      customer { name }
      technician { name }
    }
  }
}
""",
    """# Makes a ticket. A window in which Follow
# runs shows it at once.
mutation Create {
  ticketCreate(input: {
    subject: "Lobby camera is dark"
    description: "Since the power cut."
    category: CCTV
    contact: {
      name: "Ann Marsh", email: "ann@example.com"
    }
  }) {
    ticket { id reference status createdAt }
    userErrors { field code message }
  }
}
""",
    """# Shows each change of a ticket as it happens,
# over a WebSocket, until you stop it.
subscription Follow {
  ticketChanged {
    ... on TicketChange {
      change kind at
      actor { name }
      ticket { reference subject status priority }
    }
    ... on StreamReady { cursor resumed }
    ... on StreamReset { cursor reason }
  }
}
""",
)

# Monaco, the editor in GraphiQL, makes style elements; nothing needs inline scripts, `eval` or another origin.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",  # the page's address has the query that is being edited
    "x-frame-options": "DENY",  # for browsers that do not know `frame-ancestors`
}

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Callout: GraphQL</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{files}/ide.css">
<style>body {{ margin: 0; }} #ide {{ height: 100dvh; }}</style>
<script id="config" type="application/json">{config}</script>
<script type="module" src="{files}/ide.js"></script>
</head>
<body><div id="ide"></div><noscript>The IDE needs JavaScript.</noscript></body>
</html>
"""

_MISSING: Final = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Callout: GraphQL</title></head>
<body style="max-width: 40rem; margin: 10vh auto; padding: 0 16px; font: 17px/1.5 system-ui, sans-serif">
<h1>The IDE has not been built</h1>
<p>The API works, here at <code>/graphql</code>. For the IDE, run <code>make ide</code> and load this page again. It
needs Node 20 or newer with npm, and fetches GraphiQL from the npm registry, once.</p>
</body>
</html>
"""


class Ide:
    """`token` returns the token that the page has in development, or None; without `token`, no page has one."""

    def __init__(self, token: Callable[[], Awaitable[str | None]] | None = None, directory: Path = DIRECTORY) -> None:
        self._token = token
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (self._directory / ENTRY).is_file():
            text = _PAGE.format(files=_files(scope), config=_config(await self._token_for(scope)))
        else:
            text = _MISSING
        await HTMLResponse(text, headers=_HEADERS)(scope, receive, send)

    async def _token_for(self, scope: Scope) -> str | None:
        return await self._token() if self._token is not None and is_at_this_computer(scope) else None


_OF_OTHERS: Final = frozenset({b"origin", b"forwarded", b"via", b"x-real-ip"})


def is_at_this_computer(scope: Scope) -> bool:
    """Whether the request comes from this computer, by no proxy, and names it as such; and from no page of another
    origin, whose reading of the answer `CALLOUT_ALLOWED_ORIGINS` might allow."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if any(name in _OF_OTHERS or name.startswith(b"x-forwarded-") for name in headers):
        return False
    if scope["http_version"] == "1.0":  # no browser's, but that of nginx, which adds no header unless it is asked to
        return False
    client = scope.get("client")
    return client is not None and is_loopback(client[0]) and is_loopback(_host(headers.get(b"host", "")))


def _host(header: str) -> str:
    """The host of a `Host` header, without its port; empty if it is malformed."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _files(scope: Scope) -> str:
    """The path of the files, relative to the page, so that it does not matter behind which path a proxy serves it."""
    return "ide" if scope["path"].endswith("/") else "graphql/ide"


def _config(token: str | None) -> str:
    """What the page's script reads, as JSON that is safe inside an element."""
    return json.dumps({"token": token, "examples": EXAMPLES}).replace("<", "\\u003c")


class _Files(StaticFiles):
    """The IDE's files, which a browser keeps, and asks each time whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        scope[OWN_CACHE_CONTROL] = True
        response.headers["cache-control"] = "no-cache"
        return response


def files(directory: Path = DIRECTORY) -> Mount:
    return Mount("/graphql/ide", _Files(directory=directory, check_dir=False))
