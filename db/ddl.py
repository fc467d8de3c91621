"""What the models cannot express: the extension, functions and triggers, as statements to run one by one.

- A note is final, and so is what an event says; a ticket is never deleted. Whoever tries gets a
  `restrict_violation` with the trigger's name as its constraint.
- `tickets.search_text` is written by a trigger alone and follows its sources, the customer's name included.
- An event goes only once `ticket_counts` has taken it in, so that pruning cannot falsify the counts.

Nothing here needs more than PostgreSQL 14 and the rights of the database's owner.
"""

from __future__ import annotations

# Which log of transactions an `xid` belongs to. The timeline is part of it because after a failover or a recovery
# to a point in time the same ids are given out again; the database's oid, because a dump can be restored beside.
CLUSTER = (
    "(SELECT concat_ws('/', system_identifier, timeline_id, oid)"
    " FROM pg_control_system(), pg_control_checkpoint(), pg_database WHERE datname = current_database())"
)

EXTENSIONS = ("CREATE EXTENSION IF NOT EXISTS pg_trgm", "CREATE EXTENSION IF NOT EXISTS btree_gin")

# What is searched and what is searched for are brought into one form: lower case, a single blank for any run of them.
# The collation is named so that it is not the one of whatever column the text comes from.
SEARCH_FORM = """
CREATE FUNCTION search_form(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN btrim(regexp_replace(lower(value COLLATE "default"), '[[:space:]\u00a0]+', ' ', 'g'))"""

# The pairs of characters of a text, and its last character by itself. A `tsvector`, because its index looks up the
# beginning of a pair too, which is how a single character is found.
SEARCH_PAIRS = """
CREATE FUNCTION search_pairs(form text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_to_tsvector(ARRAY(SELECT substr(form, place, 2) FROM generate_series(1, length(form)) AS place))"""

# What every text that contains `form` has among its pairs.
SEARCH_PAIRS_QUERY = r"""
CREATE FUNCTION search_pairs_query(form text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT string_agg(format(CASE length(form) WHEN 1 THEN $$'%s':*$$ ELSE $$'%s'$$ END, quoted), ' & ')::tsquery
    FROM generate_series(1, greatest(length(form) - 1, 1)) AS place,
        LATERAL replace(replace(substr(form, place, 2), '\', '\\'), '''', '''''') AS quoted
)"""

FUNCTIONS = (
    """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING
        ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
$$""",
    """
CREATE FUNCTION refuse_uncounted_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pruned, event_log WHERE NOT pg_visible_in_snapshot(pruned.xid, event_log.counted)) THEN
        RAISE EXCEPTION 'an event is kept until ticket_counts has taken it in' USING
            ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END
$$""",
    # Of a customer that a ticket newly refers to, the row is locked against renaming: the rename waits and then finds
    # the ticket, or this waits and then finds the name. Where the link stays as it is no lock is needed (the rename
    # waits for the ticket's row) and none is taken, because together the two could deadlock.
    """
CREATE FUNCTION ticket_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.customer_id IS DISTINCT FROM OLD.customer_id THEN
        PERFORM FROM customers WHERE id = NEW.customer_id FOR SHARE;
    END IF;
    NEW.search_text := concat_ws(E'\\n', search_form(NEW.reference), search_form(NEW.subject),
        search_form(NEW.contact_name),
        (SELECT search_form(nullif(name, NEW.contact_name)) FROM customers WHERE id = NEW.customer_id));
    RETURN NEW;
END
$$""",
    """
CREATE FUNCTION customer_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM tickets WHERE customer_id = NEW.id ORDER BY id FOR NO KEY UPDATE;  -- as whoever locks several does
    UPDATE tickets SET search_text = search_text WHERE customer_id = NEW.id;
    RETURN NULL;
END
$$""",
)

TRIGGERS = (
    """
CREATE TRIGGER notes_final BEFORE UPDATE OR DELETE OR TRUNCATE ON notes
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a note is neither changed nor deleted')""",
    """
CREATE TRIGGER tickets_kept BEFORE DELETE OR TRUNCATE ON tickets
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a ticket is never deleted')""",
    # Everything but `xid`, which is written anew when the rows turn up in another cluster.
    """
CREATE TRIGGER ticket_events_final
BEFORE UPDATE OF id, ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after, note_id, public
OR TRUNCATE ON ticket_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('what an event says is never changed')""",
    """
CREATE TRIGGER ticket_events_counted AFTER DELETE ON ticket_events REFERENCING OLD TABLE AS pruned
FOR EACH STATEMENT EXECUTE FUNCTION refuse_uncounted_pruning()""",
    """
CREATE TRIGGER tickets_search_text
BEFORE INSERT OR UPDATE OF reference, subject, contact_name, customer_id, search_text ON tickets
FOR EACH ROW EXECUTE FUNCTION ticket_search_text()""",
    """
CREATE TRIGGER customers_renamed AFTER UPDATE OF name ON customers
FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION customer_renamed()""",
)

ROWS = (
    "INSERT INTO support_settings DEFAULT VALUES",
    f"INSERT INTO event_log (identity, cluster, counted) VALUES (gen_random_uuid(), {CLUSTER}, pg_current_snapshot())",
)

DROP = (
    "DROP FUNCTION refuse_change(), refuse_uncounted_pruning(), ticket_search_text(), customer_renamed()",
    "DROP FUNCTION search_form(text), search_pairs(text), search_pairs_query(text)",
)
