"""URLs of servers, with a user and a password in them: of databases, of the bell, and of mail."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def server_url(url: str) -> SplitResult:
    """The parts of the URL. Raises `ValueError`, with nothing of the URL in its text, unless it is certain where the
    password ends: whoever took a piece of it for a host's name would show it to everybody."""
    try:
        parts = urlsplit(url)
        certain = parts.port != 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}"
    except ValueError:  # with a piece of the URL in its message
        certain = False
    if not certain:
        raise ValueError("is ambiguous: in a password / is written %2F, ? %3F, # %23 and @ %40")
    return parts
