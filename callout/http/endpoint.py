"""`/graphql`: GraphQL over HTTP.

Follows the GraphQL over HTTP specification (working draft): POST of JSON, also of an array with several requests, and
GET for queries. A request that was not
executed has a 4xx status in `application/graphql-response+json`, or 503 with `Retry-After` if the database cannot be
used, and 200 in the older `application/json`, as clients of that type expect. Status 429 has `Retry-After`, too; in the
older type the header comes with 200.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from time import perf_counter

from graphql import OperationDefinitionNode, OperationType
from starlette.types import Receive, Scope, Send

from callout.auth.authenticator import Authenticator
from callout.execution.answer import Answer, refusal, together
from callout.execution.budgets import Budgets, Charge, hold_back
from callout.execution.cost import REQUEST
from callout.execution.documents import Document, InvalidDocument
from callout.execution.prepare import Preparer
from callout.execution.request import GraphQLRequest
from callout.execution.run import Engine
from callout.http.coding import COMPRESSED_FROM, accepted_coding, compressed
from callout.http.context import RequestInfo, request_of
from callout.http.errors import RETRY, retry_after
from callout.http.ide import Ide
from callout.http.ranges import ranges
from callout.http.request import (
    BadBody,
    MethodNotAllowed,
    NotAcceptable,
    RequestBatch,
    headers_of,
    read_content,
    requests_in,
    send_methods,
)
from callout.monitoring.operations import BATCH, OPERATIONS
from callout.monitoring.tracing import began
from db.errors import ClientError, RateLimited
from db.viewer import Viewer
from resolvers.mutation import Peer

MODERN = b"application/graphql-response+json; charset=utf-8"
LEGACY = b"application/json; charset=utf-8"

_STATUS = {
    "FORBIDDEN": 403,
    "DOCUMENT_NOT_TRUSTED": 403,
    "PERSISTED_QUERY_NOT_FOUND": 200,  # as Apollo's server answers: its client sends the document then
    "RATE_LIMITED": 429,
    "UNAVAILABLE": 503,
}
_VARY = (b"vary", b"Accept-Encoding")


class GraphQLEndpoint:
    """The ASGI application at `/graphql`. With an IDE, browsers get that. A batch may have up to `batch_max` requests.
    Unless `compressing`, answers are never compressed."""

    def __init__(
        self,
        preparer: Preparer,
        engine: Engine,
        authenticator: Authenticator,
        budgets: Budgets,
        ide: Ide | None,
        *,
        batch_max: int,
        compressing: bool,
    ) -> None:
        self._budgets = budgets
        self._preparer = preparer
        self._engine = engine
        self._authenticator = authenticator
        self._ide = ide
        self._batch_max = batch_max
        self._compressing = compressing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method == "OPTIONS":
            await send_methods(send)
            return
        headers = headers_of(scope)
        coding = accepted_coding(headers.accept_encoding) if self._compressing and headers.accept_encoding else None
        if method != "POST" and self._ide is not None and b"text/html" in headers.accept:
            await self._ide(scope, receive, send)
            return
        media_type = _negotiated(headers.accept)
        info = request_of(scope)
        try:
            info.viewer = viewer = await self._authenticator.authenticate(headers.authorization)
        finally:
            began(info, scope["headers"])
        charge = self._budgets.of(viewer).request()
        try:
            with charge:
                request = requests_in(await read_content(scope, receive, headers, charge), self._batch_max)
                if isinstance(request, GraphQLRequest):
                    answer = await self._answer(request, method, viewer, info, charge)
                else:
                    answer = await self._answer_all(request, viewer, info, charge)
        except RateLimited as error:
            answer = refusal([error], info.id)
        info.cost = charge.requested
        if answer.retry_after is not None:
            await hold_back()
        more = () if answer.retry_after is None else retry_after(answer.retry_after)
        status = _status(answer, media_type, info)
        await _send(send, status, media_type, answer.body, None if answer.has_secrets else coding, more)

    async def _answer(
        self, request: GraphQLRequest, method: str, viewer: Viewer, info: RequestInfo, charge: Charge
    ) -> Answer:
        found = await self._fetched(request, method, viewer, info, charge)
        if isinstance(found, Answer):
            return found
        return await self._executed(found, request, viewer, info, charge)

    async def _executed(
        self,
        found: tuple[Document, OperationDefinitionNode],
        request: GraphQLRequest,
        viewer: Viewer,
        info: RequestInfo,
        charge: Charge,
    ) -> Answer:
        answer = await self._engine.execute(*found, request.variables, viewer, info.id, Peer(info.client), charge)
        return answer.extended(request, charge, info.trace_id)

    async def _fetched(
        self, request: GraphQLRequest, method: str, viewer: Viewer, info: RequestInfo, charge: Charge
    ) -> tuple[Document, OperationDefinitionNode] | Answer:
        """Returns the document and the operation to execute, or the answer to a request that is refused."""
        try:
            document, node = await self._preparer.fetch(request, viewer, charge)
        except InvalidDocument as error:
            answer = refusal(error.errors, info.id, error.extension_code)
        except ClientError as error:
            answer = refusal([error], info.id)
        else:
            info.operation = node.name.value if node.name else None
            info.type, info.document = node.operation.value, document.text
            if node.operation is OperationType.MUTATION:
                info.mutations = self._preparer.mutations(document, node)
            if method != "POST" and node.operation is not OperationType.QUERY:
                raise MethodNotAllowed
            return document, node
        return answer.extended(request, charge, info.trace_id)

    # Batches

    async def _answer_all(self, batch: RequestBatch, viewer: Viewer, info: RequestInfo, charge: Charge) -> Answer:
        """Answers the requests of a batch, each as if it were alone, but for the status: queries at the same time, and
        one after another if there are mutations among them."""
        budget = self._budgets.of(viewer)
        infos = [replace(info, type="", span=None) for _ in batch]
        entries = [_BatchEntry(each, own, budget.request()) for each, own in zip(batch, infos, strict=True)]
        for entry in entries:
            await self._fetch_entry(entry, viewer)
        if any(entry.info.mutations for entry in entries):
            answers = [await self._counted(entry, viewer) for entry in entries]
        else:
            answers = await asyncio.gather(*(self._counted(entry, viewer) for entry in entries))
        info.type, info.operation = BATCH, ",".join(each.operation or "" for each in infos)
        info.mutations = tuple(dict.fromkeys(name for each in infos for name in each.mutations or ())) or None
        charge.requested += sum(entry.charge.requested for entry in entries)
        return together(answers)

    async def _fetch_entry(self, entry: _BatchEntry, viewer: Viewer) -> None:
        request, info = entry.request, entry.info
        if isinstance(request, BadBody):
            entry.found = refusal([request], info.id)
            return
        try:
            entry.charge.spend(REQUEST)
            entry.found = await self._fetched(request, "POST", viewer, info, entry.charge)
        except RateLimited as error:
            entry.found = refusal([error], info.id)

    async def _counted(self, entry: _BatchEntry, viewer: Viewer) -> Answer:
        began_at = perf_counter()
        answer = await self._answer_entry(entry, viewer)
        entry.info.code, entry.info.cost = next(iter(answer.codes), None), entry.charge.requested
        OPERATIONS.ended(entry.info, perf_counter() - began_at)
        return answer

    async def _answer_entry(self, entry: _BatchEntry, viewer: Viewer) -> Answer:
        found, request, info, charge = entry.found, entry.request, entry.info, entry.charge
        if isinstance(found, Answer):
            return found
        assert found is not None and isinstance(request, GraphQLRequest)
        try:
            with charge:
                return await self._executed(found, request, viewer, info, charge)
        except RateLimited as error:
            return refusal([error], info.id)


@dataclass(slots=True)
class _BatchEntry:
    """A request of a batch, with the operation that it asks for or, if it is refused, the answer."""

    request: GraphQLRequest | BadBody
    info: RequestInfo
    charge: Charge
    found: tuple[Document, OperationDefinitionNode] | Answer | None = None


def _status(answer: Answer, media_type: bytes, info: RequestInfo) -> int:
    if answer.codes:
        info.code = answer.codes[0]
    if answer.executed or media_type is LEGACY:
        return 200
    return _STATUS.get(answer.codes[0], 400)


async def _send(
    send: Send,
    status: int,
    media_type: bytes,
    body: bytes,
    coding: bytes | None,
    more: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [(b"content-type", media_type), *more]
    if status == 503 and not more:
        headers += RETRY
    if len(body) >= COMPRESSED_FROM:
        headers.append(_VARY)
        if coding is not None:
            body = await compressed(body, coding)
            headers.append((b"content-encoding", coding))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=64)  # a client sends the same each time
def _negotiated(accept: bytes) -> bytes:
    """Returns the media type for the response: the one that the client prefers, or the newer one if both are equal. The
    most specific range that matches a type gives its quality (RFC 9110, section 12.5.1). Raises `NotAcceptable`."""
    if not accept or accept == b"*/*":
        return MODERN
    qualities = dict(ranges(accept.lower()))

    def quality(name: bytes) -> float:
        return next((qualities[range_] for range_ in (name, b"application/*", b"*/*") if range_ in qualities), 0.0)

    modern, legacy = quality(b"application/graphql-response+json"), quality(b"application/json")
    if not modern and not legacy:
        raise NotAcceptable
    return MODERN if modern >= legacy else LEGACY
