"""URLs of servers that may contain a user and a password: databases, the bell, and mail servers."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def server_url(url: str) -> SplitResult:
    """The parts of the URL. Raises `ValueError` if it is not certain where the password ends: a part of the password
    could otherwise be taken for the host's name, which is logged. The error's text contains nothing of the URL."""
    try:
        parts = urlsplit(url)
        certain = parts.port != 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}"
    except ValueError:  # its message contains a part of the URL
        certain = False
    if not certain:
        raise ValueError("is ambiguous: in a password, write / as %2F, ? as %3F, # as %23 and @ as %40")
    return parts
