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
CREATE OR REPLACE FUNCTION search_pairs(form text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    chars CONSTANT text[] := string_to_array(form, NULL);
BEGIN
    RETURN array_to_tsvector(ARRAY(
        SELECT char || coalesce(next, '') FROM unnest(chars, chars[2:]) AS each (char, next)));
END
$$"""

# The query for the pairs that every text containing `form` has.
SEARCH_PAIRS_QUERY = r"""
CREATE FUNCTION search_pairs_query(form text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT string_agg(format(CASE length(form) WHEN 1 THEN $$'%s':*$$ ELSE $$'%s'$$ END, quoted), ' & ')::tsquery
    FROM generate_series(1, greatest(length(form) - 1, 1)) AS place,
        LATERAL replace(replace(substr(form, place, 2), '\', '\\'), '''', '''''') AS quoted
)"""

# The last seven digits of a phone number before its extension, by which an index finds the customers who may have it.
PHONE_END = """
CREATE FUNCTION phone_end(phone text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN right(regexp_replace(regexp_replace(phone, '[A-Za-z#*,;].*$', ''), '[^0-9]', '', 'g'), 7)"""

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
    # For code that is older than `article_search_of_some`: a query for any of the words. For a word that is in no
    # article, it adds the words that may have been meant: those in which two adjacent letters are swapped, and the five
    # most similar ones with the same first letter and about the same length. Null if the term excludes a word.
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

ARTICLE_EXTENSION = "CREATE EXTENSION IF NOT EXISTS fuzzystrmatch"

# The search of articles: which of them match some of the words, and how well.
ARTICLE_SEARCH_FUNCTIONS = (
    # How much a word says about what an article is about, by its stem: nothing if it only makes a sentence polite,
    # little if it fits most questions, such as "open", "time" or "broken".
    """
CREATE FUNCTION article_significance(stem text) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN stem = ANY ('{
        pleas,thank,hello,hi,hey,dear,ok,okay,help,need,want,like,wish,hope,know,understand,tell,say,said,explain,
        ask,question,answer,wonder,think,mean,see,look,seem,take,give,gave,put,get,got,go,went,let,make,made,tri,
        would,could,might,may,must,shall,realli,actual,also,sinc,mayb,possibl,sure,thing,someth,anyth,noth,everyth,
        reason,goe,cannot,dont,doesnt,didnt,cant,wont,isnt,im,ive,u,pls,thx}')
        THEN 0
    WHEN stem = ANY ('{
        open,close,shut,time,hour,minut,second,day,daili,today,tomorrow,yesterday,week,weekend,month,year,morn,noon,
        afternoon,even,night,midnight,late,earli,soon,long,ago,work,oper,use,run,turn,start,begin,stop,end,keep,
        stay,show,come,came,call,happen,chang,problem,issu,wrong,broken,break,broke,fail,failur,fault,faulti,fix,
        repair,new,old,good,bad,way,place,number,back,still,alway,never,sometim,often,everi,one,two,three,first,
        last,next,much,mani,lot,anymor,sudden,contact,support,offic,servic,compani,custom,staff,person,peopl}')
        THEN 0.3
    ELSE 1
END""",
    # Whether a question is about us rather than about what we look after.
    r"""
CREATE FUNCTION article_is_about_us(term text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN term ~* ('\m(yours?|(are|do|did|does|will|were) you(?! (know|think|have any))|pay|paying|payment|prices?|costs?'
    || '|invoices?|bill|buy|purchase|sell|orders?|quote|discount|refund|jobs?|parking|located|appointment)\M')""",
    # A query for all of the words. If all of them fit most questions, they count in the problem only; and if they are
    # asked about us ("When do you open?"), there is no query.
    r"""
CREATE FUNCTION article_query_of_all(term text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN EXISTS (SELECT FROM unnest(tsvector_to_array(to_tsvector('english'::regconfig, term))) AS stem
        WHERE article_significance(stem) = 1) THEN article_query(term)
    WHEN NOT article_is_about_us(term)
        THEN regexp_replace(article_query(term)::text, $$('(?:[^']|'')*')$$, $$\1:A$$, 'g')::tsquery
END""",
    # The query in which words with at least `need` of the weight occur; an empty one if `need` is 0, and null if all
    # words together do not have it. A word is a query in brackets.
    """
CREATE FUNCTION article_quorum(words text[], weights float8[], need float8) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    with_first text;
BEGIN
    IF need <= 1e-9 THEN
        RETURN '';
    ELSIF (SELECT coalesce(sum(weight), 0) FROM unnest(weights) AS weight) < need - 1e-9 THEN
        RETURN NULL;
    END IF;
    with_first := article_quorum(words[2:], weights[2:], need - weights[1]);
    RETURN concat_ws(' | ', words[1] || coalesce(' & (' || nullif(with_first, '') || ')', ''),
        article_quorum(words[2:], weights[2:], need));
END
$$""",
    # The query for some of the words, `search_query`; that for words as they are typed, `as_typed`; and how much each
    # word adds to an article's share of what was asked for.
    #
    # Rare words weigh more, by how many of the viewer's newest articles have them. Words that no article has weigh
    # together 0.8 times the root of their number, in units of the heaviest word that one has; a question about us adds
    # one unit. So one word among several unknown ones is not enough, and part of a long story is. An article needs half
    # of the weight, with a significant word.
    #
    # In place of a word that no article has, the nearest words are looked for: with two adjacent letters swapped, or
    # with the same first letter and one letter more, less or, from five letters on, another; two from eight on. Nothing
    # is found if the term excludes a word.
    """
CREATE FUNCTION article_search_of_some(term text, everything boolean, OUT search_query tsquery, OUT as_typed tsquery,
    OUT words tsquery[], OUT weights float8[]) LANGUAGE sql STABLE STRICT AS $$
WITH typed AS (
    SELECT DISTINCT ON (stem) word, stem::tsquery AS query, article_significance(stem) AS significance
    FROM unnest(tsvector_to_array(to_tsvector('simple'::regconfig, term))) AS word,
        unnest(tsvector_to_array(to_tsvector('english'::regconfig, word))) AS stem
    WHERE word ~ '^[[:alnum:]]+$' AND article_significance(stem) > 0
    ORDER BY stem, word
), newest AS MATERIALIZED (
    SELECT strip(search_vector) AS stems FROM articles WHERE published OR everything
    ORDER BY created_at DESC, id DESC LIMIT 500
), counted AS MATERIALIZED (
    SELECT word, query, significance, (SELECT count(*) FROM newest WHERE stems @@ query) AS n FROM typed
), known AS MATERIALIZED (
    SELECT *, n > 0 OR EXISTS (SELECT FROM articles WHERE search_vector @@ query AND (published OR everything)) AS known
    FROM counted
), near AS MATERIALIZED (
    SELECT known.word, stem FROM known, LATERAL (
        SELECT near, rank() OVER (ORDER BY distance) AS nth FROM (
            SELECT kept.word AS near, 1 AS distance
            FROM generate_series(1, length(known.word) - 1) AS place, article_words AS kept
            WHERE kept.word = overlay(known.word PLACING reverse(substr(known.word, place, 2)) FROM place FOR 2)
                AND (published OR everything)
            UNION
            SELECT kept.word, levenshtein(kept.word, known.word) FROM article_words AS kept
            WHERE kept.word >= left(known.word, 1) AND kept.word < left(known.word, 1) || U&'\\+10FFFF'
                AND abs(length(kept.word) - length(known.word)) <= CASE WHEN length(known.word) < 8 THEN 1 ELSE 2 END
                AND (length(kept.word) <> length(known.word) OR length(known.word) > 4)
                AND levenshtein_less_equal(kept.word, known.word, 2)
                    <= CASE WHEN length(known.word) < 8 THEN 1 ELSE 2 END
                AND (published OR everything)
        ) AS likely ORDER BY distance, near LIMIT 5
    ) AS nearest, unnest(tsvector_to_array(to_tsvector('english'::regconfig, near))) AS stem
    WHERE NOT known.known AND significance = 1 AND known.word ~ '^[[:alpha:]]{3,40}$' AND nth = 1
), meant AS (
    SELECT query, significance, n, false AS corrected FROM known WHERE known.known
    UNION ALL
    SELECT query, significance, (SELECT count(*) FROM newest WHERE stems @@ query), true FROM (
        SELECT string_agg(DISTINCT stem, ' | ')::tsquery AS query, max(article_significance(stem)) AS significance
        FROM near WHERE article_significance(stem) > 0 GROUP BY word
    ) AS corrections
), weighed AS (
    SELECT query, significance, corrected,
        significance * ln(1 + (SELECT count(*) FROM newest) / greatest(n, 1)::float8) AS weight
    FROM meant
), heaviest AS MATERIALIZED (
    SELECT * FROM weighed ORDER BY weight DESC, query::text LIMIT 8
), total AS MATERIALIZED (
    SELECT sum(weight) + max(weight / significance) * (
        0.8 * sqrt((SELECT coalesce(sum(known.significance), 0) FROM known
            WHERE NOT known.known AND NOT EXISTS (SELECT FROM near WHERE near.word = known.word)))
        + article_is_about_us(term)::int) AS weight
    FROM heaviest
), listed AS (
    SELECT array_agg(format('(%s)', query) ORDER BY weight DESC, query::text) AS texts,
        array_agg(heaviest.weight ORDER BY weight DESC, query::text) AS each,
        coalesce(array_agg(format('(%s)', query) ORDER BY weight DESC, query::text) FILTER (WHERE NOT corrected), '{}')
            AS typed_texts,
        coalesce(array_agg(heaviest.weight ORDER BY weight DESC, query::text) FILTER (WHERE NOT corrected), '{}')
            AS typed_each,
        string_agg(format('(%s)', query), ' | ') FILTER (WHERE significance = 1) AS significant,
        string_agg(format('(%s)', query), ' | ') FILTER (WHERE significance = 1 AND NOT corrected) AS typed_significant
    FROM heaviest
), found AS (
    SELECT significant::tsquery && article_quorum(texts, each, weight / 2)::tsquery AS query,
        typed_significant::tsquery && article_quorum(typed_texts, typed_each, weight / 2)::tsquery AS as_typed
    FROM listed, total
)
SELECT found.query, found.as_typed, array_agg(heaviest.query),
    array_agg(CASE WHEN corrected THEN 0.9 ELSE 1 END * heaviest.weight / total.weight)
FROM found, heaviest, total WHERE strpos(article_query(term)::text, '!') = 0 AND found.query IS NOT NULL
GROUP BY found.query, found.as_typed
$$""",
    # How well an article matches such a search, from 0 to 1. What is found by its words as they are typed comes before
    # what is found by corrected ones only.
    """
CREATE FUNCTION article_relevance(vector tsvector, search_query tsquery, as_typed tsquery, words tsquery[],
    weights float8[]) RETURNS float8 LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    stems CONSTANT tsvector := strip(vector);
    share float8 := 0;
BEGIN
    FOR place IN 1 .. cardinality(words) LOOP
        IF stems @@ words[place] THEN
            share := share + weights[place];
        END IF;
    END LOOP;
    RETURN CASE WHEN stems @@ as_typed THEN 0.5 ELSE 0 END + 0.45 * share + 0.05 * ts_rank(vector, search_query, 32);
END
$$""",
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

# A trigger, and not the statements of the worker, because many of them change a delivery, and so do older servers.
DELIVERY_FUNCTION = """
CREATE FUNCTION delivery_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_events (delivery_id, ticket_id, state) VALUES (NEW.id, NEW.ticket_id, NEW.state);
    RETURN NULL;
END
$$"""

DELIVERY_TRIGGER = """
CREATE TRIGGER deliveries_changed AFTER UPDATE OF state, said ON deliveries FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.said IS DISTINCT FROM NEW.said)
EXECUTE FUNCTION delivery_changed()"""

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
    attachment_id, occurred_at, idempotency_key
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
