"""`node` and `nodes`: objects by their ids."""

from __future__ import annotations

import strawberry

from db.compiler.fields import NodeById, NodesByIds
from db.entities import NODES
from db.enums import CHATBOTS
from db.limits import PAGE_MAX
from schema.common import Node
from schema.fields import argument, mapped


@strawberry.type
class NodeQueries:
    node: Node | None = mapped(
        NodeById(NODES, scopes=CHATBOTS),
        "The object with this id; null, with an error, if the id is not valid, or the object does not exist or you "
        "cannot see it.",
        [argument("id", strawberry.ID, "The object's id.")],
    )
    nodes: list[Node | None] = mapped(
        NodesByIds(NODES, scopes=CHATBOTS),
        "The objects with these ids, in the same order; null, with an error at its place, for each whose id is not "
        "valid, that does not exist or that you cannot see.",
        [argument("ids", list[strawberry.ID], f"The objects' ids, at most {PAGE_MAX}.")],
    )
