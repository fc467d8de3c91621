"""`/`: for people the console, or a page that says where the API is; for programs the same as JSON."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from callout.http.console import Console

_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "vary": "Accept",
}
_PATHS: Final = {
    "graphql": "/graphql",
    "stream": "/graphql/stream",
    "ready": "/readyz",
    "alive": "/healthz",
    "version": "/version",
}

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Callout</title>
<style>
  body {{ max-width: 40rem; margin: 10vh auto; padding: 0 16px; font: 17px/1.5 system-ui, sans-serif; }}
  dt {{ font-weight: 600; }}
  dd {{ margin: 0 0 12px; }}
  code {{ font-size: 0.95em; }}
</style>
</head>
<body>
<h1>Callout</h1>
<p>The live ticket API.</p>
{notice}<dl>
{entries}
</dl>
</body>
</html>
"""
_GRAPHQL: Final = (
    "<code>/graphql</code>",
    "GraphQL: queries and mutations by POST, subscriptions by WebSocket (<code>graphql-transport-ws</code>), with a"
    " token in <code>Authorization: Bearer</code>.",
)
_IDE: Final = (
    '<a href="graphql">/graphql</a>',
    "GraphQL, and in a browser the IDE, with the whole schema and examples to run. Programs send queries and mutations"
    " by POST, and subscribe by WebSocket (<code>graphql-transport-ws</code>).",
)
_OTHERS: Final = (
    ("<code>/graphql/stream</code>", "The same operations as server-sent events."),
    ('<a href="readyz">/readyz</a>', "Whether the server can serve now."),
    ('<a href="healthz">/healthz</a>', "Whether its process is alive."),
    ('<a href="version">/version</a>', "Which version it is."),
)
_NOT_BUILT: Final = """\
<p>The console has not been built: pages for the staff, the technicians and the customers. Run
<code>make console</code> and load this page again; it needs the npm registry, once.</p>
"""


def _page(*, with_ide: bool, without_console: bool) -> str:
    entries = (_IDE if with_ide else _GRAPHQL, *_OTHERS)
    return _PAGE.format(
        notice=_NOT_BUILT if without_console else "",
        entries="\n".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in entries),
    )


def routes(*, with_ide: bool, console: Console | None) -> list[Route]:
    page = _page(with_ide=with_ide, without_console=console is not None)

    async def front_page(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            built = None if console is None else await console.answer(request, "staff")
            return built or HTMLResponse(page, headers=_HEADERS)
        return JSONResponse(_PATHS, headers={"vary": "Accept"})

    return [Route("/", front_page)]
