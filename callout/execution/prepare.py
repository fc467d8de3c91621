"""Prepared operations: everything that depends only on the document is computed once and kept.

For each role, scope and combination of `@skip`/`@include` values, that is what each root field selects and where its
arguments are; and for each shape of those arguments, the statement. A warm request only coerces its variables and reads
the arguments' values.

The caches are bounded in bytes, by estimates that were measured, and evict what was used least recently
(`docs/decisions/caches.md`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, TypeVar

import orjson
from cachetools import LRUCache
from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_argument_values,
    is_non_null_type,
)
from graphql.execution.values import VariableValues, get_variable_values

from callout.execution.answer import BadRequest, InvalidVariables
from callout.execution.cost import Cost
from callout.execution.documents import INTROSPECTION, Document, Documents, condition_variables
from db.compiler.collect import Collector, Flags, Scope
from db.compiler.fields import MutationField
from db.compiler.render import Compiled, compile_root
from db.compiler.selection import Bound, Selection, Site, Weight
from db.compiler.snippets import Snippets
from db.enums import Role
from db.errors import LimitExceeded
from db.ticket_stream import Stream, TicketChangesPage, compile_stream
from db.viewer import Viewer

EVENTS_MAX = 200
"""The most events to look up at a time; fewer if that many messages would exceed the cost of one query."""
VARIABLES_MAX = 20_000
STEP_SECONDS: Final = 0.005
_STATEMENT_BYTES = 64 * 2**20
_BYTES_PER_CHARACTER = 20  # of a statement's text, with the selection that it was made from
_REQUEST_BYTES = 16 * 2**20
_BYTES_PER_ROOT = 5_000  # of a request
_KEPT_VARIABLES = 500  # bytes of JSON; a request with larger variables is not kept
_KEPT_VARIANTS = 32  # of an operation: combinations of the role, the scope and the values of @skip and @include
_NO_VARIABLES = VariableValues({}, {})

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class RootField:
    """A root field of a prepared operation."""

    key: str
    selection: Selection
    sites: list[Site]
    constants: list[Bound | None]
    weight: Weight
    nodes: list[FieldNode]
    nullable: bool


@dataclass(frozen=True, slots=True)
class ReadRoot:
    """A root field with the arguments of a request, independent of the viewer. `given` is a mutation's input, or the
    arguments of a page of changes, as sent."""

    field: RootField
    compiled: Compiled
    bounds: Sequence[Bound]
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BoundRoot:
    """A root field with its statement's arguments, including the viewer."""

    read: ReadRoot
    arguments: list[Any]

    @property
    def field(self) -> RootField:
        return self.read.field


@dataclass(frozen=True, slots=True)
class BoundStream:
    """A subscription with the arguments of one request: the values by which equal subscriptions are recognised, and the
    cursor to continue from. `at_once` bounds the events that are looked up together, so that no look-up costs more than
    one query may."""

    document: str
    operation: str | None
    flags: tuple[Hashable, ...]
    bounds: tuple[Bound, ...]
    selection: Selection
    compiled: Compiled
    after: str | None
    at_once: int


class Operation:
    """An operation that can be prepared: one without introspection fields at its root. `mutations` names those that it
    consists of, each once; None if it is of another type."""

    def __init__(self, document: Document, node: OperationDefinitionNode, fields: Sequence[str]) -> None:
        self.document = document
        self.node = node
        self.mutates = node.operation is OperationType.MUTATION
        named = dict.fromkeys(name for name in fields if name != "__typename")
        self.mutations = tuple(named) if self.mutates else None
        self.conditions = condition_variables(node, document.fragments)
        self.variants: LRUCache[tuple[Hashable, ...], list[RootField]] = LRUCache(_KEPT_VARIANTS)


class Preparer:
    """Prepares operations and binds requests to them. One for each process."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._documents = Documents(schema)
        self._snippets = Snippets()
        self._statements: LRUCache[tuple[RootField, tuple[Hashable, ...]], Compiled] = LRUCache(
            _STATEMENT_BYTES, getsizeof=lambda compiled: len(compiled.statement.text) * _BYTES_PER_CHARACTER
        )
        self._requests: LRUCache[Hashable, list[ReadRoot]] = LRUCache(
            _REQUEST_BYTES, getsizeof=lambda roots: len(roots) * _BYTES_PER_ROOT
        )
        self.position_mark = secrets.token_urlsafe(24)
        """The placeholder for the stream cursor in the JSON that statements return. Random, so that no data can contain
        it."""

    def operation(self, query: str, name: str | None) -> tuple[Document, OperationDefinitionNode]:
        """Returns the document and the operation to execute; `name` may be None if there is only one. Raises
        `InvalidDocument`, `LimitExceeded` or `BadRequest`."""
        document = self._documents.get(query)
        return document, _named(document, name)

    async def fetch_operation(self, query: str, name: str | None) -> tuple[Document, OperationDefinitionNode]:
        """The same, without holding up other requests if the document is long."""
        document = await self._documents.fetch(query)
        return document, _named(document, name)

    def prepared(self, document: Document, node: OperationDefinitionNode) -> Operation | None:
        """Returns the prepared operation, or None if it introspects and so cannot be prepared."""
        name = node.name.value if node.name else None
        if name not in document.prepared:
            fields = self._root_fields(document, node)
            document.prepared[name] = None if INTROSPECTION & set(fields) else Operation(document, node, fields)
        operation = document.prepared[name]
        assert operation is None or isinstance(operation, Operation)
        return operation

    def bind(self, operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer) -> list[BoundRoot]:
        """Returns the operation's root fields with a request's arguments. If many clients send the same query with the
        same variables, such as a dashboard's list, the arguments are read once. Raises `ClientError`, `GraphQLError` or
        `InvalidVariables`."""
        return _finished(self._binding(operation, variables, viewer))

    async def bind_in_steps(
        self, operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer
    ) -> list[BoundRoot]:
        """The same, but lets other requests run every `STEP_SECONDS`. Reading the arguments of a hundred root fields
        and building their statements takes a tenth of a second."""
        steps = self._binding(operation, variables, viewer)
        began = monotonic()
        while True:
            try:
                next(steps)
            except StopIteration as done:
                bound: list[BoundRoot] = done.value
                return bound
            if monotonic() - began > STEP_SECONDS:
                await asyncio.sleep(0)
                began = monotonic()

    def _binding(
        self, operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer
    ) -> Generator[None, None, list[BoundRoot]]:
        """Binds a request in short steps."""
        key = _key(operation, variables, viewer)
        read = self._requests.get(key)
        if read is None:
            values = self._coerced(operation.node, variables)
            yield
            roots = self._roots(operation, values, viewer)
            read = yield from self._read_roots(roots, values, viewer.role)
            if key is not None:
                _keep(self._requests, key, read)
        return _bound(read, viewer)

    def bind_unprepared(
        self, document: Document, node: OperationDefinitionNode, variables: Mapping[str, Any] | None, viewer: Viewer
    ) -> list[BoundRoot]:
        """Like `bind`, for an operation that introspects: returns its root fields without the introspection fields."""
        values = self._coerced(node, variables)
        roots = self._select(document, node, values, viewer)
        return _bound(_finished(self._read_roots(roots, values, viewer.role)), viewer)

    def bind_stream(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
    ) -> BoundStream:
        """Returns the subscription with a request's arguments, ready to become a feed. Raises `ClientError`,
        `GraphQLError` or `InvalidVariables`."""
        operation = self.prepared(document, node)
        assert operation is not None, "validation refuses subscriptions that introspect"
        values = self._coerced(node, variables)
        (root,) = self._roots(operation, values, viewer)
        bounds = _read(root, values)
        at_once = min(EVENTS_MAX, Cost().add(root.weight, root.sites, bounds).fits())
        compiled = self._compiled(root, bounds, viewer.role)
        site = root.sites[0]
        after = get_argument_values(site.definition, site.node, values).get("after")
        flags = tuple(values.coerced.get(name) for name in operation.conditions)
        name = node.name.value if node.name else None
        return BoundStream(document.text, name, flags, tuple(bounds), root.selection, compiled, after, at_once)

    def mutations(self, document: Document, node: OperationDefinitionNode) -> tuple[str, ...] | None:
        """Returns the names of the mutations in the operation, each once; None if it is of another type."""
        operation = self.prepared(document, node)
        return None if operation is None else operation.mutations

    def _root_fields(self, document: Document, node: OperationDefinitionNode) -> list[str]:
        """Returns the names of the operation's root fields."""
        collector = Collector(self._schema, document.fragments, _EVERYTHING, Role.ADMIN, None)
        groups = collector.grouped(self._root_type(node), [node.selection_set])
        return [nodes[0].name.value for nodes in groups.values()]

    def _root_type(self, node: OperationDefinitionNode) -> GraphQLObjectType:
        type_ = self._schema.get_root_type(node.operation)
        assert type_ is not None
        return type_

    def _roots(self, operation: Operation, values: VariableValues, viewer: Viewer) -> list[RootField]:
        conditions = tuple(values.coerced.get(name) for name in operation.conditions)
        variant = (viewer.role, viewer.scope, *conditions)
        roots = operation.variants.get(variant)
        if roots is None:
            roots = self._select(operation.document, operation.node, values, viewer)
            operation.variants[variant] = roots
        return roots

    def _read_roots(
        self, roots: Sequence[RootField], values: VariableValues, role: Role
    ) -> Generator[None, None, list[ReadRoot]]:
        bounds, cost = [], Cost()
        for root in roots:
            bounds.append(_read(root, values))
            cost.add(root.weight, root.sites, bounds[-1])
            yield
        read = []
        for root, of_root in zip(roots, bounds, strict=True):
            read.append(self._read_root(root, of_root, values, role))
            yield
        return read

    def _coerced(self, node: OperationDefinitionNode, variables: Mapping[str, Any] | None) -> VariableValues:
        if not node.variable_definitions:
            return _NO_VARIABLES
        _check_number(variables)
        values = get_variable_values(self._schema, node.variable_definitions, dict(variables or {}), max_errors=20)
        if isinstance(values, list):
            raise InvalidVariables(values)
        return values

    def _select(
        self, document: Document, node: OperationDefinitionNode, values: VariableValues, viewer: Viewer
    ) -> list[RootField]:
        """Returns the operation's root fields, without introspection fields."""
        flags = Flags(values.coerced)
        type_ = self._root_type(node)
        collector = Collector(self._schema, document.fragments, flags, viewer.role, viewer.scope)
        groups = collector.grouped(type_, [node.selection_set])
        return [
            self._root(document, flags, viewer, type_, key, nodes)
            for key, nodes in groups.items()
            if nodes[0].name.value not in INTROSPECTION
        ]

    def _root(
        self,
        document: Document,
        flags: Flags,
        viewer: Viewer,
        type_: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
    ) -> RootField:
        collector = Collector(self._schema, document.fragments, flags, viewer.role, viewer.scope)
        selection = collector.select(type_, key, nodes, Scope(None, collector.weight))
        constants = [_read_site(site, _NO_VARIABLES) if site.constant else None for site in collector.sites]
        definition: GraphQLField | None = type_.fields.get(nodes[0].name.value)
        nullable = definition is not None and not is_non_null_type(definition.type)
        return RootField(key, selection, collector.sites, constants, collector.weight, nodes, nullable)

    def _read_root(self, root: RootField, bounds: Sequence[Bound], values: VariableValues, role: Role) -> ReadRoot:
        given: Mapping[str, Any] = {}
        if isinstance(root.selection.mapping, MutationField | TicketChangesPage):
            given = get_argument_values(root.sites[0].definition, root.sites[0].node, values)
        return ReadRoot(root, self._compiled(root, bounds, role), bounds, given.get("input", given))

    def _compiled(self, root: RootField, bounds: Sequence[Bound], role: Role) -> Compiled:
        shapes = tuple(bound.shape for bound in bounds)
        compiled = self._statements.get((root, shapes))
        if compiled is None:
            compiler = compile_stream if isinstance(root.selection.mapping, Stream) else compile_root
            compiled = compiler(root.selection, role, shapes, self.position_mark, self._snippets)
            _keep(self._statements, (root, shapes), compiled)
        return compiled


def _named(document: Document, name: str | None) -> OperationDefinitionNode:
    """Returns the operation to execute. Raises `BadRequest`."""
    if name is None and len(document.operations) == 1:
        (node,) = document.operations.values()
        return node
    if name is None:
        raise BadRequest("The document has several operations; name one in `operationName`.")
    if name not in document.operations:
        raise BadRequest("The document has no operation with the name in `operationName`.")
    return document.operations[name]


def _finished(steps: Generator[None, None, T]) -> T:
    """Runs all steps, and returns their result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


class _Everything(Flags):
    def included(self, directives: Any) -> bool:
        return True


_EVERYTHING = _Everything({})


def _check_number(variables: Mapping[str, Any] | None) -> None:
    """Raises `LimitExceeded` for more than `VARIABLES_MAX` values, before they cost the time to be coerced."""
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
            raise LimitExceeded(f"The variables contain more than {VARIABLES_MAX:,} values.")


def _read_site(site: Site, values: VariableValues) -> Bound:
    return site.mapping.read(get_argument_values(site.definition, site.node, values))


def _bound(read: Sequence[ReadRoot], viewer: Viewer) -> list[BoundRoot]:
    return [BoundRoot(each, each.compiled.arguments(each.bounds, viewer)) for each in read]


def _key(operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer) -> Hashable:
    """Returns the key by which equal requests are recognised, or None if the request is not kept."""
    if operation.mutates:
        return None
    try:
        given = orjson.dumps(variables)
    except TypeError:  # nested too deeply, or a text contains a lone surrogate
        return None
    return None if len(given) > _KEPT_VARIABLES else (operation, viewer.role, given, viewer.scope)


def _read(root: RootField, values: VariableValues) -> list[Bound]:
    """Returns the arguments of all the root field's sites."""
    return [
        _read_site(site, values) if constant is None else constant
        for site, constant in zip(root.sites, root.constants, strict=True)
    ]


def _keep(kept: LRUCache[Any, Any], key: Hashable, value: Any) -> None:
    with suppress(ValueError):  # larger than the whole cache
        kept[key] = value
