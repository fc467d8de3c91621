"""Hands a message from `callout mail-in` to a server on this machine, through the socket of `CALLOUT_MAIL_SOCKET`.

A mail server starts the command for each message. To import what makes a ticket takes a second; a running server has
done so. This module imports nothing that takes long, not even the settings.

The client writes the number of bytes of the message on a line, and the message; the server answers with one line, an
exit code and what to print. A message that arrives in part is not received.
"""

from __future__ import annotations

import socket
from typing import BinaryIO, Final

from db.errors import Failure
from db.limits import MAIL_BYTES_MAX

EX_TEMPFAIL: Final = 75  # in sysexits.h: try again later
ANSWER_SECONDS: Final = 120.0
ANSWER_MAX: Final = 4_096  # bytes

_AT_ONCE = 65_536  # bytes; the rest of a message that is too large is discarded in such chunks


class NotReceived(Failure):
    """The server could not receive the message, and says why."""


def read_message(source: BinaryIO) -> bytes:
    """Returns the message, or the first `MAIL_BYTES_MAX` + 1 bytes of a larger one, enough to recognise it as too
    large.

    The rest is read and discarded, because a mail server that cannot write all of it takes that for a failure.
    """
    raw = source.read(MAIL_BYTES_MAX + 1)
    while source.read(_AT_ONCE):
        pass
    return raw


def hand_over(path: str, raw: bytes) -> str | None:
    """Hands the message to the server that listens at `path`, and returns the line with its outcome. Returns None if
    there is no server, or if it ended or said nothing within two minutes: then it does no harm to receive the message
    again. Raises `NotReceived`."""
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(ANSWER_SECONDS)
            server.connect(path)
            server.sendall(b"%d\n" % len(raw))
            server.sendall(raw)
            with server.makefile("rb") as answers:
                answer = answers.readline(ANSWER_MAX).decode(errors="replace")
    except OSError:
        return None
    code, _, text = answer.partition(" ")
    if not answer.endswith("\n"):
        return None
    if code != "0":
        raise NotReceived(text.strip())
    return text.strip()
