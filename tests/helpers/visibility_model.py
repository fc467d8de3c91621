"""Who sees which tickets, customers, properties and technicians, computed from the rows. It follows `docs/roles.md`,
and shares no code with the application."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from db.enums import Role
from tests.helpers.database_checks import Database

Record: TypeAlias = Mapping[str, Any]


def form(text: str) -> str:
    """Returns the text as it is compared: without regard to case and to white space around words."""
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class VisibilityModel:
    """The rows of a database. Viewers are a role and a key."""

    tickets: Sequence[Record]
    customers: Mapping[str, Record]
    properties: Mapping[str, Record]
    technicians: Sequence[str]

    @classmethod
    async def read(cls, database: Database) -> VisibilityModel:
        tickets = await database.fetch(
            """SELECT id::text, creator_kind::text, creator_id, customer_id::text, property_id::text,
                technician_id::text, contact_name, contact_email, reference
            FROM tickets ORDER BY id"""
        )
        customers = await database.fetch("SELECT id::text, name, email, account_number FROM customers ORDER BY id")
        properties = await database.fetch("SELECT id::text, customer_id::text, address FROM properties ORDER BY id")
        technicians = [row["id"] for row in await database.fetch("SELECT id::text FROM technicians ORDER BY id")]
        return cls(
            [dict(row) for row in tickets],
            {row["id"]: dict(row) for row in customers},
            {row["id"]: dict(row) for row in properties},
            technicians,
        )

    def tickets_of(self, role: Role, key: str) -> list[Record]:
        """Returns the tickets that the viewer sees."""
        return [ticket for ticket in self.tickets if self._sees(role, key, ticket)]

    def _sees(self, role: Role, key: str, ticket: Record) -> bool:
        created = (ticket["creator_kind"], ticket["creator_id"]) == (role.value, key)
        match role:
            case Role.ADMIN:
                return True
            case Role.TECHNICIAN:
                return created or bool(ticket["technician_id"] == key)
            case Role.CUSTOMER:
                return bool(ticket["customer_id"] == key)
            case Role.SERVICE:
                return created

    def reveals_customer(self, role: Role, ticket: Record) -> bool:
        """Returns whether a viewer who sees the ticket also sees whose it is, and which property it concerns."""
        if role is not Role.SERVICE or ticket["customer_id"] is None:
            return ticket["customer_id"] is not None
        customer = self.customers[ticket["customer_id"]]
        return all(form(ticket[f"contact_{each}"]) == form(customer[each]) for each in ("name", "email"))

    def links(self, role: Role, key: str) -> set[tuple[str, str]]:
        """Returns the pairs of global ids of a ticket, and of the customer, property or technician that the viewer sees
        on it."""
        return {
            (f"tkt_{ticket['id']}", f"{prefix}_{ticket[column]}")
            for ticket in self.tickets_of(role, key)
            for prefix, column in self._columns(role, ticket)
            if ticket[column] is not None
        }

    def _columns(self, role: Role, ticket: Record) -> Iterator[tuple[str, str]]:
        yield "tec", "technician_id"
        if self.reveals_customer(role, ticket):
            yield from (("cus", "customer_id"), ("prp", "property_id"))

    def visible(self, role: Role, key: str) -> set[str]:
        """Returns the global ids of all that the viewer sees: tickets, customers, properties and technicians."""
        seen = {f"tkt_{ticket['id']}" for ticket in self.tickets_of(role, key)}
        if role is Role.ADMIN:
            of_tables = (("cus", self.customers), ("prp", self.properties), ("tec", self.technicians))
            return seen | {f"{prefix}_{each}" for prefix, keys in of_tables for each in keys}
        seen |= {other for _, other in self.links(role, key)}
        if role is Role.TECHNICIAN:
            seen.add(f"tec_{key}")
        if role is Role.CUSTOMER:
            seen |= {f"cus_{key}"} | {f"prp_{id_}" for id_, row in self.properties.items() if row["customer_id"] == key}
        return seen
