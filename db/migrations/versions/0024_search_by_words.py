"""What searches by words look in: a column of tickets and of customers, and its indexes.

Servers of the previous release go on searching the columns that they know, of customers and of tickets. These have no
index any more, so that changes of tickets do not become slower; such a search reads the whole table.

Revision ID: 0024
"""

from __future__ import annotations

from alembic import op

from db import ddl_search
from db.postgres.fill import fill_in
from db.postgres.indexes import drop_index, make_index

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

oldest_code = "0001"
oldest_database = "0024"

_COLUMN = """ADD COLUMN IF NOT EXISTS searchable text COLLATE "C" NOT NULL DEFAULT ''"""
_FILTERS = "status, priority, category, source, technician_id, creator_id"
_NAME, _EMAIL, _ACCOUNT_NUMBER = (f"split_part(searchable, chr(10), {line})" for line in (1, 2, 3))

_CUSTOMERS = {
    "ix_customers_name_searchable_id": f"customers USING btree ({_NAME}, id)",
    "ix_customers_email_searchable": f"customers USING btree ({_EMAIL})",
    "ix_customers_account_number_searchable": f"customers USING btree ({_ACCOUNT_NUMBER})",
}

_TEXTS_BEFORE = (
    """
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
$$""",
    """
CREATE OR REPLACE TRIGGER tickets_search_text
BEFORE INSERT OR UPDATE OF reference, subject, contact_name, customer_id, search_text ON tickets
FOR EACH ROW EXECUTE FUNCTION ticket_search_text()""",
    """
CREATE OR REPLACE TRIGGER customers_renamed AFTER UPDATE OF name ON customers FOR EACH ROW
WHEN (OLD.name IS DISTINCT FROM NEW.name AND NEW.erased_at IS NULL) EXECUTE FUNCTION customer_renamed()""",
)


# What a GIN index is to take waits in a list, which the write that fills it up has to merge into the index: with 4 MB,
# that took a second and a half at 150,000 tickets.
_SHORT_LIST = "gin_pending_list_limit='512'"


def upgrade() -> None:
    op.execute(f"ALTER TABLE tickets {_COLUMN}")
    for index in ("ix_tickets_search", "ix_tickets_search_pairs"):
        op.execute(f"ALTER INDEX {index} SET ({_SHORT_LIST})")
    for statement in (*ddl_search.FUNCTIONS, *ddl_search.SOURCES, *ddl_search.TICKET_TRIGGERS):
        op.execute(statement)
    op.execute(f"ALTER TABLE customers {_COLUMN}")
    for statement in ddl_search.CUSTOMER_TRIGGERS:
        op.execute(statement)
    fill_in("customers", "searchable")
    fill_in("tickets", "searchable")
    for name, on in _CUSTOMERS.items():
        make_index(name, on)
    _index("searchable", _NAME, f" WITH ({_SHORT_LIST})")
    drop_index("ix_customers_email_form")


def downgrade() -> None:
    make_index("ix_customers_email_form", "customers USING btree (email_form)")
    _index("search_text", "name_form")
    for name in _CUSTOMERS:
        drop_index(name)
    for statement in (*_TEXTS_BEFORE, *ddl_search.DROP):
        op.execute(statement)
    for table in ("tickets", "customers"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN searchable")


def _index(column: str, name: str, options: str = "") -> None:
    make_index("ix_customers_search", f"customers USING gin ({column} gin_trgm_ops)")
    make_index("ix_customers_name_words", f"customers USING gin ({name} gin_trgm_ops)")
    make_index("ix_customers_search_pairs", f"customers USING gin (search_pairs({column}))")
    make_index("ix_customers_name_pairs", f"customers USING gin (search_pairs({name}))")
    make_index("ix_tickets_search", f"tickets USING gin ({column} gin_trgm_ops, {_FILTERS}){options}")
    make_index("ix_tickets_search_pairs", f"tickets USING gin (search_pairs({column}), {_FILTERS}){options}")
