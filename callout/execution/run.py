"""Execution: runs one statement for each root field and joins the JSON that they return.

Operations are prepared once (`prepare.py`); a warm request coerces its variables, reads the arguments' values, runs the
statements and joins bytes. Operations that introspect are executed by Strawberry, which is given the JSON
of their other root fields.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import orjson
import strawberry
from graphql import (
    GraphQLError,
    GraphQLResolveInfo,
    OperationDefinitionNode,
    OperationType,
    located_error,
)

from callout.execution.answer import (
    Answer,
    BadRequest,
    InvalidVariables,
    NotDone,
    client_error,
    fault,
    formatted_errors,
    refusal,
)
from callout.execution.budgets import Charge
from callout.execution.change_pages import Pages
from callout.execution.cost import INTROSPECTION, Cost, price_of_document
from callout.execution.documents import Document
from callout.execution.in_memory import payload_of
from callout.execution.prepare import (
    EVENTS_MAX,
    BoundRoot,
    Preparer,
)
from db.compiler.fields import (
    Constant,
    Guessed,
    MutationField,
    MutationInMemory,
    NodeById,
    NodesByIds,
    PushPublicKey,
)
from db.compiler.render import Compiled
from db.enums import DeliveryChannel, Role
from db.errors import BadInput, ClientError, NoSuchObject, RateLimited
from db.events.event import Image
from db.events.log import Part
from db.events.replicas import Replicas
from db.events.stream_cursor import StreamCursors, StreamPosition
from db.postgres.pool import WITHOUT_EFFECT, Database
from db.ticket_stream import Reader, TicketChangesPage
from db.viewer import Viewer
from notifiers.message_ids import OwnMail
from notifiers.notification import Channel
from resolvers.file_links import FileLinks
from resolvers.files import Files
from resolvers.guesses import Guesses
from resolvers.idempotency import carry_out
from resolvers.mutation import Call, Outcome, Peer, Refused
from resolvers.receipts import Receipts
from resolvers.staff_presence import StaffPresence
from resolvers.webhook_office import WebhookOffice

logger = logging.getLogger(__name__)

Result: TypeAlias = tuple[bytes | None, Sequence[GraphQLError]]
"""The JSON of a root field, or None if it has failed; and the errors in it."""

_BY_IDS: Final = (NodeById, NodesByIds)

Sign: TypeAlias = Callable[[bytes, Viewer], bytes]
"""Puts the URLs of files for a viewer into JSON that a statement has returned."""


class Engine:
    """Executes requests. One for each process."""

    def __init__(
        self,
        schema: strawberry.Schema,
        preparer: Preparer,
        database: Database,
        cursors: StreamCursors,
        channels: Mapping[DeliveryChannel, Channel],
        own_mail: OwnMail,
        files: Files,
        links: FileLinks,
        written: Callable[[], None] = lambda: None,
        replicas: Replicas | None = None,
        presence: StaffPresence | None = None,
        push_public_key: str | None = None,
        receipts: Receipts | None = None,
        webhooks: Callable[[Charge], WebhookOffice] | None = None,
    ) -> None:
        """`channels` are for mutations that send notifications at once, `own_mail` for those that receive mail,
        `files` for those that attach files, whose URLs are made by `links`.
        `written` is called after each mutation that returns, with or without user errors. Queries are read from
        `replicas`, if there are any. `presence` is for the mutation that sets it. Devices subscribe for
        `push_public_key`, if they can. `receipts` are noted of technicians who come back for changes. `webhooks` makes
        what the mutations of webhooks need for a request."""
        self._strawberry = schema
        self._preparer = preparer
        self._database = database
        self._cursors = cursors
        self._channels = channels
        self._written = written
        self._replicas = replicas
        self._presence = presence
        self._push_public_key = push_public_key
        self._receipts = receipts
        self._own_mail = own_mail
        self._webhooks = webhooks
        self._files = files
        self._links = links
        self._mark = preparer.marks.position.encode()
        self._absent_mark = re.compile(rb'"%b(\d+)"' % re.escape(preparer.marks.absent.encode()))
        self._guesses = Guesses(database)
        self._pages = Pages(database, cursors, preparer.marks.position)
        self.sign: Sign = partial(links.signed, preparer.marks.link.encode())

    async def execute(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
        request_id: str,
        peer: Peer,
        charge: Charge,
    ) -> Answer:
        """Executes the operation and returns the response, also if it fails. Raises no error that the client
        caused."""
        if node.operation is OperationType.SUBSCRIPTION:
            message = "Use a WebSocket for subscriptions, or server-sent events at /graphql/stream."
            return refusal([BadRequest(message)], request_id)
        operation = self._preparer.prepared(document, node)
        if operation is None:
            return await self.execute_ordinarily(document, node, variables, viewer, request_id, peer, charge)
        try:
            bound = await self._preparer.bind_in_steps(operation, variables, viewer, charge)
        except (ClientError, GraphQLError) as error:
            return refusal([error], request_id)
        except InvalidVariables as error:
            return refusal(error.errors, request_id, code="BAD_USER_INPUT")
        # Mutations run one after another (GraphQL, October 2021, section 6.2.2), a query's root fields concurrently.
        if operation.mutates or len(bound) == 1:
            results = [await self._result(root, viewer, peer, charge) for root in bound]
        else:
            results = await asyncio.gather(*(self._result(root, viewer, peer, charge) for root in bound))
        return _joined(bound, results, request_id)

    async def _result(self, bound: BoundRoot, viewer: Viewer, peer: Peer, charge: Charge) -> Result:
        try:
            document = await self._answer(bound, viewer, peer, charge)
        except Exception as error:  # noqa: BLE001 (a field's error must not fail the whole request)
            return None, [located_error(client_error(error), bound.field.nodes, [bound.field.key])]
        if isinstance(bound.field.selection.mapping, _BY_IDS):
            return self._without_absent(bound, document)
        if document is None and not bound.field.nullable:
            logger.error("no value for the non-null root field %s", bound.field.selection.name)
            return None, [located_error(fault(), bound.field.nodes, [bound.field.key])]
        return document or b"null", ()

    def _without_absent(self, bound: BoundRoot, document: bytes | None) -> Result:
        """The JSON of objects that were asked for by their ids, with null in place of those that there are not, and an
        error for each."""
        (*_, given), key = bound.read.bounds[0].values, bound.field.key
        if isinstance(bound.field.selection.mapping, NodeById):
            return (b"null", [_absent(bound, given, [key])]) if document is None else (document, ())
        assert document is not None
        absent = {place for place, problem in enumerate(given) if problem is not None}

        def found(match: re.Match[bytes]) -> bytes:
            absent.add(int(match[1]) - 1)
            return b"null"

        document = self._absent_mark.sub(found, document)
        return document, [_absent(bound, given[place], [key, place]) for place in sorted(absent)]

    def _returned(self, viewer: Viewer, position: StreamPosition, covers: Callable[[Image], bool]) -> None:
        if self._receipts is not None:
            self._receipts.add(viewer, position, covers)

    async def _run(self, bound: BoundRoot, viewer: Viewer, peer: Peer, charge: Charge) -> bytes | None:
        read, arguments = bound.read, bound.arguments
        compiled, mapping = read.compiled, read.field.selection.mapping
        if isinstance(mapping, Constant):
            return orjson.dumps(mapping.word)
        if isinstance(mapping, PushPublicKey):
            return None if self._push_public_key is None else orjson.dumps(self._push_public_key)
        if isinstance(mapping, NodeById) and read.bounds[0].shape is None:
            return None
        if isinstance(mapping, TicketChangesPage):
            reader = Reader(read.field.selection, compiled, read.bounds, viewer, self._database)
            after, size = read.given.get("after"), read.bounds[0].size
            at_once = min(EVENTS_MAX, size * Cost().add(read.field.weight, read.field.sites, read.bounds).fits())
            covers = mapping.certain(read.bounds[0], viewer)
            return await self._pages.page(
                *(read.field.selection, reader, after, size, at_once, charge),
                lambda position: self._returned(viewer, position, covers),
            )
        if isinstance(mapping, MutationField):
            answer = partial(compiled.within_write_of, arguments)
            call = self._call(viewer, peer, answer, charge)
            outcome = await _done(mapping, read.field.selection.name, call, read.given)
            if isinstance(mapping, MutationInMemory):
                return payload_of(read.field.selection, outcome)
            self._written()
            if outcome.answer is not None:
                return outcome.answer
            errors = [error.as_json() for error in outcome.errors]
            extra = {**outcome.extra, **outcome.unkept} if outcome.unkept else outcome.extra
            arguments = compiled.with_outcome(arguments, outcome.object_id, errors, extra)
        ((found, *position),) = await self._rows(compiled, arguments, mapping)
        document: bytes | None = found
        if document is None or not position:
            return document
        return document.replace(self._mark, self._cursors.seal(position[0]).encode())

    def _call(self, viewer: Viewer, peer: Peer, answer: Callable[[str], Part | None], charge: Charge) -> Call:
        return Call(
            viewer,
            self._database,
            self._channels,
            self._own_mail,
            self._files,
            self._links,
            answer,
            peer.client,
            peer.socket,
            self._presence,
            webhooks=None if self._webhooks is None else self._webhooks(charge),
        )

    async def _rows(self, compiled: Compiled, arguments: Sequence[Any], mapping: object) -> list[Any]:
        """Reads from a replica where that is allowed: a stream cursor is only true on the primary, and a mutation's
        answer is read where it was written."""
        text = compiled.statement.text
        if self._replicas is not None and not compiled.has_position and not isinstance(mapping, MutationField):
            rows = await self._replicas.fetch(text, *arguments)
            if rows is not None:
                return rows
        return await self._database.fetch(text, *arguments)

    async def execute_ordinarily(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
        request_id: str,
        peer: Peer,
        charge: Charge,
    ) -> Answer:
        try:
            charge.spend(price_of_document(len(document.text)) + INTROSPECTION)
            bound = await self._preparer.bind_unprepared(document, node, variables, viewer, charge)
        except (ClientError, GraphQLError) as error:
            return refusal([error], request_id)
        except InvalidVariables as error:
            return refusal(error.errors, request_id, code="BAD_USER_INPUT")
        results = await asyncio.gather(*(self._result(root, viewer, peer, charge) for root in bound))
        execution = self._strawberry.execute(
            document.text,
            variable_values=dict(variables or {}),
            context_value=OrdinaryContext({root.field.key: each for root, each in zip(bound, results, strict=True)}),
            operation_name=node.name.value if node.name else None,
        )
        # In a thread: describing the whole schema takes a fifth of a second.
        async with charge.budget.building:
            result: Any = await self._preparer.thread.run(asyncio.run, execution)
        errors = [error for document, found in results if document is not None for error in found]
        errors += [located_error(client_error(error), error.nodes, error.path) for error in result.errors or ()]
        formatted, codes = formatted_errors(errors, request_id)
        body: dict[str, Any] = {"data": result.data}
        if formatted:
            body["errors"] = formatted
        has_secrets = any(root.read.compiled.has_secrets for root in bound)
        return Answer(orjson.dumps(body), True, codes, has_secrets=has_secrets)

    async def _answer(self, bound: BoundRoot, viewer: Viewer, peer: Peer, charge: Charge) -> bytes | None:
        run = partial(self._run_at_once, bound, viewer, peer, charge)
        if isinstance(bound.field.selection.mapping, Guessed) and viewer.role is not Role.ADMIN:
            reference, email, *_ = bound.read.bounds[0].values
            return await self._guesses.counted(viewer, reference, email, run)
        return await run()

    async def _run_at_once(self, bound: BoundRoot, viewer: Viewer, peer: Peer, charge: Charge) -> bytes | None:
        async with charge.budget.statements:
            document = await self._run(bound, viewer, peer, charge)
        return self.sign(document, viewer) if document and bound.read.compiled.has_links else document


@dataclass(frozen=True, slots=True)
class OrdinaryContext:
    """The context of an operation that Strawberry executes: the results of its root fields. The schema's resolvers call
    `answer` for each."""

    results: Mapping[str, Result]

    async def answer(self, info: GraphQLResolveInfo[Any]) -> orjson.Fragment | None:
        """Returns a root field's JSON for Strawberry to put into its response, or None for null. Raises the error of
        one that has failed."""
        document, errors = self.results[str(info.path.key)]
        if document is None:
            raise errors[0]
        return None if document == b"null" else orjson.Fragment(document)


async def _done(mutation: MutationField, name: str, call: Call, given: Mapping[str, Any]) -> Outcome:
    try:
        if mutation.around is not None:
            async with mutation.around(call):
                return await carry_out(call, name, mutation, given)
        if "idempotencyKey" in given or "occurredAt" in given:
            return await carry_out(call, name, mutation, given)
        outcome: Outcome = await mutation.handler(call, given)
        return outcome
    except Refused as refused:
        return Outcome(refused.object_id, refused.errors)
    except WITHOUT_EFFECT as error:
        raise NotDone(client_error(error).message) from error


# Answers


def _joined(bound: Sequence[BoundRoot], results: Sequence[Result], request_id: str) -> Answer:
    errors = [error for _, found in results for error in found]
    if errors and all(map(_not_done, bound, results)):
        return refusal(errors, request_id)
    parts = []
    whole, has_secrets = True, False
    for root, (document, _) in zip(bound, results, strict=True):
        if document is None:
            whole = whole and root.field.nullable
            document = b"null"
        has_secrets = has_secrets or root.read.compiled.has_secrets
        parts.append(b'"%b":%b' % (root.field.key.encode(), document))
    data = b"{%b}" % b",".join(parts) if whole else b"null"
    if not errors:
        return Answer(b'{"data":%b}' % data, True, has_secrets=has_secrets)
    formatted, codes = formatted_errors(errors, request_id)
    body = b'{"errors":%b,"data":%b}' % (orjson.dumps(formatted), data)
    return Answer(body, True, codes, has_secrets=has_secrets)


def _absent(root: BoundRoot, problem: str | None, path: list[str | int]) -> GraphQLError:
    """The error for an object that there is not: its id is not valid, or the viewer sees none with it."""
    error = NoSuchObject() if problem is None else BadInput(problem)
    return located_error(error, root.field.nodes, path)


def _not_done(root: BoundRoot, result: Result) -> bool:
    """Whether the root field has read and changed nothing, because the database could not be used or a rate was
    exceeded."""
    mapping = root.read.field.selection.mapping
    if isinstance(mapping, Constant):
        return True
    document, errors = result
    original = errors[0].original_error if document is None else None
    if isinstance(mapping, MutationField):
        return isinstance(original, NotDone | RateLimited)
    return isinstance(original, ClientError) and original.extension_code in (NotDone.code, RateLimited.code)
