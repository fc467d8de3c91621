"""The viewer: the person or program that a request comes from."""

from __future__ import annotations

from dataclasses import dataclass

from db.enums import Role


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated person or program. `id` is the UUID of the technician, customer or API key, or for an admin the
    token's subject. `name` appears on their notes and events."""

    role: Role
    id: str
    name: str
