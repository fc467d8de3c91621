"""Posting to URLs that somebody has typed in: the client, and what an answer's status means.

Such a URL is a secret. httpx writes URLs into its log and into the texts of some of its errors, so neither is passed
on, and of a response only the status is.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.request import getproxies

import httpx

from notifiers.public_addresses import PublicTransport

RETRY_AFTER_MAX: Final = 3_600.0  # seconds; a longer Retry-After is cut to this

_LATER: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


def client_for(*, private_hosts: bool, verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """A client without a timeout of its own, which follows no redirects. It raises `NotPublic` for hosts without a
    public address, unless `private_hosts` are allowed. `verify` is a context with the certificates, or whether to check
    them."""
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)  # below that level they log the URL
    # A proxy that the environment names for httpx connects in our place, and by a name. It decides what can be reached.
    checked = not (private_hosts or getproxies().keys() & {"http", "https", "all"})
    transport = PublicTransport(verify) if checked else None
    return httpx.AsyncClient(timeout=None, follow_redirects=False, verify=verify, transport=transport)


def is_temporary(status: int) -> bool:
    """Whether the same request may be accepted later."""
    return status in _LATER or status >= 500


def in_words(status: int) -> str:
    """`HTTP 410 Gone`."""
    try:
        said = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"HTTP {status}"
    return f"{said}, and redirects are not followed" if 300 <= status < 400 else said


def retry_after(value: str | None) -> float | None:
    """The seconds in a Retry-After header, a number or a date (RFC 9110, section 10.2.3), or None if it has neither."""
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal() and value.isascii():
        seconds = float(value[:9])
    else:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), RETRY_AFTER_MAX)
