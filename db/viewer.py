"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass

from db.enums import Role


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated party. `id` is the technician's, customer's or API key's UUID; of an admin it is the
    token's subject. `name` is what notes and events show."""

    role: Role
    id: str
    name: str
