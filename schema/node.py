"""`node` and `nodes`: anything by its id."""

from __future__ import annotations

import strawberry

from db.compiler.fields import NodeById, NodesByIds
from db.entities import NODES
from schema.common import Node
from schema.fields import argument, mapped


@strawberry.type
class NodeQueries:
    node: Node | None = mapped(
        NodeById(NODES),
        "Anything by its id; null if there is no such thing, or none that you see.",
        [argument("id", strawberry.ID, "Its id.")],
    )
    nodes: list[Node | None] = mapped(
        NodesByIds(NODES),
        "Several things by their ids, in the order given; null where there is no such thing.",
        [argument("ids", list[strawberry.ID], "Their ids, up to 100.")],
    )
