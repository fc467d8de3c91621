"""Checks names and imports, as part of `make lint`. `docs/glossary.md` has the vocabulary.

- Each class name exists once in the application.
- No identifier contains `told` or `tell`: they can mean notify, deliver, send or show.
- No files import each other in a circle.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.helpers.paths import ROOT

ROOMS = ("callout", "schema", "resolvers", "pubsub", "notifiers", "db")
FORBIDDEN = re.compile(r"(^|_)(told|tells?|telling)(_|$)", re.IGNORECASE)


def main() -> int:
    paths = (path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)
    modules = {module_name(path): ast.parse(path.read_text()) for path in paths}
    problems = [*repeated_classes(modules), *forbidden_identifiers(modules), *circles(modules)]
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def repeated_classes(modules: dict[str, ast.Module]) -> Iterator[str]:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module)
    for name, found in sorted(homes.items()):
        if len(found) > 1:
            yield f"The class name {name} exists in {' and '.join(sorted(found))}."


def forbidden_identifiers(modules: dict[str, ast.Module]) -> Iterator[str]:
    for module, tree in modules.items():
        for node in ast.walk(tree):
            for name in identifiers(node):
                if FORBIDDEN.search(name):
                    yield f"{module}:{getattr(node, 'lineno', 0)}: the identifier {name}"


def identifiers(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
            yield name


def circles(modules: dict[str, ast.Module]) -> Iterator[str]:
    """Yields a problem if files import each other in a circle. Imports that are only for type checking do not count,
    because GraphQL types refer to each other."""
    graph = {module: set(imports(module, tree, modules)) for module, tree in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"Files import each other in a circle: {' → '.join(error.args[1])}."


def imports(module: str, tree: ast.Module, modules: dict[str, ast.Module]) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                target = name if name in modules else node.module
                if target in modules and target != module:
                    yield target


if __name__ == "__main__":
    sys.exit(main())
