"""The console: its pages, which only load a wing's script, and the files that `make console` builds from `web/`.

Each wing has a page of its own, the same at all of its paths: the script decides what it shows. A page contains nothing
of a person's, so everybody gets the same.
"""

from __future__ import annotations

import json
import sys
from html import escape
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from callout.http.entrance import Entrance
from callout.http.guard import OWN_CACHE_CONTROL

DIRECTORY: Final = Path(sys.prefix) / "share" / "callout" / "console"
"""Where `make console` puts the files, and pip those of a wheel."""
MANIFEST: Final = "manifest.json"
DOCUMENTS: Final = "documents.json"
SERVICE_WORKER: Final = "service-worker.js"

STAFF_PATHS: Final = (
    "/tickets",
    "/customers",
    "/properties",
    "/articles",
    "/inbox",
    "/deliveries",
    "/settings",
    "/technicians",
    "/admins",
    "/keys",
    "/audit",
)
"""Below which, and at `/`, is the wing of the staff."""
_PATHS: Final = {"staff": STAFF_PATHS, "tech": ("/tech",), "portal": ("/portal",)}

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",  # for browsers that do not know `frame-ancestors`
}

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<title>Callout</title>
<script src="/console/{theme}"></script>
<link rel="icon" type="image/svg+xml" href="/console/{icon}">
{links}
<script type="module" src="/console/{script}"></script>
</head>
<body{demo}><div id="console"></div><noscript>The console needs JavaScript.</noscript></body>
</html>
"""


def documents(directory: Path | None = None) -> dict[str, str]:
    """The operations that the pages send, by numbers that no request names; none if the console has not been built."""
    try:
        return {
            f"console {number}": text
            for number, text in json.loads(((directory or DIRECTORY) / DOCUMENTS).read_bytes()).items()
        }
    except FileNotFoundError:
        return {}


class Console:
    """The pages of the console that was built into `directory`, or else into `DIRECTORY`."""

    def __init__(self, directory: Path | None = None, *, is_open: bool = False) -> None:
        """If `is_open`, everybody gets all pages; else the entrance in the request's state decides."""
        self._directory = directory or DIRECTORY
        self._is_open = is_open

    async def answer(self, request: Request, wing: str) -> Response | None:
        """The page of a wing, `staff`, `tech` or `portal`, or the way to where the person belongs; None if the console
        has not been built."""
        manifest = self._manifest()
        if manifest is None:
            return None
        if self._is_open:
            return _page(manifest, wing)
        entrance: Entrance = request.state.entrance
        elsewhere = await entrance.admit(request, wing)
        if elsewhere is not None:
            return elsewhere
        page = _page(manifest, wing, demo=entrance.demo)
        await entrance.renew(request, page)
        return page

    def _manifest(self) -> dict[str, Any] | None:
        try:
            manifest: dict[str, Any] = json.loads((self._directory / MANIFEST).read_bytes())
        except FileNotFoundError:
            return None
        return manifest

    def script(self, name: str) -> str | None:
        """The path of a script that a page of the server's own loads; None if it has not been built."""
        manifest = self._manifest()
        entry = None if manifest is None else manifest["entries"].get(name)
        return None if entry is None else f"/console/{entry['script']}"

    def routes(self) -> list[BaseRoute]:
        """The pages but for `/`, and the files."""
        return [
            Route("/tech/service-worker.js", self._service_worker),
            Mount("/console", _ConsoleFiles(directory=self._directory, check_dir=False)),
            *(
                self._route(wing, path)
                for wing, paths in _PATHS.items()
                for one in paths
                for path in (one, f"{one}/{{rest:path}}")
            ),
        ]

    async def _service_worker(self, request: Request) -> Response:
        """The technicians' service worker. Its scope is `/tech`, which is above its own path."""
        try:
            script = (self._directory / SERVICE_WORKER).read_bytes()
        except FileNotFoundError:
            raise HTTPException(404) from None
        return Response(script, media_type="text/javascript", headers={**_HEADERS, "service-worker-allowed": "/tech"})

    def _route(self, wing: str, path: str) -> BaseRoute:
        async def page(request: Request) -> Response:
            return await self.answer(request, wing) or _NOT_BUILT

        return Route(path, page)


def _page(manifest: dict[str, Any], wing: str, *, demo: bool = False) -> Response:
    """The page of a wing. `demo` says that the server has people as whom one can look around."""
    entry = manifest["entries"][wing]
    styles = (f'<link rel="stylesheet" href="/console/{escape(name)}">' for name in entry["styles"])
    preloads = (f'<link rel="modulepreload" href="/console/{escape(name)}">' for name in entry["preloads"])
    installed = [entry["manifest"]] if "manifest" in entry else []
    application = (f'<link rel="manifest" href="/console/{escape(name)}">' for name in installed)
    page = _PAGE.format(
        theme=escape(manifest["theme"]),
        icon=escape(manifest["icon"]),
        links="\n".join((*styles, *preloads, *application)),
        script=escape(entry["script"]),
        demo=" data-demo" if demo else "",
    )
    return HTMLResponse(page, headers=_HEADERS)


_NOT_BUILT: Final = HTMLResponse(
    """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Callout</title></head>
<body>
<h1>The console has not been built</h1>
<p>The API works, at <code>/graphql</code>. For the console, run <code>make console</code> and load this page again. It
needs the npm registry, once.</p>
</body>
</html>
""",
    status_code=503,
    headers={"content-security-policy": "default-src 'none'; frame-ancestors 'none'"},
)


class _ConsoleFiles(StaticFiles):
    """The files, whose names change with their contents. Clients that accept Brotli get the compressed copies."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path in (MANIFEST, DOCUMENTS, SERVICE_WORKER):  # for the server alone
            raise HTTPException(404)
        coded = "br" in Headers(scope=scope).get("accept-encoding", "") and not path.endswith(".br")
        found = self.lookup_path(f"{path}.br")[1] if coded else None
        response = await super().get_response(f"{path}.br" if found else path, scope)
        if found:
            response.headers["content-encoding"] = "br"
            response.headers["content-type"] = guess_type(path)[0] or "application/octet-stream"
        scope[OWN_CACHE_CONTROL] = True
        response.headers["vary"] = "Accept-Encoding"
        lasts = response.status_code in (200, 304)
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if lasts else "no-cache"
        return response
