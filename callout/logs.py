"""Logging, for our loggers and the libraries' alike: one JSON object on each line in production, readable text in
development. Every record that is written for a request has the request's id. Python's warnings are logged too; asyncio
logs exceptions that end a task unnoticed.

Pass a record's own fields as `logger.info("…", extra={"fields": {…}})`.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from callout.http.context import CURRENT
from callout.settings import Settings
from db.postgres.outage import is_repetition

_COLOURS = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[35m"}
_RESET = "\x1b[0m"


def configure(settings: Settings) -> None:
    """Sends every logger's records to standard error in the configured format. Call it first in each process."""
    if settings.log_format == "json":
        formatter: dict[str, Any] = {"()": JsonFormatter}
    else:
        formatter = {"()": TextFormatter, "coloured": sys.stderr.isatty()}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "filters": {"outages": {"()": lambda: lambda record: not is_repetition(record)}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["outages"]}},
            "root": {"level": settings.log_level.upper(), "handlers": ["stderr"]},
            # `callout.access` replaces uvicorn's access log. Without a handler uvicorn doesn't even create the records.
            # In development, migrating is part of the start.
            "loggers": {"uvicorn.access": {"propagate": False, "handlers": []}, "alembic": {"level": "WARNING"}},
        }
    )
    logging.captureWarnings(True)
    # No format uses these, but every record would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: `time`, `level`, `logger`, `message`, `requestId`, the record's own fields and
    `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a text contains a lone surrogate
            plain = {name: str(value).encode(errors="backslashreplace").decode() for name, value in line.items()}
            return orjson.dumps(plain).decode()


class TextFormatter(logging.Formatter):
    """Formats a record as one readable line, followed by the traceback. Control characters are escaped, so that logged
    data cannot forge lines or control the terminal."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = "".join(
            character if character.isprintable() else ascii(character)[1:-1]
            for character in f"{clock} {record.levelname:8}{record.name}: {record.getMessage()}{fields}"
        )
        if self._coloured:
            line = f"{_COLOURS.get(record.levelname, '')}{line}{_RESET}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    request = CURRENT.get()
    fields = {} if request is None else {"requestId": request.id}
    if request is not None and request.trace_id is not None:
        fields["traceId"] = request.trace_id
    for name, value in record.__dict__.get("fields", {}).items():
        if value is not None:
            fields[name] = value
    return fields
