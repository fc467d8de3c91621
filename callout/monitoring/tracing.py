"""Traces of operations, by OpenTelemetry's API. The `traceparent` of a client who is signed in is continued: it names
the trace, says whether it is recorded, and shows the client nothing. Anybody else's is not read.

They are made if `CALLOUT_TRACING` is set, or if the process was started by `opentelemetry-instrument`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from callout.http.context import RequestInfo
from callout.settings import InvalidSettings, Settings, variable
from db import tracing

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

NAME_LENGTH_MAX: Final = 80
OUR_FAULTS: Final = frozenset({"INTERNAL", "UNAVAILABLE", "TIMEOUT", "AUTHENTICATION_UNAVAILABLE"})


def start(settings: Settings) -> None:
    """Starts tracing, if the settings or the environment ask for it. Raises `InvalidSettings` if they do, but the
    packages are not there."""
    try:
        from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider
    except ImportError:
        if settings.tracing:
            raise _missing() from None
        return
    provider = get_tracer_provider()
    if isinstance(provider, ProxyTracerProvider):  # nobody has set one
        if not settings.tracing:
            return
        provider = _exporting()
    tracing.use(provider.get_tracer("callout", version("callout")))


def stop() -> None:
    """Exports what waits to be exported."""
    if tracing.tracer() is not None:
        from opentelemetry.trace import get_tracer_provider

        flush = getattr(get_tracer_provider(), "force_flush", None)
        if flush is not None:
            flush(2_000)


def began(request: RequestInfo, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """An operation has begun, in the current task, and it is known who asks, if anybody is. `headers` are those of its
    request, or of its socket's."""
    request.type = ""
    tracer = tracing.tracer()
    if tracer is None:
        return
    from opentelemetry.context import attach
    from opentelemetry.trace import SpanKind, format_trace_id, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # Only these two: whatever else a client sends must not travel to other services.
    read = headers if request.viewer is not None else ()
    given = {name.decode(): value.decode("latin-1") for name, value in read if name in _PROPAGATED}
    parent = TraceContextTextMapPropagator().extract(given)
    span = tracer.start_span("GraphQL Operation", context=parent, kind=SpanKind.SERVER)
    attach(set_span_in_context(span))
    request.span = span
    if span.is_recording():
        request.trace_id = format_trace_id(span.get_span_context().trace_id)


_PROPAGATED: Final = (b"traceparent", b"tracestate")


def ended(request: RequestInfo, outcome: str) -> None:
    """Ends the span of an operation, if it has one."""
    span = request.span
    if span is None:
        return
    if span.is_recording():
        from opentelemetry.trace import StatusCode

        attributes: tracing.Attributes = {"callout.outcome": outcome}
        if request.type:
            attributes["graphql.operation.type"] = request.type
            span.update_name(request.type)
        if request.operation:
            attributes["graphql.operation.name"] = request.operation[:NAME_LENGTH_MAX]
            span.update_name(f"{request.type} {request.operation[:NAME_LENGTH_MAX]}")
        if request.viewer is not None:
            attributes["callout.role"] = request.viewer.role.value
        if request.cost is not None:
            attributes["callout.cost"] = round(request.cost, 1)
        if request.code is not None:
            attributes["error.type"] = request.code
        span.set_attributes(attributes)
        if request.code in OUR_FAULTS:
            span.set_status(StatusCode.ERROR)
    span.end()


def _exporting() -> TracerProvider:
    """A provider that exports by OTLP over HTTP. OpenTelemetry's own variables say where, as whom and how many."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise _missing() from None
    from opentelemetry.trace import set_tracer_provider

    named = Resource({"service.name": "callout", "service.version": version("callout")})
    provider = TracerProvider(resource=named.merge(Resource.create()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_tracer_provider(provider)
    return provider


def _missing() -> InvalidSettings:
    return InvalidSettings([f"{variable('tracing')} needs OpenTelemetry: install `callout[tracing]`, or unset it."])
