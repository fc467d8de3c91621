"""The audit trail: who changed a customer, property, technician, article, API key, token, identity or the settings,
when, from which address, and what before and after (`db/models.py: AuditEntryRow`).

An entry is written in the transaction of its change, so neither is ever there without the other. For a table in
`AUDITED` the statement that writes the row writes the entry too (`with_entry`, which `resolvers/crud.py` uses); for
anything else call `record`. A change that changes nothing has no entry.

No secret is in an entry: in place of one it says `SECRET`, before and after, so that it only shows that the secret has
changed.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    FromClause,
    Insert,
    Select,
    Table,
    TableClause,
    Text,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID, array

from db import limits, models
from db.entities import (
    ADMIN,
    API_KEY,
    ARTICLE,
    CUSTOMER,
    IDENTITY,
    INBOUND_MESSAGE,
    NOTE,
    PROPERTY,
    SESSION,
    TECHNICIAN,
    TICKET,
    WEBHOOK,
)
from db.enums import ActorKind, AuditAction, AuditObjectKind, Role
from db.ids import is_uuid, new_id
from db.postgres.statement import Queryable, Statement
from db.sql import Row, json_value, table
from db.viewer import Viewer
from db.visibility import ViewerParameter
from notifiers.text import shortened
from resolvers.mutation import Call

SECRET: Final = "(secret)"
SECRETS: Final = frozenset({"google_chat_webhook_url", "secret", "secret_hash", "endpoint", "p256dh", "auth"})
"""Columns, and names in the values that are passed to `record`, whose values are secrets."""

_UNAUDITED: Final = frozenset({"id", "created_at", "updated_at", "last_used_at", "searchable"})
"""Columns that say nothing about a change: the entry has the object's id, the time, and what searches look in."""

_PREFIXES: Final = {
    AuditObjectKind.CUSTOMER: CUSTOMER.prefix,
    AuditObjectKind.PROPERTY: PROPERTY.prefix,
    AuditObjectKind.TECHNICIAN: TECHNICIAN.prefix,
    AuditObjectKind.ARTICLE: ARTICLE.prefix,
    AuditObjectKind.API_KEY: API_KEY.prefix,
    AuditObjectKind.INBOUND_MESSAGE: INBOUND_MESSAGE.prefix,
    AuditObjectKind.IDENTITY: IDENTITY.prefix,
    AuditObjectKind.WEBHOOK: WEBHOOK.prefix,
    AuditObjectKind.ADMIN: ADMIN.prefix,
    AuditObjectKind.SESSION: SESSION.prefix,
    AuditObjectKind.PUSH_SUBSCRIPTION: "psh",
    AuditObjectKind.PASSKEY: "pky",
}
AUDITED: Final = {
    table(model): kind
    for model, kind in (
        (models.CustomerRow, AuditObjectKind.CUSTOMER),
        (models.PropertyRow, AuditObjectKind.PROPERTY),
        (models.TechnicianRow, AuditObjectKind.TECHNICIAN),
        (models.ArticleRow, AuditObjectKind.ARTICLE),
        (models.ApiKeyRow, AuditObjectKind.API_KEY),
        (models.SupportSettingsRow, AuditObjectKind.SUPPORT_SETTINGS),
        (models.AdminRow, AuditObjectKind.ADMIN),
    )
}
"""The tables whose changes are audited. All of their columns are in the entries, except `_UNAUDITED` and those that
PostgreSQL computes."""

_ENTRIES: Final = table(models.AuditEntryRow)


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a change. `id` is the subject of their token, or the id of their API key; `client` is the address that
    the request came from, or None."""

    kind: ActorKind
    id: str
    name: str
    client: str | None

    @classmethod
    def of(cls, call: Call) -> Self:
        return cls(ActorKind(call.viewer.role.value), subject(call.viewer), call.viewer.name, call.client)

    @classmethod
    def person(cls, role: Role, key: str, name: str, client: str | None) -> Self:
        """A person in the database, for what they cause before there is a call, such as by signing in."""
        prefix = {Role.ADMIN: ADMIN, Role.TECHNICIAN: TECHNICIAN, Role.CUSTOMER: CUSTOMER}[role].prefix
        return cls(ActorKind(role.value), f"{prefix}_{key}", name, client)

    @classmethod
    def operator(cls) -> Self:
        """Whoever runs this process, for a change that a command makes."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # the user has no name on this system
            user = "unknown"
        return cls(ActorKind.SYSTEM, "command-line", shortened(f"{user}, by the command line", limits.NAME_MAX), None)

    def parameters(self) -> dict[str, Any]:
        """The parameters of a statement with an `entry`, except its action."""
        return {
            "entry_id": new_id(),
            "entry_actor_kind": self.kind,
            "entry_actor_id": self.id,
            "entry_actor_name": self.name,
            "entry_client": self.client,
        }


def subject(viewer: Viewer) -> str:
    """By what the audit trail knows a viewer: the subject of the token of an admin, and a global id for the others."""
    match viewer.role:
        case Role.TECHNICIAN:
            return f"{TECHNICIAN.prefix}_{viewer.id}"
        case Role.CUSTOMER:
            return f"{CUSTOMER.prefix}_{viewer.id}"
        case Role.SERVICE if is_uuid(viewer.id):
            return f"{API_KEY.prefix}_{viewer.id}"
        case _:
            return viewer.id


# As a part of the statement that writes the row


def parameters(call: Call, action: AuditAction) -> dict[str, Any]:
    """The parameters of a statement `with_entry`."""
    return {**Author.of(call).parameters(), "entry_action": action}


def with_entry(audited: TableClause, after: CTE, before: CTE | None = None) -> Select[Any]:
    """The query that executes `after`, which writes rows of the table `audited` and returns all their columns, and
    writes an entry for each of these rows. `before` selects and locks the rows as they are before the change; the query
    returns a row for each of them. It takes `parameters`."""
    written = _entry(audited, after, before).returning(literal_column("true")).cte("entry")
    found = after if before is None else before
    return select(literal_column("true")).select_from(found).add_cte(written)


def _entry(audited: TableClause, after: CTE, before: CTE | None) -> Insert:
    kind = AUDITED[audited]
    columns = _columns(audited)
    differing: list[ColumnElement[str]] = [_changed(name, after, before) for name in columns]
    values: dict[str, ColumnElement[Any]] = {
        **_AUTHOR,
        "object_kind": literal_column(f"'{kind}'", models.AUDIT_OBJECT_KIND),
        "object_id": _global_id(kind, after),
        "changed": func.array_remove(array(differing), null()),
        "before": null() if before is None else _image(columns, before),
        "after": _image(columns, after),
    }
    rows = select(*(value.label(name) for name, value in values.items())).select_from(after)
    if before is not None:
        rows = rows.select_from(before).where(before.c.id == after.c.id)
    return insert(_ENTRIES).from_select(list(values), rows)


_AUTHOR: Final[Mapping[str, ColumnElement[Any]]] = {
    "id": bindparam("entry_id", type_=UUID(as_uuid=False)),
    "action": bindparam("entry_action", type_=models.AUDIT_ACTION),
    "actor_kind": bindparam("entry_actor_kind", type_=models.ACTOR_KIND),
    "actor_id": bindparam("entry_actor_id", type_=Text()),
    "actor_name": bindparam("entry_actor_name", type_=Text()),
    "client": bindparam("entry_client", type_=Text()),
}


def _columns(audited: TableClause) -> list[str]:
    stored = models.Base.metadata.tables[audited.name]
    assert isinstance(stored, Table)
    return [each.name for each in stored.columns if each.computed is None and each.name not in _UNAUDITED]


def _global_id(kind: AuditObjectKind, row: FromClause) -> ColumnElement[Any]:
    prefix = _PREFIXES.get(kind)
    return null() if prefix is None else func.concat(literal_column(f"'{prefix}_'"), row.c.id, type_=Text())


def _changed(name: str, after: FromClause, before: FromClause | None) -> ColumnElement[str]:
    """The column's name, or null if the column has not changed."""
    differs = after.c[name].is_not(None) if before is None else after.c[name].is_distinct_from(before.c[name])
    return case((differs, literal_column(f"'{name}'", Text())))


def _image(columns: list[str], row: FromClause) -> ColumnElement[Any]:
    parts: list[ColumnElement[Any]] = []
    for name in columns:
        parts += (literal_column(f"'{name}'"), _shown(name, row.c[name]))
    return func.jsonb_build_object(*parts, type_=JSONB())


def _shown(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((value.is_not(None), literal_column(f"'{SECRET}'", Text()))) if name in SECRETS else value


# By itself

_RECORD: Final = Statement(
    insert(_ENTRIES).values(
        {
            **_AUTHOR,
            "object_kind": bindparam("object_kind", type_=models.AUDIT_OBJECT_KIND),
            "object_id": bindparam("object_id", type_=Text()),
            "changed": bindparam("changed", type_=ARRAY(Text)),
            "before": cast(bindparam("before", type_=Text()), JSONB),
            "after": cast(bindparam("after", type_=Text()), JSONB),
        }
    )
)


async def record(
    transaction: Queryable,
    call: Call,
    action: AuditAction,
    object_kind: AuditObjectKind,
    object_id: str | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write an entry for a change that the call makes in this transaction.

    `object_id` is the object's key, a token's subject, or None for the settings. `before` and `after` are the object's
    columns by name, with values that JSON has, dates, UUIDs and enums; a value whose name is in `SECRETS` is replaced.
    Writes nothing if both have the same values."""
    await record_by(transaction, Author.of(call), action, object_kind, object_id, before, after)


async def record_by(
    transaction: Queryable,
    author: Author,
    action: AuditAction,
    object_kind: AuditObjectKind,
    object_id: str | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """The same for a change that no call makes, such as that of a command (`Author.operator`)."""
    if before is not None and before == after:
        return
    was, now = before or {}, after or {}
    prefix = _PREFIXES.get(object_kind)
    await _RECORD.execute(
        transaction,
        **author.parameters(),
        entry_action=action,
        object_kind=object_kind,
        object_id=object_id if prefix is None or object_id is None else f"{prefix}_{object_id}",
        changed=[name for name in {**was, **now} if was.get(name) != now.get(name)],
        before=_redacted(before),
        after=_redacted(after),
    )


def _redacted(values: Mapping[str, Any] | None) -> str | None:
    if values is None:
        return None
    shown = {name: SECRET if name in SECRETS and value is not None else value for name, value in values.items()}
    return orjson.dumps(shown).decode()


# How an entry is read

_REFERENCES: Final = {
    "customer_id": CUSTOMER.prefix,
    "technician_id": TECHNICIAN.prefix,
    "source_ticket_id": TICKET.prefix,
    "ticket_id": TICKET.prefix,
    "note_id": NOTE.prefix,
}
"""Columns with keys, each with the prefix of its ids."""

_TIMES: Final = sorted({each.name for audited in AUDITED for each in audited.c if isinstance(each.type, DateTime)})


def changes(row: Row, viewer: ViewerParameter) -> FromClause:
    """A row for each column that the change has changed: `field` as the schema names it, `before` and `after` as
    text."""
    names = func.unnest(row.c.changed).table_valued(column("name", Text), with_ordinality="ord").render_derived()
    before, after = (_text(names.c.name, image) for image in (row.c.before, row.c.after))
    changed = select(
        _field(names.c.name).label("field"), before.label("before"), after.label("after"), names.c.ord
    ).select_from(names)
    return changed.correlate(row).subquery("changed")


def _field(name: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column's name in the schema: `account_number` becomes `accountNumber`."""
    words = func.initcap(func.replace(name, literal_column("'_'"), literal_column("' '")))
    joined = func.replace(words, literal_column("' '"), literal_column("''"))
    return func.concat(func.left(name, literal_column("1")), func.substr(joined, literal_column("2")), type_=Text())


def _text(name: ColumnElement[Any], image: ColumnElement[Any]) -> ColumnElement[Any]:
    value: ColumnElement[Any] = image.op("->>")(name)
    references = (
        (name == literal_column(f"'{column}'"), literal_column(f"'{prefix}_'", Text()).concat(value))
        for column, prefix in _REFERENCES.items()
    )
    is_time = name.in_([literal_column(f"'{time}'", Text()) for time in _TIMES])
    return case(*references, (is_time, json_value(cast(value, DateTime(timezone=True)))), else_=value)
