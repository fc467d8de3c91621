"""The script that Alembic runs for each of its commands. It uses the connection of `db/postgres/migrate.py`, or opens
one to the URL of the `alembic` command: `alembic -x url=postgresql://…`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, text

from db.models import Base, PgSnapshot, Xid8
from db.postgres import migrate


def comparable(item: Any, name: str | None, kind: str, *_: Any) -> bool:
    """Whether Alembic can compare the object. It always takes an index expression with a collation for changed.
    (`tests/db/test_migrations.py` compares all definitions as PostgreSQL writes them.)"""
    return not (kind == "index" and any("COLLATE" in str(expression) for expression in item.expressions))


def store_oldest_code(ctx: MigrationContext, step: Any, heads: Collection[str], run_args: Any) -> None:
    """Stores the oldest code that works at the new revision beside it. Alembic calls this after each step, up or down,
    in the step's transaction."""
    assert ctx.connection is not None and ctx.script is not None
    for revision in heads:  # none at `base`
        script = ctx.script.get_revision(revision)
        ctx.connection.execute(text("ALTER TABLE alembic_version ADD COLUMN IF NOT EXISTS oldest_code text"))
        ctx.connection.execute(text("UPDATE alembic_version SET oldest_code = :it"), {"it": script.module.oldest_code})


def run(connection: Connection) -> None:
    connection.execute(text(f"SET lock_timeout = '{migrate.LOCK_TIMEOUT}'"))
    connection.execute(text("SET statement_timeout = 0"))  # the role may have the servers' limit, for a pooler
    connection.commit()
    names: dict[str, Any] = connection.dialect.ischema_names  # type: ignore[attr-defined]
    names |= {"xid8": Xid8, "pg_snapshot": PgSnapshot}  # column types that SQLAlchemy does not know, for comparing
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        include_object=comparable,
        on_version_apply=store_oldest_code,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise CommandError("the migrations need a database and cannot be written as a script: leave out --sql")

given: Connection | None = context.config.attributes.get("connection")
url: str | None = context.get_x_argument(as_dictionary=True).get("url")
if given is not None:
    run(given)
elif url is not None:
    migrate.run(url, run)
else:
    raise CommandError("the URL of the database is missing: alembic -x url=postgresql://…")
