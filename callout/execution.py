"""Execution: an operation is prepared once, and then costs binding its variables and running its statements.

What can be known from the document is worked out the first time, for each role and value of `@skip`/`@include`: what
each root field selects, where its arguments stand, and for each shape of those arguments its statement. A warm
request coerces the variables, reads the arguments' values, runs one statement for each root field and joins bytes.

Everything else (introspection) goes Strawberry's ordinary way, through the same root fields.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
import strawberry
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    OperationDefinitionNode,
    OperationType,
    get_argument_values,
    is_non_null_type,
    located_error,
)
from graphql.execution.values import VariableValues, get_variable_values

from callout.documents import INTROSPECTION, Document, Documents, condition_variables
from callout.pages import Pages
from db.compiler import Collector, Compiled, Flags, Place, Selection, Site, Weight, compile_root
from db.cursors import StreamCursors
from db.engine import Database
from db.enums import DeliveryChannel, Role
from db.errors import ClientError, LimitExceeded
from db.mapping import Bound, Constant
from db.stream import Reader, Stream, TicketChangesPage, compile_stream
from db.viewer import Viewer
from notifiers.message_ids import OwnMail
from notifiers.notice import Channel
from resolvers.call import Call, Outcome, Refused
from schema import graphql_schema
from schema.fields import Mutation

logger = logging.getLogger(__name__)

OBJECTS_MAX = 20_000
"""How many objects a request may ask for: what is selected of each row, times the page sizes above it, summed up."""

VALUES_MAX = 200_000
"""Likewise, how many values."""

EVENTS_MAX = 200
"""How many events are looked up at a time; fewer, if a query for as many messages would ask for too much."""

VARIABLES_MAX = 20_000

_KEPT_STATEMENTS = 200  # for each root field of a prepared operation
_KEPT_REQUESTS = 1_000
_KEPT_VARIABLES = 500  # bytes
_KEPT_VARIANTS = 32  # of an operation: roles and values of @skip and @include

_NO_VARIABLES = VariableValues({}, {})


class BadRequest(ClientError):
    """The request names no operation that can be executed."""

    code = "BAD_REQUEST"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with. `executed` is false where the request was refused before anything ran."""

    body: bytes
    executed: bool
    codes: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class RootField:
    """A root field of a prepared operation, with its statements so far."""

    key: str
    selection: Selection
    sites: list[Site]
    constants: list[Bound | None]
    weight: Weight
    nodes: list[FieldNode]
    nullable: bool
    statements: OrderedDict[tuple[Hashable, ...], Compiled] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class Cost:
    """What a request asks for, so far."""

    objects: int = 0
    values: int = 0

    def add(self, root: RootField, bounds: Sequence[Bound]) -> Cost:
        """Raises `LimitExceeded` once it is too much."""
        rows: list[int] = []
        self._add(root.weight, 1)
        for site, bound in zip(root.sites, bounds, strict=True):
            rows.append(bound.size * (1 if site.parent is None else rows[site.parent.number]))
            self._add(site.weight, rows[-1])
        return self

    def _add(self, weight: Weight, rows: int) -> None:
        self.objects += weight.objects * rows
        self.values += weight.values * rows
        if self.objects > OBJECTS_MAX:
            raise LimitExceeded(f"The request asks for up to {self.objects:,} objects; {OBJECTS_MAX:,} are allowed.")
        if self.values > VALUES_MAX:
            raise LimitExceeded(f"The request asks for up to {self.values:,} values; {VALUES_MAX:,} are allowed.")

    def fits(self) -> int:
        """How many times this much may be asked for at once; at least once."""
        return max(1, min(OBJECTS_MAX // max(1, self.objects), VALUES_MAX // max(1, self.values)))


@dataclass(frozen=True, slots=True)
class ReadRoot:
    """A root field with the arguments of a request, whoever makes it; `given` are a mutation's input, and the arguments
    of a page of changes, as they came."""

    field: RootField
    compiled: Compiled
    bounds: Sequence[Bound]
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BoundRoot:
    """The same, and its statement's arguments with the viewer among them."""

    read: ReadRoot
    arguments: list[Any]

    @property
    def field(self) -> RootField:
        return self.read.field


@dataclass(frozen=True, slots=True)
class BoundStream:
    """A subscription with the arguments of one request: what makes it the same as another, and where to go on from.
    `at_once`: of how many events it may be asked together, so that no more is read than one query may ask for."""

    document: str
    operation: str | None
    flags: tuple[Hashable, ...]
    bounds: tuple[Bound, ...]
    selection: Selection
    compiled: Compiled
    after: str | None
    at_once: int


class Operation:
    """An operation that can be prepared: it selects nothing of introspection at its root."""

    def __init__(self, document: Document, node: OperationDefinitionNode) -> None:
        self.document = document
        self.node = node
        self.mutates = node.operation is OperationType.MUTATION
        self.conditions = condition_variables(node, document.fragments)
        self.variants: OrderedDict[tuple[Hashable, ...], list[RootField]] = OrderedDict()


class Engine:
    """Executes requests. One for each process; holds the database, the prepared operations and the log's cursors."""

    def __init__(
        self,
        schema: strawberry.Schema,
        database: Database,
        cursors: StreamCursors,
        channels: Mapping[DeliveryChannel, Channel],
        own_mail: OwnMail,
        written: Callable[[], None] = lambda: None,
    ) -> None:
        """`channels` are for mutations that send at once, `own_mail` for those that take mail in. `written` is called
        after each mutation that has been done."""
        self._strawberry = schema
        self._schema = graphql_schema(schema)
        self._database = database
        self._cursors = cursors
        self._channels = channels
        self._written = written
        self._own_mail = own_mail
        self._documents = Documents(self._schema)
        self._read: OrderedDict[Hashable, list[ReadRoot]] = OrderedDict()
        self.position_mark = secrets.token_urlsafe(24)
        self._pages = Pages(database, cursors, self.position_mark)

    # A request

    def operation(self, query: str, name: str | None) -> tuple[Document, OperationDefinitionNode]:
        """Raises `InvalidDocument`, `LimitExceeded` or `BadRequest`."""
        document = self._documents.get(query)
        if name is None and len(document.operations) == 1:
            (node,) = document.operations.values()
        elif name is None:
            raise BadRequest("The document has several operations; name one in `operationName`.")
        elif name in document.operations:
            node = document.operations[name]
        else:
            raise BadRequest("The document has no operation of that name.")
        return document, node

    async def execute(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
        request_id: str,
    ) -> Answer:
        """The response to a request, whatever becomes of it. Raises nothing that the client has caused."""
        if node.operation is OperationType.SUBSCRIPTION:
            message = "Subscriptions are served over a WebSocket here, and as server-sent events at /graphql/stream."
            return refusal([BadRequest(message)], request_id)
        operation = self._prepared(document, node)
        if operation is None:
            return await self.execute_ordinarily(document, node, variables, viewer, request_id)
        try:
            bound = self._bind(operation, variables, viewer)
        except (ClientError, GraphQLError) as error:
            return refusal([error], request_id)
        except InvalidVariables as error:
            return refusal(error.errors, request_id, code="BAD_USER_INPUT")
        if operation.mutates or len(bound) == 1:
            results = [await self._result(root, viewer) for root in bound]
        else:
            results = await asyncio.gather(*(self._result(root, viewer) for root in bound))
        return _joined(bound, results, request_id)

    def _prepared(self, document: Document, node: OperationDefinitionNode) -> Operation | None:
        name = node.name.value if node.name else None
        if name not in document.prepared:
            introspects = self._introspects(document, node)
            document.prepared[name] = None if introspects else Operation(document, node)
        operation = document.prepared[name]
        assert operation is None or isinstance(operation, Operation)
        return operation

    def _introspects(self, document: Document, node: OperationDefinitionNode) -> bool:
        collector = Collector(self._schema, document.fragments, _EVERYTHING, Role.ADMIN)
        groups = collector.grouped(self._root_type(node), [node.selection_set])
        return any(nodes[0].name.value in INTROSPECTION for nodes in groups.values())

    def _root_type(self, node: OperationDefinitionNode) -> GraphQLObjectType:
        type_ = self._schema.get_root_type(node.operation)
        assert type_ is not None
        return type_

    # Binding

    def _bind(self, operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer) -> list[BoundRoot]:
        """A query that many ask in the same words, as a dashboard's list is, is read once."""
        key = _key(operation, variables, viewer.role)
        read = self._read.get(key)
        if read is None:
            values = self._coerced(operation.node, variables)
            read = self._read_roots(self._roots(operation, values, viewer.role), values, viewer.role)
            if key is not None:
                _keep(self._read, key, read, _KEPT_REQUESTS)
        return _bound(read, viewer)

    def _roots(self, operation: Operation, values: VariableValues, role: Role) -> list[RootField]:
        conditions = tuple(values.coerced.get(name) for name in operation.conditions)
        variant = (role, *conditions)
        roots = operation.variants.get(variant)
        if roots is None:
            roots = self._select(operation.document, operation.node, values, role)
            _keep(operation.variants, variant, roots, _KEPT_VARIANTS)
        return roots

    def _read_roots(self, roots: Sequence[RootField], values: VariableValues, role: Role) -> list[ReadRoot]:
        read = [_read(root, values) for root in roots]
        cost = Cost()
        for root, bounds in zip(roots, read, strict=True):
            cost.add(root, bounds)
        return [self._read_root(root, bounds, values, role) for root, bounds in zip(roots, read, strict=True)]

    def _coerced(self, node: OperationDefinitionNode, variables: Mapping[str, Any] | None) -> VariableValues:
        if not node.variable_definitions:
            return _NO_VARIABLES
        _check_number(variables)
        values = get_variable_values(self._schema, node.variable_definitions, dict(variables or {}), max_errors=20)
        if isinstance(values, list):
            raise InvalidVariables(values)
        return values

    def _select(
        self, document: Document, node: OperationDefinitionNode, values: VariableValues, role: Role
    ) -> list[RootField]:
        """The operation's root fields, those of introspection apart."""
        flags = Flags(values.coerced)
        type_ = self._root_type(node)
        groups = Collector(self._schema, document.fragments, flags, role).grouped(type_, [node.selection_set])
        return [
            self._root(document, flags, role, type_, key, nodes)
            for key, nodes in groups.items()
            if nodes[0].name.value not in INTROSPECTION
        ]

    def _root(
        self, document: Document, flags: Flags, role: Role, type_: GraphQLObjectType, key: str, nodes: list[FieldNode]
    ) -> RootField:
        collector = Collector(self._schema, document.fragments, flags, role)
        selection = collector.select(type_, key, nodes, Place(None, collector.weight))
        constants = [_read_site(site, _NO_VARIABLES) if site.constant else None for site in collector.sites]
        definition: GraphQLField | None = type_.fields.get(nodes[0].name.value)
        nullable = definition is not None and not is_non_null_type(definition.type)
        return RootField(key, selection, collector.sites, constants, collector.weight, nodes, nullable)

    def _read_root(self, root: RootField, bounds: Sequence[Bound], values: VariableValues, role: Role) -> ReadRoot:
        given: Mapping[str, Any] = {}
        if isinstance(root.selection.mapping, Mutation | TicketChangesPage):
            given = get_argument_values(root.sites[0].definition, root.sites[0].node, values)
        return ReadRoot(root, self._compiled(root, bounds, role), bounds, given.get("input", given))

    def _compiled(self, root: RootField, bounds: Sequence[Bound], role: Role) -> Compiled:
        shapes = tuple(bound.shape for bound in bounds)
        compiled = root.statements.get(shapes)
        if compiled is None:
            compiler = compile_stream if isinstance(root.selection.mapping, Stream) else compile_root
            compiled = compiler(root.selection, role, shapes, self.position_mark)
            _keep(root.statements, shapes, compiled, _KEPT_STATEMENTS)
        return compiled

    def bind_stream(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
    ) -> BoundStream:
        """A subscription, ready to be made a feed of. Raises `ClientError`, `GraphQLError` or `InvalidVariables`."""
        operation = self._prepared(document, node)
        assert operation is not None, "validation lets no subscription introspect"
        values = self._coerced(node, variables)
        (root,) = self._roots(operation, values, viewer.role)
        bounds = _read(root, values)
        at_once = min(EVENTS_MAX, Cost().add(root, bounds).fits())
        compiled = self._compiled(root, bounds, viewer.role)
        site = root.sites[0]
        after = get_argument_values(site.definition, site.node, values).get("after")
        flags = tuple(values.coerced.get(name) for name in operation.conditions)
        name = node.name.value if node.name else None
        return BoundStream(document.text, name, flags, tuple(bounds), root.selection, compiled, after, at_once)

    # Running

    async def _result(self, bound: BoundRoot, viewer: Viewer) -> bytes | GraphQLError:
        """The root field's JSON, or the error that takes its place."""
        try:
            document = await self._run(bound, viewer)
        except Exception as error:  # noqa: BLE001 (a field's error must not become the request's)
            return located_error(client_error(error), bound.field.nodes, [bound.field.key])
        if document is None and not bound.field.nullable:
            logger.error("no value for the non-null root field %s", bound.field.selection.name)
            return located_error(_fault(), bound.field.nodes, [bound.field.key])
        return b"null" if document is None else document

    async def _run(self, bound: BoundRoot, viewer: Viewer) -> bytes | None:
        read, arguments = bound.read, bound.arguments
        compiled, mapping = read.compiled, read.field.selection.mapping
        if isinstance(mapping, Constant):
            return orjson.dumps(mapping.word)
        if isinstance(mapping, TicketChangesPage):
            reader = Reader(compiled, read.bounds, viewer, self._database)
            after, size = read.given.get("after"), read.bounds[0].size
            at_once = min(EVENTS_MAX, size * Cost().add(read.field, read.bounds).fits())
            return await self._pages.page(read.field.selection, reader, after, size, at_once)
        if isinstance(mapping, Mutation):
            outcome = await _done(mapping, Call(viewer, self._database, self._channels, self._own_mail), read.given)
            self._written()
            errors = [error.as_json() for error in outcome.errors]
            arguments = compiled.with_outcome(arguments, outcome.object_id, errors, outcome.extra)
        ((found, *position),) = await self._database.fetch(compiled.statement.text, *arguments)
        document: bytes | None = found
        if document is None or not position:
            return document
        return document.replace(self.position_mark.encode(), self._cursors.seal(position[0]).encode())

    # The ordinary way

    async def execute_ordinarily(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
        request_id: str,
    ) -> Answer:
        try:
            values = self._coerced(node, variables)
            roots = self._select(document, node, values, viewer.role)
            bound = _bound(self._read_roots(roots, values, viewer.role), viewer)
        except (ClientError, GraphQLError) as error:
            return refusal([error], request_id)
        except InvalidVariables as error:
            return refusal(error.errors, request_id, code="BAD_USER_INPUT")
        context = OrdinaryContext(self, {root.field.key: root for root in bound}, viewer)
        result: Any = await self._strawberry.execute(
            document.text,
            variable_values=dict(variables or {}),
            context_value=context,
            operation_name=node.name.value if node.name else None,
        )
        errors = [located_error(client_error(error), error.nodes, error.path) for error in result.errors or ()]
        formatted, codes = _formatted(errors, request_id)
        body: dict[str, Any] = {"data": result.data}
        if formatted:
            body["errors"] = formatted
        return Answer(orjson.dumps(body), True, codes)

    async def answer(self, bound: BoundRoot, viewer: Viewer) -> orjson.Fragment | None:
        """A root field in the ordinary way."""
        found = await self._run(bound, viewer)
        return None if found is None else orjson.Fragment(found)


@dataclass(frozen=True, slots=True)
class OrdinaryContext:
    """The context of an operation that Strawberry executes: its root fields, bound before any of them runs. The
    schema calls `answer` for each."""

    engine: Engine
    roots: Mapping[str, BoundRoot]
    viewer: Viewer

    async def answer(self, info: GraphQLResolveInfo[Any]) -> orjson.Fragment | None:
        return await self.engine.answer(self.roots[str(info.path.key)], self.viewer)


class InvalidVariables(Exception):
    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


class _Everything(Flags):
    def included(self, directives: Any) -> bool:
        return True


_EVERYTHING = _Everything({})


def _check_number(variables: Mapping[str, Any] | None) -> None:
    """Raises `LimitExceeded` for more values than anybody needs, before each of them is coerced."""
    pending: list[Any] = [variables]
    count = 0
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
            count += len(value)
        elif isinstance(value, list):
            pending.extend(value)
            count += len(value)
        if count > VARIABLES_MAX:
            raise LimitExceeded(f"The variables hold more than {VARIABLES_MAX:,} values.")


def _read_site(site: Site, values: VariableValues) -> Bound:
    return site.mapping.read(get_argument_values(site.definition, site.node, values))


def _bound(read: Sequence[ReadRoot], viewer: Viewer) -> list[BoundRoot]:
    return [BoundRoot(each, each.compiled.arguments(each.bounds, viewer)) for each in read]


def _key(operation: Operation, variables: Mapping[str, Any] | None, role: Role) -> Hashable:
    """What makes a request the same as another; None for one that is not kept."""
    if operation.mutates:
        return None
    try:
        given = orjson.dumps(variables)
    except TypeError:  # nested too deeply, or no text that could be sent
        return None
    return None if len(given) > _KEPT_VARIABLES else (operation, role, given)


def _read(root: RootField, values: VariableValues) -> list[Bound]:
    """The arguments of all the root field's sites."""
    return [
        _read_site(site, values) if constant is None else constant
        for site, constant in zip(root.sites, root.constants, strict=True)
    ]


async def _done(mutation: Mutation, call: Call, given: Mapping[str, Any]) -> Outcome:
    try:
        return await mutation.handler(call, given)
    except Refused as refused:
        return Outcome(refused.object_id, refused.errors)


def _keep(kept: OrderedDict[Any, Any], key: Hashable, value: Any, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


# Answers


def _joined(bound: Sequence[BoundRoot], results: Sequence[bytes | GraphQLError], request_id: str) -> Answer:
    parts = []
    errors: list[GraphQLError] = []
    whole = True
    for root, result in zip(bound, results, strict=True):
        if isinstance(result, GraphQLError):
            errors.append(result)
            whole = whole and root.field.nullable
            result = b"null"
        parts.append(b'"%b":%b' % (root.field.key.encode(), result))
    data = b"{%b}" % b",".join(parts) if whole else b"null"
    if not errors:
        return Answer(b'{"data":%b}' % data, True)
    formatted, codes = _formatted(errors, request_id)
    return Answer(b'{"errors":%b,"data":%b}' % (orjson.dumps(formatted), data), True, codes)


def refusal(errors: Sequence[ClientError | GraphQLError], request_id: str, code: str | None = None) -> Answer:
    """A request that is answered without having been executed."""
    located = [e if isinstance(e, GraphQLError) else GraphQLError(e.message, original_error=e) for e in errors]
    formatted, codes = _formatted(located, request_id, code)
    return Answer(orjson.dumps({"errors": formatted}), False, codes)


def _formatted(
    errors: Sequence[GraphQLError], request_id: str, code: str | None = None
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    formatted = []
    codes = []
    for error in errors:
        original = error.original_error
        known = original.extension_code if isinstance(original, ClientError) else (code or "BAD_USER_INPUT")
        codes.append(known)
        formatted.append(
            {**error.formatted, "message": _told(error.message), "extensions": {"code": known, "requestId": request_id}}
        )
    return formatted, tuple(codes)


# Where graphql-core's messages quote the value that they are about.
_QUOTED = re.compile(r"(, found|(?<=cannot represent)[^:]*): .*", re.DOTALL)


def _told(message: str) -> str:
    """graphql-core's message without the value: a webhook's URL, say, must not come back in an error."""
    return _QUOTED.sub(lambda quoted: quoted[1].removesuffix(", found") + ".", message)


def _fault() -> ClientError:
    return ClientError("Something went wrong on the server.", code="INTERNAL")


def client_error(error: Exception) -> ClientError:
    """What the client is told of an exception; what it must not learn goes to the log alone."""
    original = error.original_error if isinstance(error, GraphQLError) and error.original_error else error
    match original:
        case ClientError():
            return original
        case GraphQLError():
            return ClientError(original.message, code="BAD_USER_INPUT")
        case asyncpg.QueryCanceledError() | TimeoutError():
            logger.warning("a statement took too long", exc_info=original)
            return ClientError("This took too long and was given up.", code="TIMEOUT")
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            logger.warning("a transaction was given up", exc_info=original)
            return ClientError("Somebody else is changing this at the moment; try again.", code="BUSY")
        case (
            OSError()
            | asyncpg.PostgresConnectionError()
            | asyncpg.InterfaceError()
            | asyncpg.InternalClientError()  # of a connection that ends in the middle of a statement
            | asyncpg.OperatorInterventionError()
        ):
            logger.error("the database cannot be reached", exc_info=original)
            return ClientError("The database cannot be reached at the moment; try again.", code="UNAVAILABLE")
        case asyncpg.TooManyConnectionsError():
            logger.error("the database has no connection left", exc_info=original)
            return ClientError("The database cannot be reached at the moment; try again.", code="UNAVAILABLE")
        case _:
            logger.error("unhandled exception", exc_info=original)
            return _fault()
