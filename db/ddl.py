"""Schema objects that the models cannot express: extensions, functions and triggers, as statements to run one by one.

- Notes and the content of events cannot be changed, except by an erasure that is not finished; notes and tickets cannot
  be deleted. An attempt raises `restrict_violation` with the trigger's name as its constraint.
- Nothing is written for a customer or by a customer who has been erased meanwhile: a request that is under way could
  bring their name back. An attempt raises `serialization_failure`.
- An event can be deleted only once the stored counts include it, so that pruning cannot falsify them.
- An entry of the audit trail cannot be changed, and can be deleted only by pruning (`AuditEntryRow`).

`db/ddl_search.py` has what searches need. All of it works with PostgreSQL 14 and the rights of the database's owner.
"""

from __future__ import annotations

# Identifies the cluster that transaction ids belong to: the same on a primary, its standbys and its physical copies.
CLUSTER = "(SELECT system_identifier::text FROM pg_control_system())"

EXTENSIONS = ("CREATE EXTENSION IF NOT EXISTS pg_trgm", "CREATE EXTENSION IF NOT EXISTS btree_gin")

# A text in lower case, with a single blank for each run of white space, by which names are sorted and compared. The
# collation is named because it would otherwise be that of the text's column.
SEARCH_FORM = """
CREATE FUNCTION search_form(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN btrim(regexp_replace(lower(value COLLATE "default"), '[[:space:]\u00a0]+', ' ', 'g'))"""

# The pairs of adjacent characters of a text, and its last character. A `tsvector`, because its index can look up the
# first character of a pair, which is how a single character is found.
SEARCH_PAIRS = """
CREATE FUNCTION search_pairs(form text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_to_tsvector(ARRAY(SELECT substr(form, place, 2) FROM generate_series(1, length(form)) AS place))"""

# The query for the pairs that every text containing `form` has.
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
    IF TG_OP = 'UPDATE' AND EXISTS (
        SELECT FROM erasures WHERE customer_id::text = current_setting('callout.erasure', true) AND finished_at IS NULL
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '%', TG_ARGV[0] USING
        ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
$$""",
    """
CREATE FUNCTION refuse_uncounted_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pruned, event_log,
            LATERAL (VALUES (counted), (service_counted), (fingerprinted)) AS taken_in (up_to)
        WHERE NOT pg_visible_in_snapshot(pruned.xid, up_to)
    ) THEN
        RAISE EXCEPTION 'an event is kept until the counts of tickets have taken it in' USING
            ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
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
    # Every column but `xid`, which is rewritten after the rows have been moved to another cluster.
    """
CREATE TRIGGER ticket_events_final
BEFORE UPDATE OF id, ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after, note_id, public
OR TRUNCATE ON ticket_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('what an event says is never changed')""",
    """
CREATE TRIGGER ticket_events_counted AFTER DELETE ON ticket_events REFERENCING OLD TABLE AS pruned
FOR EACH STATEMENT EXECUTE FUNCTION refuse_uncounted_pruning()""",
)

# The vocabulary of the articles, which the search uses to correct typing mistakes: words of letters, each with whether
# a published article has ever contained it. Customers' terms are corrected by published words only, so that a
# correction reveals nothing of an unpublished article.
ARTICLE_FUNCTIONS = (
    """
CREATE FUNCTION article_words_of(problem text, solution text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ARRAY(
    SELECT word FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, problem || ' ' || solution))) AS word
    WHERE word ~ '^[[:alpha:]]{3,40}$'
)""",
    # Sorted by word, so that two transactions that write the same words wait for each other instead of deadlocking.
    """
CREATE FUNCTION keep_article_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO article_words (word, published)
    SELECT word, bool_or(published) FROM written, unnest(article_words_of(problem, solution)) AS word
    GROUP BY word ORDER BY word COLLATE "C"
    ON CONFLICT (word) DO UPDATE SET published = true WHERE EXCLUDED.published AND NOT article_words.published;
    RETURN NULL;
END
$$""",
    # A query for all of the words, in the syntax of search engines: "a phrase", `or`, and `-` before an excluded word.
    # A `-` that is not followed by a word is a dash, and is dropped.
    r"""
CREATE FUNCTION article_query(term text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN websearch_to_tsquery('english'::regconfig, regexp_replace(term, '-(?!\w)', ' ', 'g'))""",
    # A query for any of the words. For a word that is in no article, it adds the words that may have been meant: those
    # in which two adjacent letters are swapped, and the five most similar ones with the same first letter and about the
    # same length. Null if the term excludes a word.
    """
CREATE FUNCTION article_query_of_some(term text, everything boolean) RETURNS tsquery LANGUAGE sql STABLE STRICT
RETURN (
    WITH typed AS (
        SELECT word, word ~ '^[[:alpha:]]{3,40}$' AND NOT EXISTS (
            SELECT FROM article_words AS known WHERE known.word = each.word AND (published OR everything)) AS unknown
        FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, term))) AS each (word)
        WHERE numnode(plainto_tsquery('english'::regconfig, word)) > 0
    ), meant AS (
        SELECT word FROM typed
        UNION
        SELECT near.word FROM typed, LATERAL (
            (SELECT known.word FROM generate_series(1, length(typed.word) - 1) AS place, article_words AS known
            WHERE known.word = overlay(typed.word PLACING reverse(substr(typed.word, place, 2)) FROM place FOR 2)
                AND (published OR everything))
            UNION ALL
            (SELECT known.word FROM article_words AS known
            WHERE known.word >= left(typed.word, 1) AND known.word < left(typed.word, 1) || U&'\\+10FFFF'
                AND length(known.word) BETWEEN length(typed.word) - 2 AND length(typed.word) + 2
                AND similarity(known.word, typed.word) >= 0.3 AND (published OR everything)
            ORDER BY similarity(known.word, typed.word) DESC, known.word LIMIT 5)
        ) AS near WHERE typed.unknown
    )
    SELECT string_agg(format('(%s)', plainto_tsquery('english'::regconfig, word)), ' | ' ORDER BY word)::tsquery
    FROM meant
    WHERE strpos(article_query(term)::text, '!') = 0 AND numnode(plainto_tsquery('english'::regconfig, word)) > 0
)""",
)

ARTICLE_TRIGGERS = (
    """
CREATE TRIGGER articles_written AFTER INSERT ON articles REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION keep_article_words()""",
    """
CREATE TRIGGER articles_edited AFTER UPDATE ON articles REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION keep_article_words()""",
)

ARTICLE_DROP = (
    "DROP TRIGGER articles_written ON articles",
    "DROP TRIGGER articles_edited ON articles",
    "DROP FUNCTION article_query_of_some(text, boolean)",
    "DROP FUNCTION article_query(text), keep_article_words(), article_words_of(text, text)",
)

AUDIT_FUNCTIONS = (
    """
CREATE FUNCTION refuse_unasked_pruning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('callout.pruning', true) IS DISTINCT FROM TG_TABLE_NAME THEN
        RAISE EXCEPTION 'an entry of the audit trail is not deleted' USING
            ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END
$$""",
    """
CREATE FUNCTION audit_entries_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pruned, event_log
        WHERE pruned.at > now() - interval '1 day' OR NOT pg_visible_in_snapshot(pruned.xid, audit_fingerprinted)
    ) THEN
        RAISE EXCEPTION 'an entry of the audit trail is kept for a day, and until the fingerprint has taken it in' USING
            ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    UPDATE event_log SET audit_horizon = last.horizon
    FROM (SELECT (xid::text::bigint + 1)::text::xid8 AS horizon FROM pruned ORDER BY xid DESC LIMIT 1) AS last
    WHERE last.horizon > audit_horizon;
    RETURN NULL;
END
$$""",
)

AUDIT_TRIGGERS = (
    # Every column but `xid`, which is rewritten after the rows have been moved to another cluster.
    """
CREATE TRIGGER audit_entries_final
BEFORE UPDATE OF id, at, action, object_kind, object_id, actor_kind, actor_id, actor_name, client, changed, before,
    after OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('an entry of the audit trail is never changed')""",
    """
CREATE TRIGGER audit_entries_kept BEFORE DELETE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_unasked_pruning()""",
    """
CREATE TRIGGER audit_entries_pruned AFTER DELETE ON audit_entries REFERENCING OLD TABLE AS pruned
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_pruned()""",
)

ERASURE_FUNCTIONS = (
    """
CREATE FUNCTION refuse_erased_actor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM customers WHERE id = NEW.actor_id::uuid AND erased_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the customer has been erased' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END
$$""",
)

ATTACHMENT_FUNCTIONS = (
    """
CREATE FUNCTION refuse_erased_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM customers WHERE erased_at IS NOT NULL
            AND (id = NEW.customer_id OR NEW.creator_kind = 'CUSTOMER' AND id::text = NEW.creator_id)
    ) THEN
        RAISE EXCEPTION 'the customer has been erased' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END
$$""",
)

ATTACHMENT_TRIGGERS = (
    """
CREATE OR REPLACE TRIGGER ticket_events_final
BEFORE UPDATE OF id, ticket_id, kind, actor_kind, actor_id, actor_name, at, before, after, note_id, public,
    attachment_id
OR TRUNCATE ON ticket_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('what an event says is never changed')""",
    """
CREATE TRIGGER attachments_of_erased BEFORE INSERT ON attachments FOR EACH ROW
EXECUTE FUNCTION refuse_erased_owner()""",
)

ERASURE_TRIGGERS = (
    """
CREATE TRIGGER ticket_events_of_erased BEFORE INSERT ON ticket_events FOR EACH ROW
WHEN (NEW.actor_kind = 'CUSTOMER' AND NEW.actor_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
EXECUTE FUNCTION refuse_erased_actor()""",
)

ROWS = (
    "INSERT INTO support_settings DEFAULT VALUES",
    f"INSERT INTO event_log (identity, cluster, counted) VALUES (gen_random_uuid(), {CLUSTER}, pg_current_snapshot())",
)

DROP = (
    "DROP FUNCTION refuse_change(), refuse_uncounted_pruning(), ticket_search_text(), customer_renamed()",
    "DROP FUNCTION search_form(text), search_pairs(text), search_pairs_query(text)",
)
