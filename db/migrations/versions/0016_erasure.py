"""Erasures of customers, and indexes for pruning.

Revision ID: 0016
"""

from __future__ import annotations

from alembic import op

from db.postgres.indexes import drop_index, make_index

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0016"

_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND EXISTS (
        SELECT FROM erasures WHERE customer_id::text = current_setting('callout.erasure', true) AND finished_at IS NULL
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '%', TG_ARGV[0] USING
        ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
$$"""

_REFUSE_BEFORE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING
        ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
$$"""

_SEARCH_TEXT = """
CREATE OR REPLACE FUNCTION ticket_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased timestamptz;
BEGIN
    IF TG_OP = 'INSERT' OR NEW.customer_id IS DISTINCT FROM OLD.customer_id THEN
        SELECT erased_at INTO erased FROM customers WHERE id = NEW.customer_id FOR SHARE;
        IF erased IS NOT NULL THEN
            RAISE EXCEPTION 'the customer has been erased' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    NEW.search_text := concat_ws(E'\\n', search_form(NEW.reference), search_form(NEW.subject),
        search_form(NEW.contact_name),
        (SELECT search_form(nullif(name, NEW.contact_name)) FROM customers WHERE id = NEW.customer_id));
    RETURN NEW;
END
$$"""

_SEARCH_TEXT_BEFORE = """
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

_RENAMED = """
CREATE OR REPLACE TRIGGER customers_renamed AFTER UPDATE OF name ON customers FOR EACH ROW
WHEN (OLD.name IS DISTINCT FROM NEW.name AND NEW.erased_at IS NULL) EXECUTE FUNCTION customer_renamed()"""

_RENAMED_BEFORE = """
CREATE OR REPLACE TRIGGER customers_renamed AFTER UPDATE OF name ON customers
FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION customer_renamed()"""

_OF_ERASED = (
    """
CREATE FUNCTION refuse_erased_actor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM customers WHERE id = NEW.actor_id::uuid AND erased_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the customer has been erased' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END
$$""",
    """
CREATE TRIGGER ticket_events_of_erased BEFORE INSERT ON ticket_events FOR EACH ROW
WHEN (NEW.actor_kind = 'CUSTOMER' AND NEW.actor_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
EXECUTE FUNCTION refuse_erased_actor()""",
)

_INDEXES = {
    "ix_deliveries_finished_at": "deliveries USING btree (finished_at) WHERE (finished_at IS NOT NULL)",
    "ix_idempotency_keys_created_at": "idempotency_keys USING btree (created_at)",
    "ix_inbound_messages_ticket_id": "inbound_messages USING btree (ticket_id)",
}


def upgrade() -> None:
    for name, on in _INDEXES.items():
        make_index(name, on)
    for statement in _OF_ERASED:  # first, because a mutation locks the events before the customers, too
        op.execute(statement)
    op.execute("""
        CREATE TABLE erasures (
            customer_id uuid NOT NULL CONSTRAINT pk_erasures PRIMARY KEY
                CONSTRAINT fk_erasures_customer_id REFERENCES customers (id),
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            actor_id text NOT NULL,
            actor_name text NOT NULL,
            requested_at timestamptz NOT NULL DEFAULT now(),
            sought jsonb,
            stage text NOT NULL DEFAULT 'TICKETS' CONSTRAINT ck_erasures_stage_known
                CHECK (stage IN ('TICKETS', 'OTHERS', 'MAIL', 'REST', 'STATISTICS')),
            after uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
            finished_at timestamptz,
            CONSTRAINT ck_erasures_finished_has_forgotten CHECK ((finished_at IS NULL) = (sought IS NOT NULL))
        )""")
    op.execute("ALTER TABLE customers ADD COLUMN erased_at timestamptz")
    for statement in (_REFUSE, _SEARCH_TEXT, _RENAMED):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER ticket_events_of_erased ON ticket_events")
    for statement in (_RENAMED_BEFORE, _SEARCH_TEXT_BEFORE, _REFUSE_BEFORE):
        op.execute(statement)
    op.execute("DROP FUNCTION refuse_erased_actor()")
    op.execute("ALTER TABLE customers DROP COLUMN erased_at")
    op.execute("DROP TABLE erasures")
    for name in _INDEXES:
        drop_index(name)
