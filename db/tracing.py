"""Spans of OpenTelemetry, for the code of any room. There are none until `use` was called, and no cost; nothing here
imports OpenTelemetry before. Spans have no values of requests or rows: no personal data leaves by them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Attributes: TypeAlias = dict[str, str | int | float]

_tracer: Tracer | None = None


def use(tracer: Tracer) -> None:
    """Makes spans with this tracer from now on."""
    global _tracer
    _tracer = tracer


def tracer() -> Tracer | None:
    return _tracer


def record(name: str, began: float, attributes: Attributes) -> None:
    """Adds a span from `began`, on the clock of `perf_counter`, until now to the span that is being recorded. Does
    nothing if none is: background work that asks the database every second is not worth a trace."""
    if _tracer is None:
        return
    from opentelemetry.trace import SpanKind, get_current_span

    if get_current_span().is_recording():
        now = time_ns()
        start = now - int((perf_counter() - began) * 1e9)
        _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start).end(now)


@contextmanager
def span(name: str, attributes: Attributes) -> Iterator[Span | None]:
    """A span for the length of the block, below the current one if there is one."""
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind

    # An exception's message may quote a row or an address.
    with _tracer.start_as_current_span(
        name, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as opened:
        yield opened
