"""What Alembic runs for each of its commands: on the connection of `db.postgres.migrate`, or, for the `alembic`
command, on one that it opens to `alembic -x url=postgresql://…`."""

from __future__ import annotations

from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from db.models import Base, PgSnapshot, Xid8
from db.postgres import migrate


def comparable(item: Any, name: str | None, kind: str, *_: Any) -> bool:
    """Alembic takes an expression with a collation for another each time it reads it back. (tests/db/test_migrations.py
    compares all definitions as PostgreSQL writes them.)"""
    return not (kind == "index" and any("COLLATE" in str(expression) for expression in item.expressions))


def run(connection: Connection) -> None:
    names: dict[str, Any] = connection.dialect.ischema_names  # type: ignore[attr-defined]
    names |= {"xid8": Xid8, "pg_snapshot": PgSnapshot}  # or comparing would not know these columns' types
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        include_object=comparable,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise CommandError("the migrations run on a database, not as a script: leave --sql out")

given: Connection | None = context.config.attributes.get("connection")
url: str | None = context.get_x_argument(as_dictionary=True).get("url")
if given is not None:
    run(given)
elif url is not None:
    migrate.run(url, run)
else:
    raise CommandError("which database? alembic -x url=postgresql://…")
