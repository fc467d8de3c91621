"""The IDE: GraphiQL's page, and the headers that bound what it may load and who may show it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import Final

from strawberry.http.ides import get_graphql_ide_html

_TEXT: Final = get_graphql_ide_html(graphql_ide="graphiql")
_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_LOADED: Final = re.compile(r"https://[\w.@/-]+")


def _policy(page: str) -> str:
    """The Content-Security-Policy under which the page works: it may load what it names, run its own scripts, and talk
    to this server alone. GraphiQL sets styles from its scripts, and its style sheets contain fonts and images."""
    scripts = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in _INLINE.findall(page)]
    loaded = _LOADED.findall(re.sub(_INLINE, "", page))
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src", *scripts, *(url for url in loaded if url.endswith(".js")))),
            " ".join(("style-src 'unsafe-inline'", *(url for url in loaded if url.endswith(".css")))),
            "font-src data:",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


PAGE: Final = _TEXT.encode()
HEADERS: Final = (
    (b"content-security-policy", _policy(_TEXT).encode()),
    (b"referrer-policy", b"no-referrer"),  # the page's address has the query that is being edited
    (b"x-frame-options", b"DENY"),  # for browsers that do not know `frame-ancestors`
)
