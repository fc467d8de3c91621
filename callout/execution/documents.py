"""Documents: parsed, bounded and validated once, then kept.

The bounds are checked before validation and visit each fragment once, so that the cost of a malicious document is its
length, not the size that it would expand to.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import getsizeof
from time import perf_counter
from typing import Any, TypeVar

from cachetools import LRUCache
from graphql import (
    DeferStreamDirectiveLabel,
    DeferStreamDirectiveOnRootField,
    DeferStreamDirectiveOnValidOperationsRule,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    KnownDirectivesRule,
    OperationDefinitionNode,
    SelectionSetNode,
    StreamDirectiveOnListField,
    VariableNode,
    parse,
    specified_rules,
    validate,
)

from callout.execution.budgets import Charge
from callout.execution.cost import price_of_document
from callout.execution.thread import Thread
from db.errors import ClientError, LimitExceeded
from db.metrics import Histogram
from db.timing import SPENT

TOKENS_MAX = 2_000
DEPTH_MAX = 20  # GraphiQL's introspection query is 15 deep
FIELDS_MAX = 1_000  # with every fragment expanded
REPEATS_MAX = 100  # of a key in one selection set; validation compares them in pairs
INTROSPECTIONS_MAX = 2  # each can return the whole schema
INTROSPECTION = frozenset({"__schema", "__type", "_service"})
KEY_MAX = 200  # characters; a key is repeated in every row of the response
ERRORS_MAX = 20
KEPT_BYTES = 64 * 2**20  # of all documents
BYTES_PER_TOKEN = 600  # of a document, parsed
TEXTS = 3  # a document has its text, and each long value in it again
LONG = 1_000  # characters; reading a longer document takes five milliseconds and more, up to thirty
KEPT_LENGTH = 20_000  # characters; a longer document is prepared for each request

_READ = Histogram("callout_document_read_seconds", "How long new documents took to parse and validate.")

K = TypeVar("K", bound=tuple[Any, ...])
V = TypeVar("V")


class InvalidDocument(ClientError):
    """The document does not parse or is not valid; `errors` say why."""

    code = "GRAPHQL_VALIDATION_FAILED"

    def __init__(self, errors: list[GraphQLError], code: str) -> None:
        super().__init__("The document is not valid.", code=code)
        self.errors = errors


@dataclass(eq=False)
class Document:
    """A valid document, and its prepared operations by name; None stands for the anonymous one. `dependents` are the
    entries of caches that refer to it: they go with it, or it would stay in memory without being counted."""

    text: str
    tokens: int
    operations: dict[str | None, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    prepared: dict[str | None, object] = field(default_factory=dict)
    kept: bool = False
    dependents: set[tuple[DependentCache[Any, Any], Any]] = field(default_factory=set)


class DependentCache(LRUCache[K, V]):
    """A cache of what is made from documents, which have to be kept themselves. The first part of a key belongs to a
    document: it has a `document`."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __setitem__(self, key: K, value: V) -> None:
        document: Document = key[0].document
        if document.kept:
            super().__setitem__(key, value)
            document.dependents.add((self, key))

    def popitem(self) -> tuple[K, V]:
        key, value = super().popitem()
        key[0].document.dependents.discard((self, key))
        return key, value


class _KeptDocuments(LRUCache[str, Document]):
    def popitem(self) -> tuple[str, Document]:
        text, document = super().popitem()
        document.kept = False
        for cache, key in document.dependents:
            cache.pop(key, None)
        document.dependents.clear()
        return text, document


def _bytes_of(document: Document) -> int:
    return TEXTS * getsizeof(document.text) + document.tokens * BYTES_PER_TOKEN


class _KnownDirectives(KnownDirectivesRule):
    """graphql-core's rule, which also says of the directives for incremental delivery why they are unknown."""

    def enter_directive(self, node: DirectiveNode, *more: Any) -> None:
        name = node.name.value
        if name not in ("defer", "stream"):
            super().enter_directive(node, *more)
            return
        message = f"@{name} is not supported: answers are delivered whole. Ask for less at a time, or page by page."
        self.report_error(GraphQLError(message, node))


_OF_INCREMENTAL_DELIVERY = {
    DeferStreamDirectiveLabel,
    DeferStreamDirectiveOnRootField,
    DeferStreamDirectiveOnValidOperationsRule,
    StreamDirectiveOnListField,
}
_RULES = [
    _KnownDirectives if rule is KnownDirectivesRule else rule
    for rule in specified_rules
    if rule not in _OF_INCREMENTAL_DELIVERY
]


class Documents:
    """The most recently used documents, by their text."""

    def __init__(self, schema: GraphQLSchema, thread: Thread) -> None:
        self._schema = schema
        self._kept = _KeptDocuments(KEPT_BYTES, getsizeof=_bytes_of)
        self._thread = thread

    def get(self, query: str, *, suggesting: bool = True) -> Document:
        """Returns the document of this text. Raises `InvalidDocument` or `LimitExceeded`. The errors of an invalid
        document suggest names of the schema only if `suggesting`; a valid one is the same for everybody."""
        document = self._kept.get(query)
        return self._keep(self._read(query, suggesting)) if document is None else document

    async def fetch(self, query: str, charge: Charge, *, suggesting: bool = True) -> Document:
        """The same for a request, which pays for a document that must be read; its viewer's documents are read one at a
        time. A long one is read in a thread, so that other requests do not wait for it. Raises `RateLimited`, too."""
        document = self._kept.get(query)
        if document is not None:
            return document
        charge.spend(price_of_document(len(query)))
        async with charge.budget.building:
            began = perf_counter()
            try:
                if len(query) > LONG and query not in self._kept:
                    return self._keep(await self._thread.run(self._read, query, suggesting))
                return self.get(query, suggesting=suggesting)
            finally:
                _READ.observe(seconds := perf_counter() - began)
                if spent := SPENT.get():
                    spent.preparing += seconds
                await asyncio.sleep(0)  # before the viewer's next document

    def forget(self) -> None:
        """Forgets all documents."""
        self._kept.clear()

    def _keep(self, document: Document) -> Document:
        if len(document.text) > KEPT_LENGTH:
            return document
        kept = self._kept.get(document.text)  # it may have been read twice at once
        if kept is None:
            self._kept[document.text] = kept = document
            document.kept = True
        return kept

    def _read(self, query: str, suggesting: bool) -> Document:
        try:
            node = parse(query, max_lexical_tokens=TOKENS_MAX, max_comments=TOKENS_MAX)
        except GraphQLSyntaxError as error:
            if "Parsing aborted" in error.message:
                too_long = "tokens" in error.message
                message = f"has more than {TOKENS_MAX} tokens" if too_long else "is nested too deeply"
                raise LimitExceeded(f"The document {message}.") from None
            raise InvalidDocument([error], "GRAPHQL_PARSE_FAILED") from None
        except RecursionError:
            raise LimitExceeded("The document is nested too deeply.") from None
        fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
        operations = [d for d in node.definitions if isinstance(d, OperationDefinitionNode)]
        check_size(operations, fragments)
        errors = validate(self._schema, node, _RULES, max_errors=ERRORS_MAX, hide_suggestions=not suggesting)
        if errors:
            raise InvalidDocument(errors, InvalidDocument.code)
        return Document(
            query, node.token_count or TOKENS_MAX, {o.name.value if o.name else None: o for o in operations}, fragments
        )


class _Size:
    """The size of a selection set with its fragments expanded: its depth, its fields, and how often it has each key."""

    __slots__ = ("depth", "fields", "introspections", "keys")

    def __init__(self) -> None:
        self.depth = 0
        self.fields = 0
        self.introspections = 0
        self.keys: Counter[str] = Counter()

    def add(self, other: _Size) -> None:
        self.depth = max(self.depth, other.depth)
        self.fields += other.fields
        self.introspections += other.introspections
        self.keys.update(other.keys)

    def add_field(self, node: FieldNode, below: _Size) -> None:
        key = (node.alias or node.name).value
        if len(key) > KEY_MAX:
            raise LimitExceeded(f"Names and aliases can have at most {KEY_MAX} characters.")
        self.depth = max(self.depth, below.depth + 1)
        self.fields += below.fields + 1
        self.introspections += below.introspections + (node.name.value in INTROSPECTION)
        self.keys[key] += 1

    def check(self) -> _Size:
        if self.depth > DEPTH_MAX:
            raise LimitExceeded(f"The document is nested more than {DEPTH_MAX} levels deep.")
        if self.fields > FIELDS_MAX:
            raise LimitExceeded(f"The document selects more than {FIELDS_MAX} fields, counting those in fragments.")
        if self.introspections > INTROSPECTIONS_MAX:
            raise LimitExceeded(f"The document introspects the schema more than {INTROSPECTIONS_MAX} times.")
        if any(count > REPEATS_MAX for count in self.keys.values()):
            raise LimitExceeded(
                f"The document selects the same field more than {REPEATS_MAX} times in one selection set."
            )
        return self


def check_size(operations: list[OperationDefinitionNode], fragments: dict[str, FragmentDefinitionNode]) -> None:
    """Raises `LimitExceeded` if the document is too deep or too wide, or repeats itself too often. Each fragment is
    measured once; one that spreads itself counts as empty here, and validation refuses it."""
    measured: dict[str, _Size] = {}

    def measure(selection_set: SelectionSetNode) -> _Size:
        size = _Size()
        for node in selection_set.selections:
            if isinstance(node, FragmentSpreadNode):
                size.add(of_fragment(node.name.value))
            elif isinstance(node, InlineFragmentNode):
                size.add(measure(node.selection_set))
            else:
                assert isinstance(node, FieldNode)
                below = measure(node.selection_set) if node.selection_set else _NOTHING
                size.add_field(node, below)
        return size.check()

    def of_fragment(name: str) -> _Size:
        if name not in measured:
            measured[name] = _NOTHING
            if name in fragments:
                measured[name] = measure(fragments[name].selection_set)
        return measured[name]

    for operation in operations:
        measure(operation.selection_set)
    for name in fragments:
        of_fragment(name)


_NOTHING = _Size()


def condition_variables(
    operation: OperationDefinitionNode, fragments: dict[str, FragmentDefinitionNode]
) -> tuple[str, ...]:
    """Returns the names of the variables that the operation's `@skip` and `@include` depend on, sorted."""
    seen: set[str] = set()

    def walk(selection_set: SelectionSetNode) -> Iterator[str]:
        for node in selection_set.selections:
            for directive in node.directives or ():
                for argument in directive.arguments or ():
                    if isinstance(argument.value, VariableNode):
                        yield argument.value.name.value
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name not in seen:
                    seen.add(name)
                    yield from walk(fragments[name].selection_set)
            else:
                assert isinstance(node, FieldNode | InlineFragmentNode)
                if node.selection_set:
                    yield from walk(node.selection_set)

    return tuple(sorted(set(walk(operation.selection_set))))
