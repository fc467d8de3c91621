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
from collections.abc import Awaitable, Callable, Collection, Generator, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Final, TypeAlias, TypeVar

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
from callout.execution.budgets import Charge
from callout.execution.cost import REPLAY, Cost, price_of_building, price_of_variables
from callout.execution.documents import INTROSPECTION, DependentCache, Document, Documents, condition_variables
from callout.execution.persisted import PersistedDocuments
from callout.execution.request import GraphQLRequest
from callout.execution.thread import Thread
from db.compiler.collect import Collector, Flags, Scope
from db.compiler.fields import MutationField, MutationInMemory
from db.compiler.render import Compiled, compile_root
from db.compiler.selection import MAPPING, Bound, Marks, Selection, Site, Weight
from db.compiler.snippets import Snippets
from db.enums import EVERYONE, Role
from db.errors import Forbidden, LimitExceeded
from db.metrics import Histogram
from db.ticket_stream import Stream, TicketChangesPage, compile_stream
from db.ticket_window import Window, compile_window
from db.timing import SPENT
from db.viewer import Viewer

EVENTS_MAX = 200
"""The most events to look up at a time; fewer if that many messages would exceed the cost of one query."""
VARIABLES_MAX = 20_000
STEP_SECONDS: Final = 0.002
LONG_CONDITIONS: Final = 8  # of a statement; one with more of them is built in a thread, also one with more sites
LONG_SITES: Final = 20
FREE_VARIABLES: Final = 50  # values; more are paid
LONG_VARIABLES: Final = 500  # more are coerced in a thread
_STATEMENT_BYTES = 64 * 2**20
_BYTES_PER_CHARACTER = 20  # of a statement's text, with the selection that it was made from
_REQUEST_BYTES = 16 * 2**20
_BYTES_PER_ROOT = 5_000  # of a request
_KEPT_VARIABLES = 500  # bytes of JSON; a request with larger variables is not kept
_VARIANT_BYTES = 32 * 2**20
_BYTES_PER_SELECTION = 300  # of an operation's root fields for one role and one combination of @skip and @include
_BYTES_PER_SITE = 800
_NO_VARIABLES = VariableValues({}, {})

_COMPILED = Histogram(
    "callout_statement_compile_seconds",
    "How long new statements took to build.",
)

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
    document: Document


@dataclass(frozen=True, slots=True)
class ReadRoot:
    """A root field with the arguments of a request, independent of the viewer. `given` is a mutation's input, or the
    arguments of a page of changes, as sent."""

    field: RootField
    compiled: Compiled
    bounds: Sequence[Bound]
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """The root fields of a request, and its price without what had to be built for them."""

    roots: list[ReadRoot]
    points: float


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
    one query may. `points` is the price of running the statement once."""

    document: str
    operation: str | None
    flags: tuple[Hashable, ...]
    bounds: tuple[Bound, ...]
    selection: Selection
    compiled: Compiled
    after: str | None
    at_once: int
    points: float


@dataclass(slots=True)
class WorkStep:
    """A step of preparing a request: its price in points, and the work whose result the next step needs, if there is
    any. Work that `is_long` is done in a thread."""

    points: float = 0.0
    work: Callable[[], Any] | None = None
    is_long: bool = False


FREE: Final = WorkStep()
Steps: TypeAlias = Generator[WorkStep, Any, T]


class Operation:
    """An operation that can be prepared: one without introspection fields at its root. `mutations` names those that it
    consists of, each once; None if it is of another type. One that `renews` consists of mutations that write nothing,
    which clients repeat."""

    def __init__(
        self, document: Document, node: OperationDefinitionNode, fields: Sequence[str], *, renews: bool
    ) -> None:
        self.document = document
        self.node = node
        self.mutates = node.operation is OperationType.MUTATION
        named = dict.fromkeys(name for name in fields if name != "__typename")
        self.mutations = tuple(named) if self.mutates else None
        self.renews = renews
        self.conditions = condition_variables(node, document.fragments)


class Preparer:
    """Prepares operations and binds requests to them. One for each process."""

    def __init__(
        self,
        schema: GraphQLSchema,
        introspecting: Collection[Role] = EVERYONE,
        persisted: PersistedDocuments | None = None,
    ) -> None:
        """`introspecting` are the roles that may read the schema, and to which errors suggest its names. `persisted`
        has the documents that requests only name."""
        self._schema = schema
        self._persisted = PersistedDocuments() if persisted is None else persisted
        self._introspecting = introspecting
        self.thread = Thread()
        self._documents = Documents(schema, self.thread)
        self._snippets = Snippets()
        self._variants: DependentCache[tuple[Any, ...], list[RootField]] = DependentCache(
            _VARIANT_BYTES, getsizeof=_bytes_of_roots
        )
        self._statements: DependentCache[tuple[RootField, tuple[Hashable, ...]], Compiled] = DependentCache(
            _STATEMENT_BYTES, getsizeof=lambda compiled: len(compiled.statement.text) * _BYTES_PER_CHARACTER
        )
        self._requests: DependentCache[Any, Read] = DependentCache(
            _REQUEST_BYTES, getsizeof=lambda read: len(read.roots) * _BYTES_PER_ROOT
        )
        self._renewals: DependentCache[Any, Read] = DependentCache(
            _REQUEST_BYTES, getsizeof=lambda read: len(read.roots) * _BYTES_PER_ROOT
        )
        self.marks = Marks(*(secrets.token_urlsafe(24) for _ in range(3)))
        """What stands in the JSON that statements return for stream cursors, the URLs of files and absent objects."""

    def operation(self, query: str, name: str | None) -> tuple[Document, OperationDefinitionNode]:
        """Returns the document and the operation to execute; `name` may be None if there is only one. Raises
        `InvalidDocument`, `LimitExceeded` or `BadRequest`."""
        document = self._documents.get(query)
        return document, _named(document, name)

    def fetch(
        self, request: GraphQLRequest, viewer: Viewer, charge: Charge
    ) -> Awaitable[tuple[Document, OperationDefinitionNode]]:
        """Returns the document and the operation that a request asks for. Raises the errors of `PersistedDocuments`,
        and of `fetch_operation`."""
        text = self._persisted.text_of(request, viewer)
        found = self.fetch_operation(text, request.operation_name, viewer.role, charge)
        return found if request.hash is None else self._kept(found, request, viewer)

    async def _kept(
        self, found: Awaitable[tuple[Document, OperationDefinitionNode]], request: GraphQLRequest, viewer: Viewer
    ) -> tuple[Document, OperationDefinitionNode]:
        """Keeps the document of the request under its hash once it is known to be valid."""
        document, node = await found
        self._persisted.keep(request, viewer)
        return document, node

    async def fetch_operation(
        self, query: str, name: str | None, role: Role, charge: Charge
    ) -> tuple[Document, OperationDefinitionNode]:
        """The same for a viewer's request, without holding up others if the document is long. Raises `RateLimited`,
        too."""
        document = await self._documents.fetch(query, charge, suggesting=role in self._introspecting)
        return document, _named(document, name)

    def forget(self) -> None:
        """Forgets all documents and requests, in which clients may have sent values that have been erased since."""
        self._persisted.forget()
        self._documents.forget()
        self._requests.clear()
        self._renewals.clear()
        self._statements.clear()
        self._variants.clear()

    def prepared(self, document: Document, node: OperationDefinitionNode) -> Operation | None:
        """Returns the prepared operation, or None if it introspects and so cannot be prepared."""
        name = node.name.value if node.name else None
        if name not in document.prepared:
            fields = self._root_fields(document, node)
            introspects, renews = bool(INTROSPECTION & set(fields)), self._renews(node, fields)
            document.prepared[name] = None if introspects else Operation(document, node, fields, renews=renews)
        operation = document.prepared[name]
        assert operation is None or isinstance(operation, Operation)
        return operation

    def _renews(self, node: OperationDefinitionNode, fields: Sequence[str]) -> bool:
        if node.operation is not OperationType.MUTATION:
            return False
        definitions = (self._root_type(node).fields.get(name) for name in fields)
        return all(each and isinstance(each.extensions.get(MAPPING), MutationInMemory) for each in definitions)

    def _arguments(self, operation: Operation) -> DependentCache[Any, Read]:
        """Where the arguments of its requests are kept. Renewals, of which each has its own, do not displace those of
        queries."""
        return self._renewals if operation.renews else self._requests

    def bind(self, operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer) -> list[BoundRoot]:
        """Returns the operation's root fields with a request's arguments. If many clients send the same query with the
        same variables, such as a dashboard's list, the arguments are read once. Raises `ClientError`, `GraphQLError` or
        `InvalidVariables`."""
        key = _key(operation, variables, viewer)
        read = self._arguments(operation).get(key)
        return _bound(_finished(self._reading(operation, variables, viewer, key)) if read is None else read, viewer)

    async def bind_in_steps(
        self, operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer, charge: Charge
    ) -> list[BoundRoot]:
        """The same for a request, which pays its price. Lets other requests run every `STEP_SECONDS`: reading the
        arguments of a hundred root fields and building their statements takes a second. Raises `RateLimited`, too."""
        key = _key(operation, variables, viewer)
        read = self._arguments(operation).get(key)
        if read is None:
            read = await self._in_steps(self._reading(operation, variables, viewer, key), charge)
        else:
            charge.spend(read.points)
        return _bound(read, viewer)

    async def bind_unprepared(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
        charge: Charge,
    ) -> list[BoundRoot]:
        """Like `bind_in_steps`, for an operation that introspects: returns its root fields without the introspection
        fields. Raises `Forbidden` if the viewer's role may not introspect."""
        if viewer.role not in self._introspecting:
            raise Forbidden(f"The role {viewer.role.lower()} cannot introspect the schema; `callout schema` prints it.")
        return _bound(await self._in_steps(self._reading_unprepared(document, node, variables, viewer), charge), viewer)

    def bind_stream(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
    ) -> BoundStream:
        """Returns the subscription with a request's arguments, ready to become a feed. Raises `ClientError`,
        `GraphQLError` or `InvalidVariables`."""
        return _finished(self._binding_stream(document, node, variables, viewer))

    async def bind_stream_in_steps(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
        charge: Charge,
    ) -> BoundStream:
        """The same for a request, which pays its price. Raises `RateLimited`, too."""
        return await self._in_steps(self._binding_stream(document, node, variables, viewer), charge)

    async def _in_steps(self, steps: Steps[T], charge: Charge) -> T:
        """Runs the steps, of one request of a viewer at a time. What a step asks for is paid before it is done."""
        async with charge.budget.building:
            done: Any = None
            started = began = monotonic()
            while True:
                try:
                    step = steps.send(done)
                except StopIteration as ended:
                    result: T = ended.value
                    break
                if step.points:
                    charge.spend(step.points)
                done = None
                if step.work is not None:
                    done = await self.thread.run(step.work) if step.is_long else step.work()
                if monotonic() - began > STEP_SECONDS:
                    await asyncio.sleep(0)
                    began = monotonic()
            if spent := SPENT.get():
                spent.preparing += monotonic() - started
            if monotonic() - began > STEP_SECONDS:
                await asyncio.sleep(0)  # before the viewer's next request
            return result

    def _reading(
        self, operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer, key: Hashable
    ) -> Steps[Read]:
        """Reads a request's arguments, and keeps them under `key`."""
        values = yield from self._coercing(operation.node, variables, viewer.role)
        roots = yield from self._roots(operation, values, viewer)
        read = yield from self._read_roots(roots, values, viewer.role)
        if key is not None:
            _keep(self._arguments(operation), key, read)
        return read

    def _reading_unprepared(
        self, document: Document, node: OperationDefinitionNode, variables: Mapping[str, Any] | None, viewer: Viewer
    ) -> Steps[Read]:
        values = yield from self._coercing(node, variables, viewer.role)
        roots = yield from self._select(document, node, values, viewer)
        return (yield from self._read_roots(roots, values, viewer.role))

    def _binding_stream(
        self,
        document: Document,
        node: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
        viewer: Viewer,
    ) -> Steps[BoundStream]:
        operation = self.prepared(document, node)
        assert operation is not None, "validation refuses subscriptions that introspect"
        values = yield from self._coercing(node, variables, viewer.role)
        (root,) = yield from self._roots(operation, values, viewer)
        bounds = yield from _read(root, values)
        cost = Cost().add(root.weight, root.sites, bounds)
        at_once = min(EVENTS_MAX, cost.fits())
        site = root.sites[0]
        after = get_argument_values(site.definition, site.node, values).get("after")
        yield FREE if after is None else WorkStep(REPLAY)
        (compiled,) = yield from self._compiled([root], [bounds], viewer.role, cost)
        flags = tuple(values.coerced.get(name) for name in operation.conditions)
        name = node.name.value if node.name else None
        return BoundStream(
            document.text, name, flags, tuple(bounds), root.selection, compiled, after, at_once, cost.points
        )

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

    def _roots(self, operation: Operation, values: VariableValues, viewer: Viewer) -> Steps[list[RootField]]:
        conditions = tuple(values.coerced.get(name) for name in operation.conditions)
        variant = (operation, viewer.role, viewer.scope, *conditions)
        roots = self._variants.get(variant)
        if roots is None:
            roots = yield from self._select(operation.document, operation.node, values, viewer)
            _keep(self._variants, variant, roots)
        return roots

    def _read_roots(self, roots: Sequence[RootField], values: VariableValues, role: Role) -> Steps[Read]:
        bounds, cost = [], Cost()
        for root in roots:
            bounds.append((yield from _read(root, values)))
            cost.add(root.weight, root.sites, bounds[-1])
            yield FREE
        compiled = yield from self._compiled(roots, bounds, role, cost)
        read = [_read_root(*each, values) for each in zip(roots, compiled, bounds, strict=True)]
        return Read(read, cost.points)

    def _coercing(
        self, node: OperationDefinitionNode, variables: Mapping[str, Any] | None, role: Role
    ) -> Steps[VariableValues]:
        if not node.variable_definitions:
            return _NO_VARIABLES
        definitions, given = node.variable_definitions, dict(variables or {})
        number = _number_of_values(given)
        hidden = role not in self._introspecting
        coerce = partial(get_variable_values, self._schema, definitions, given, max_errors=20, hide_suggestions=hidden)
        if number <= FREE_VARIABLES:
            values = coerce()
        else:
            values = yield WorkStep(price_of_variables(number), coerce, is_long=number > LONG_VARIABLES)
        if isinstance(values, list):
            raise InvalidVariables(values)
        coerced: VariableValues = values
        return coerced

    def _select(
        self, document: Document, node: OperationDefinitionNode, values: VariableValues, viewer: Viewer
    ) -> Steps[list[RootField]]:
        """Returns the operation's root fields, without introspection fields."""
        flags = Flags(values.coerced)
        type_ = self._root_type(node)
        collector = Collector(self._schema, document.fragments, flags, viewer.role, viewer.scope)
        groups = collector.grouped(type_, [node.selection_set])
        roots = []
        for key, nodes in groups.items():
            if nodes[0].name.value not in INTROSPECTION:
                roots.append(self._root(document, flags, viewer, type_, key, nodes))
                yield FREE
        return roots

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
        return RootField(key, selection, collector.sites, constants, collector.weight, nodes, nullable, document)

    def _compiled(
        self, roots: Sequence[RootField], bounds: Sequence[Sequence[Bound]], role: Role, cost: Cost
    ) -> Steps[list[Compiled]]:
        """Returns the statements of root fields for the arguments of their sites. Before any is built, all are paid,
        with the request's other cost."""
        keys = [(root, tuple(bound.shape for bound in each)) for root, each in zip(roots, bounds, strict=True)]
        found = [self._statements.get(key) for key in keys]
        known = [compiled for compiled in found if compiled is not None]
        if len(known) == len(found):
            yield WorkStep(cost.points)
            return known
        missing = [each for each, compiled in zip(bounds, found, strict=True) if compiled is None]
        yield WorkStep(cost.points + price_of_building(missing))
        statements = []
        for key, each, compiled in zip(keys, bounds, found, strict=True):
            if compiled is None:
                is_long = sum(bound.conditions for bound in each) > LONG_CONDITIONS or len(each) > LONG_SITES
                began = perf_counter()
                compiled = yield WorkStep(work=partial(self._compile, *key, role), is_long=is_long)
                _COMPILED.observe(perf_counter() - began)
                _keep(self._statements, key, compiled)
            statements.append(compiled)
        return statements

    def _compile(self, root: RootField, shapes: tuple[Hashable, ...], role: Role) -> Compiled:
        compiler: Callable[..., Compiled] = compile_root
        if isinstance(root.selection.mapping, Stream):
            compiler = compile_stream
        elif isinstance(root.selection.mapping, Window):
            compiler = compile_window
        return compiler(root.selection, role, shapes, self.marks, self._snippets)


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


def _finished(steps: Steps[T]) -> T:
    """Runs all steps at once, and returns their result."""
    done: Any = None
    while True:
        try:
            step = steps.send(done)
        except StopIteration as ended:
            result: T = ended.value
            return result
        done = None if step.work is None else step.work()


class _Everything(Flags):
    def included(self, directives: Any) -> bool:
        return True


_EVERYTHING = _Everything({})


def _number_of_values(variables: Mapping[str, Any]) -> int:
    """Returns the number of values in the variables, also in lists and objects. Raises `LimitExceeded` for more than
    `VARIABLES_MAX`, before they cost the time to be coerced."""
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
    return count


def _read_site(site: Site, values: VariableValues) -> Bound:
    return site.mapping.read(get_argument_values(site.definition, site.node, values))


def _read_root(root: RootField, compiled: Compiled, bounds: Sequence[Bound], values: VariableValues) -> ReadRoot:
    given: Mapping[str, Any] = {}
    if isinstance(root.selection.mapping, MutationField | TicketChangesPage):
        given = get_argument_values(root.sites[0].definition, root.sites[0].node, values)
    return ReadRoot(root, compiled, bounds, given.get("input", given))


def _bound(read: Read, viewer: Viewer) -> list[BoundRoot]:
    return [BoundRoot(each, each.compiled.arguments(each.bounds, viewer)) for each in read.roots]


def _key(operation: Operation, variables: Mapping[str, Any] | None, viewer: Viewer) -> tuple[Any, ...] | None:
    """Returns the key by which equal requests are recognised, or None if the request is not kept."""
    if operation.mutates and not operation.renews:
        return None
    try:
        given = orjson.dumps(variables)
    except TypeError:  # nested too deeply, or a text contains a lone surrogate
        return None
    return None if len(given) > _KEPT_VARIABLES else (operation, viewer.role, given, viewer.scope)


def _read(root: RootField, values: VariableValues) -> Steps[list[Bound]]:
    """Returns the arguments of all the root field's sites."""
    bounds = []
    for site, constant in zip(root.sites, root.constants, strict=True):
        bound = _read_site(site, values) if constant is None else constant
        bounds.append(bound)
        if bound.conditions > LONG_CONDITIONS:
            yield FREE
    return bounds


def _bytes_of_roots(roots: Sequence[RootField]) -> int:
    """An estimate; the constants of the sites are part of the document."""
    pending = [root.selection for root in roots]
    selections = 0
    while pending:
        selections += 1
        pending += (below for fields in pending.pop().types.values() for below in fields)
    return selections * _BYTES_PER_SELECTION + sum(len(root.sites) for root in roots) * _BYTES_PER_SITE


def _keep(kept: LRUCache[Any, Any], key: Hashable, value: Any) -> None:
    with suppress(ValueError):  # larger than the whole cache
        kept[key] = value
