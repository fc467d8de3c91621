"""Renders a root field's selection, with the argument shapes of its sites, into one SQL statement that returns its
JSON."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from db.compiler.fields import MutationField
from db.compiler.selection import Bound, Marks, Render, Selection
from db.compiler.snippets import (
    NO_ROW,
    OUTCOME,
    VIEWER,
    VIEWER_EMAIL,
    VIEWER_NAME,
    VIEWER_SESSION,
    VIEWER_ZONE,
    Snippets,
)
from db.enums import Role
from db.events.log import Part, reads_the_same
from db.events.position import NOW
from db.postgres.statement import Statement
from db.viewer import Viewer

_OF_VIEWER: Mapping[str, Callable[[Viewer], str | None]] = {
    VIEWER: attrgetter("id"),
    VIEWER_NAME: attrgetter("name"),
    VIEWER_ZONE: attrgetter("time_zone"),
    VIEWER_EMAIL: attrgetter("email"),
    VIEWER_SESSION: lambda viewer: None if viewer.signed_in is None else viewer.signed_in.session_id,
}
"""For each parameter of the viewer, what of them it is."""


class Compiled:
    """A root field's statement, and the origin of each of its arguments.

    The names of the parameters are taken apart once, here, so that a request only fills in its values by place."""

    __slots__ = (
        *("_fixed", "_outcome", "_sites", "_viewer"),
        *("has_links", "has_position", "has_secrets", "is_personal", "statement", "within_write"),
    )

    def __init__(
        self,
        statement: Statement,
        *,
        has_links: bool,
        has_position: bool = False,
        is_mutation: bool = False,
        within_write: bool = False,
        is_personal: bool = False,
    ) -> None:
        self.statement = statement
        self.has_position = has_position
        """Whether it returns the position at which it reads, for a stream cursor."""
        self.has_links = has_links
        """Whether there can be link marks in its JSON."""
        self.has_secrets = has_links or is_mutation
        """Whether its JSON can show a secret: a mutation a new API key, for instance, and a link to a file its
        signature."""
        self.is_personal = has_links or is_personal
        """Whether its JSON can be different for two viewers who have the same rights."""
        self.within_write = within_write
        """Whether a mutation's payload can be read in the statement that writes its ticket."""
        self._fixed = statement.arguments({})
        self._sites: list[tuple[int, int, int]] = []  # place among the arguments, site, slot
        self._viewer: list[tuple[int, Callable[[Viewer], str | None]]] = []  # place, what of the viewer stands there
        self._outcome: list[tuple[int, int]] = []  # place, index in `OUTCOME`
        for place, name in enumerate(statement.names):
            if name in _OF_VIEWER:
                self._viewer.append((place, _OF_VIEWER[name]))
            elif name in OUTCOME:
                self._outcome.append((place, OUTCOME.index(name)))
            elif name.startswith("s") and name[1:].replace("_", "").isdigit():
                site, slot = name[1:].split("_")
                self._sites.append((place, int(site), int(slot)))

    def arguments(self, bounds: Sequence[Bound], viewer: Viewer) -> list[Any]:
        """The statement's arguments in placeholder order, except a mutation's outcome."""
        arguments = self._fixed.copy()
        for place, site, slot in self._sites:
            arguments[place] = bounds[site].values[slot]
        for place, read in self._viewer:
            arguments[place] = read(viewer)
        return arguments

    def given(self, arguments: list[Any], values: Mapping[str, Any]) -> list[Any]:
        """The arguments, with those in `values` filled in by their names."""
        return [values.get(name, argument) for name, argument in zip(self.statement.names, arguments, strict=True)]

    def within_write_of(self, arguments: list[Any], object_id: str) -> Part | None:
        """The statement as a part of the one that writes the mutation's object; None if it must be run afterwards."""
        if not self.within_write:
            return None
        arguments = self.with_outcome(arguments.copy(), object_id, [], {})
        return Part(self.statement, dict(zip(self.statement.names, arguments, strict=True)))

    def with_outcome(self, arguments: list[Any], *outcome: Any) -> list[Any]:
        for place, part in self._outcome:
            arguments[place] = outcome[part]
        return arguments


def compile_root(root: Selection, role: Role, shapes: Sequence[Hashable], marks: Marks, snippets: Snippets) -> Compiled:
    """The statement of a root field, for a role and the argument shapes of its sites. Returns one column, `document`;
    if a stream cursor is selected also `position`, the snapshot that replaces its mark once it is sealed."""
    render = Render(snippets, role, shapes, marks)
    text = f"SELECT {render.value(root, NO_ROW)} AS document"
    has_links, is_mutation = render.has_links, isinstance(root.mapping, MutationField)
    if render.wants_position:
        # A column of the same statement, so that it is the snapshot that the data was read with.
        statement = render.statement(f"{text}, {NOW} AS position")
        return Compiled(statement, has_links=has_links, has_position=True, is_mutation=is_mutation)
    statement = render.statement(text)
    within_write = is_mutation and reads_the_same(statement)
    return Compiled(statement, has_links=has_links, is_mutation=is_mutation, within_write=within_write)
