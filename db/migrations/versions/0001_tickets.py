"""The initial schema: types, tables and indexes, and the functions and triggers of `db/ddl.py`.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType

from db import ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0001"


class Xid8(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class PgSnapshot(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "pg_snapshot"


STATUS = postgresql.ENUM("OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED", name="ticket_status", create_type=False)
PRIORITY = postgresql.ENUM("LOW", "MEDIUM", "HIGH", "URGENT", name="ticket_priority", create_type=False)
CATEGORY = postgresql.ENUM(
    "ALARM", "CCTV", "ACCESS_CONTROL", "INTERCOM", "GENERAL", name="ticket_category", create_type=False
)
SOURCE = postgresql.ENUM("ADMIN", "TECHNICIAN", "CHATBOT", "EMAIL", "CUSTOMER", name="ticket_source", create_type=False)
ACTOR_KIND = postgresql.ENUM(
    "ADMIN", "TECHNICIAN", "CUSTOMER", "SERVICE", "SYSTEM", name="actor_kind", create_type=False
)
EVENT_KIND = postgresql.ENUM(
    "CREATED",
    "RESOLVED",
    "CLOSED",
    "REOPENED",
    "STATUS_CHANGED",
    "ASSIGNED",
    "UNASSIGNED",
    "UPDATED",
    "NOTE_ADDED",
    name="ticket_event_kind",
    create_type=False,
)
ENUMS = (STATUS, PRIORITY, CATEGORY, SOURCE, ACTOR_KIND, EVENT_KIND)

TABLES = (
    "api_keys",
    "customers",
    "event_log",
    "idempotency_keys",
    "support_settings",
    "technicians",
    "ticket_counts",
    "properties",
    "tickets",
    "articles",
    "notes",
    "ticket_chats",
    "ticket_events",
)

# As they are before 0016.
REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING
        ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
$$"""

TICKET_SEARCH_TEXT = """
CREATE OR REPLACE FUNCTION ticket_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.customer_id IS DISTINCT FROM OLD.customer_id THEN
        PERFORM FROM customers WHERE id = NEW.customer_id FOR SHARE;
    END IF;
    NEW.search_text := concat_ws(E'\\n', search_form(NEW.reference), search_form(NEW.subject),
        search_form(NEW.contact_name),
        (SELECT search_form(nullif(name, NEW.contact_name)) FROM customers WHERE id = NEW.customer_id));
    RETURN NEW;
END
$$"""

TICKETS_SEARCH_TEXT = """
CREATE TRIGGER tickets_search_text
BEFORE INSERT OR UPDATE OF reference, subject, contact_name, customer_id, search_text ON tickets
FOR EACH ROW EXECUTE FUNCTION ticket_search_text()"""

CUSTOMERS_RENAMED = """
CREATE TRIGGER customers_renamed AFTER UPDATE OF name ON customers
FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION customer_renamed()"""

# The function as of this revision. Revision 0009 replaces it, because there the counts of services get a position of
# their own; `db/ddl.py` has the current one.
REFUSE_UNCOUNTED_PRUNING = """
CREATE OR REPLACE FUNCTION refuse_uncounted_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pruned, event_log WHERE NOT pg_visible_in_snapshot(pruned.xid, event_log.counted)) THEN
        RAISE EXCEPTION 'an event is kept until ticket_counts has taken it in' USING
            ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END
$$"""


def upgrade() -> None:
    for statement in (*ddl.EXTENSIONS, ddl.SEARCH_FORM, ddl.SEARCH_PAIRS, ddl.SEARCH_PAIRS_QUERY):
        op.execute(statement)
    for enum in ENUMS:
        op.execute(postgresql.CreateEnumType(enum))

    op.create_table(
        "api_keys",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "btrim(name, E' \\t\\n\\r') <> '' AND length(name) <= 200", name=op.f("ck_api_keys_name_length")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("account_number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "name_form",
            sa.Text(collation="C"),
            sa.Computed("search_form(name)", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "email_form",
            sa.Text(collation="C"),
            sa.Computed("search_form(email)", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "account_number_form",
            sa.Text(collation="C"),
            sa.Computed("search_form(account_number)", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "search_text",
            sa.Text(),
            sa.Computed(
                "search_form(name) || E'\\n' || search_form(email) || E'\\n' || search_form(account_number)",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "btrim(account_number, E' \\t\\n\\r') <> '' AND length(account_number) <= 40",
            name=op.f("ck_customers_account_number_length"),
        ),
        sa.CheckConstraint(
            "btrim(email, E' \\t\\n\\r') <> '' AND length(email) <= 254", name=op.f("ck_customers_email_length")
        ),
        sa.CheckConstraint(
            "btrim(name, E' \\t\\n\\r') <> '' AND length(name) <= 200", name=op.f("ck_customers_name_length")
        ),
        sa.CheckConstraint("length(phone) <= 40", name=op.f("ck_customers_phone_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
        sa.UniqueConstraint("account_number", name=op.f("uq_customers_account_number")),
    )
    op.create_index("ix_customers_created_at_id", "customers", ["created_at", "id"])
    op.create_index("ix_customers_name_form_id", "customers", ["name_form", "id"])
    op.create_index("ix_customers_email_form", "customers", ["email_form"])
    op.create_index("ix_customers_account_number_form", "customers", ["account_number_form"])
    op.create_index(
        "ix_customers_search",
        "customers",
        ["search_text"],
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_index(
        "ix_customers_name_words",
        "customers",
        ["name_form"],
        postgresql_using="gin",
        postgresql_ops={"name_form": "gin_trgm_ops"},
    )
    op.create_index(
        "ix_customers_search_pairs",
        "customers",
        [sa.literal_column("search_pairs(search_text)")],
        postgresql_using="gin",
    )
    op.create_index("uq_customers_email", "customers", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "event_log",
        sa.Column("id", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("identity", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("counted", PgSnapshot(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_event_log_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_log")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("object_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "support_settings",
        sa.Column("id", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("admin_recipients", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("google_chat_webhook_url", sa.Text(), nullable=True),
        sa.Column("google_chat_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "NOT google_chat_enabled OR google_chat_webhook_url IS NOT NULL",
            name=op.f("ck_support_settings_google_chat_needs_webhook"),
        ),
        sa.CheckConstraint("cardinality(admin_recipients) <= 20", name=op.f("ck_support_settings_recipients_count")),
        sa.CheckConstraint("id = 1", name=op.f("ck_support_settings_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_settings")),
    )
    op.create_table(
        "technicians",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "btrim(email, E' \\t\\n\\r') <> '' AND length(email) <= 254", name=op.f("ck_technicians_email_length")
        ),
        sa.CheckConstraint(
            "btrim(name, E' \\t\\n\\r') <> '' AND length(name) <= 200", name=op.f("ck_technicians_name_length")
        ),
        sa.CheckConstraint("length(phone) <= 40", name=op.f("ck_technicians_phone_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_technicians")),
    )
    op.create_index("ix_technicians_name_id", "technicians", ["name", "id"])
    op.create_index("uq_technicians_email", "technicians", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "ticket_counts",
        sa.Column("status", STATUS, nullable=False),
        sa.Column("priority", PRIORITY, nullable=False),
        sa.Column("category", CATEGORY, nullable=False),
        sa.Column("technician_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("status", "priority", "category", "technician_id", name=op.f("pk_ticket_counts")),
    )
    op.create_table(
        "properties",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("customer_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("account_number", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "btrim(account_number, E' \\t\\n\\r') <> '' AND length(account_number) <= 40",
            name=op.f("ck_properties_account_number_length"),
        ),
        sa.CheckConstraint(
            "btrim(address, E' \\t\\n\\r') <> '' AND length(address) <= 500", name=op.f("ck_properties_address_length")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_properties_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_properties")),
        sa.UniqueConstraint("account_number", name=op.f("uq_properties_account_number")),
        sa.UniqueConstraint("id", "customer_id", name=op.f("uq_properties_id_customer_id")),
    )
    op.create_index("ix_properties_address_id", "properties", ["address", "id"])
    op.create_index("ix_properties_customer_id_address_id", "properties", ["customer_id", "address", "id"])
    op.create_table(
        "tickets",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("reference", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", STATUS, server_default="OPEN", nullable=False),
        sa.Column("priority", PRIORITY, server_default="MEDIUM", nullable=False),
        sa.Column("category", CATEGORY, server_default="GENERAL", nullable=False),
        sa.Column("source", SOURCE, nullable=False),
        sa.Column("creator_kind", ACTOR_KIND, nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.Column("contact_name", sa.Text(), nullable=False),
        sa.Column("contact_email", sa.Text(), nullable=False),
        sa.Column("contact_phone", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("property_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("technician_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("public_updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("search_text", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint("(status = 'CLOSED') = (closed_at IS NOT NULL)", name=op.f("ck_tickets_closed_has_time")),
        sa.CheckConstraint(
            "(status = 'RESOLVED') <= (resolved_at IS NOT NULL)", name=op.f("ck_tickets_resolved_has_time")
        ),
        sa.CheckConstraint(
            "btrim(contact_email, E' \\t\\n\\r') <> '' AND length(contact_email) <= 254",
            name=op.f("ck_tickets_contact_email_length"),
        ),
        sa.CheckConstraint(
            "btrim(contact_name, E' \\t\\n\\r') <> '' AND length(contact_name) <= 200",
            name=op.f("ck_tickets_contact_name_length"),
        ),
        sa.CheckConstraint(
            "btrim(description, E' \\t\\n\\r') <> '' AND length(description) <= 20000",
            name=op.f("ck_tickets_description_length"),
        ),
        sa.CheckConstraint(
            "btrim(resolution, E' \\t\\n\\r') <> '' AND length(resolution) <= 20000",
            name=op.f("ck_tickets_resolution_length"),
        ),
        sa.CheckConstraint(
            "btrim(subject, E' \\t\\n\\r') <> '' AND length(subject) <= 200", name=op.f("ck_tickets_subject_length")
        ),
        sa.CheckConstraint(
            "reference ~ '^TKT-[ABCDEFGHJKMNPQRSTUVWXYZ23456789]{6}$'", name=op.f("ck_tickets_reference_form")
        ),
        sa.CheckConstraint(
            "status <> 'RESOLVED' OR resolution IS NOT NULL", name=op.f("ck_tickets_resolved_has_resolution")
        ),
        sa.CheckConstraint(
            "status IN ('RESOLVED', 'CLOSED') OR (resolution IS NULL AND resolved_at IS NULL)",
            name=op.f("ck_tickets_unresolved_has_no_resolution"),
        ),
        sa.CheckConstraint("length(contact_phone) <= 40", name=op.f("ck_tickets_contact_phone_length")),
        sa.CheckConstraint(
            "property_id IS NULL OR customer_id IS NOT NULL", name=op.f("ck_tickets_property_needs_customer")
        ),
        sa.CheckConstraint("version > 0", name=op.f("ck_tickets_version_positive")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_tickets_customer_id")),
        sa.ForeignKeyConstraint(
            ["property_id", "customer_id"],
            ["properties.id", "properties.customer_id"],
            name=op.f("fk_tickets_property_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(["technician_id"], ["technicians.id"], name=op.f("fk_tickets_technician_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
        sa.UniqueConstraint("reference", name=op.f("uq_tickets_reference")),
    )
    op.create_index("ix_tickets_created_at_id", "tickets", ["created_at", "id"])
    op.create_index("ix_tickets_creator_id_created_at_id", "tickets", ["creator_id", "created_at", "id"])
    op.create_index("ix_tickets_customer_id_created_at_id", "tickets", ["customer_id", "created_at", "id"])
    op.create_index("ix_tickets_priority_created_at_id", "tickets", ["priority", "created_at", "id"])
    op.create_index("ix_tickets_priority_updated_at_id", "tickets", ["priority", "updated_at", "id"])
    op.create_index("ix_tickets_priority_id", "tickets", ["priority", "id"])
    op.create_index("ix_tickets_property_id_created_at_id", "tickets", ["property_id", "created_at", "id"])
    op.create_index(
        "ix_tickets_search",
        "tickets",
        ["search_text", "status", "priority", "category"],
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_index(
        "ix_tickets_search_pairs",
        "tickets",
        [sa.literal_column("search_pairs(search_text)"), "status", "priority", "category"],
        postgresql_using="gin",
    )
    op.create_index("ix_tickets_status_created_at_id", "tickets", ["status", "created_at", "id"])
    op.create_index("ix_tickets_status_id", "tickets", ["status", "id"])
    op.create_index("ix_tickets_status_priority_created_at_id", "tickets", ["status", "priority", "created_at", "id"])
    op.create_index("ix_tickets_status_priority_id", "tickets", ["status", "priority", "id"])
    op.create_index("ix_tickets_status_priority_updated_at_id", "tickets", ["status", "priority", "updated_at", "id"])
    op.create_index("ix_tickets_status_updated_at_id", "tickets", ["status", "updated_at", "id"])
    op.create_index("ix_tickets_technician_id_created_at_id", "tickets", ["technician_id", "created_at", "id"])
    op.create_index("ix_tickets_updated_at_id", "tickets", ["updated_at", "id"])
    op.create_table(
        "articles",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("solution", sa.Text(), nullable=False),
        sa.Column("published", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("source_ticket_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('english'::regconfig, problem), 'A') || "
                "setweight(to_tsvector('english'::regconfig, solution), 'B')",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "btrim(problem, E' \\t\\n\\r') <> '' AND length(problem) <= 500", name=op.f("ck_articles_problem_length")
        ),
        sa.CheckConstraint(
            "btrim(solution, E' \\t\\n\\r') <> '' AND length(solution) <= 20000",
            name=op.f("ck_articles_solution_length"),
        ),
        sa.ForeignKeyConstraint(["source_ticket_id"], ["tickets.id"], name=op.f("fk_articles_source_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
        sa.UniqueConstraint("source_ticket_id", name=op.f("uq_articles_source_ticket_id")),
    )
    op.create_index("ix_articles_created_at_id", "articles", ["created_at", "id"])
    op.create_index("ix_articles_search", "articles", ["search_vector"], postgresql_using="gin")
    op.create_table(
        "notes",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("customer_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("internal_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("author_kind", ACTOR_KIND, nullable=False),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "btrim(body, E' \\t\\n\\r') <> '' AND length(body) <= 20000", name=op.f("ck_notes_body_length")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_notes_customer_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_notes_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
    )
    op.create_index("ix_notes_ticket_id_created_at_id", "notes", ["ticket_id", "created_at", "id"])
    op.create_table(
        "ticket_chats",
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("creator_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("messages", postgresql.JSON(), nullable=False),
        sa.CheckConstraint("length(conversation_id) <= 200", name=op.f("ck_ticket_chats_conversation_id_length")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_chats_ticket_id")),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_ticket_chats")),
        sa.UniqueConstraint("creator_id", "conversation_id", name=op.f("uq_ticket_chats_creator_id_conversation_id")),
    )
    op.create_table(
        "ticket_events",
        sa.Column("id", sa.UUID(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("ticket_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("kind", EVENT_KIND, nullable=False),
        sa.Column("actor_kind", ACTOR_KIND, nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=False),
        sa.Column("note_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("public", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], name=op.f("fk_ticket_events_note_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_events_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_events")),
        sa.UniqueConstraint("ticket_id", "at", name=op.f("uq_ticket_events_ticket_id_at")),
    )
    op.create_index("ix_ticket_events_xid", "ticket_events", ["xid"])

    functions = (*ddl.FUNCTIONS, REFUSE_UNCOUNTED_PRUNING, REFUSE_CHANGE, TICKET_SEARCH_TEXT)
    for statement in (*functions, *ddl.TRIGGERS, TICKETS_SEARCH_TEXT, CUSTOMERS_RENAMED, *ddl.ROWS):
        op.execute(statement)


def downgrade() -> None:
    """Drops everything but the extensions, which others may use in the same database."""
    for table in reversed(TABLES):
        op.drop_table(table)
    for statement in ddl.DROP:
        op.execute(statement)
    for enum in ENUMS:
        op.execute(postgresql.DropEnumType(enum))
