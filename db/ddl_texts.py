"""The words of the texts on tickets, as schema objects that the models cannot express (as in `db/ddl.py`).

`ticket_texts` has a row for each text on a ticket, by which `TicketFilter.text` finds it. Only triggers write it, when
the text is written, or rewritten by an erasure. A column of `tickets` or an index on it would be written with each
change of a ticket, and an event would have the column in both of its images.
"""

from __future__ import annotations

from typing import Final

# What parts words, besides letters of all kinds: white space, punctuation, symbols and emoji. Apostrophes and invisible
# characters do not.
_SEPARATORS: Final = (
    r"\u0001-&\u0028-/:-@\u005b-_{-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    r"\u05be\u060c\u061b\u061f\u06d4\u0964\u0965\u2000-\u200a\u2010-\u2017\u201c-\u2029\u202f-\u2031\u2033\u2034"
    r"\u2036-\u205f\u2070-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030-\u3037\ufe10-\ufe19\ufe30-\ufe6b"
    r"\uff01-\uff06\uff08-\uff0f\uff1a-\uff20\uff3b-\uff3f\uff5b-\uff65\U0001f000-\U0001faff"
)

WORD_LENGTH: Final = 64
"""Longer words are cut."""

FORM_LENGTH: Final = 200_000
"""Words after so many characters are left out, so that those of a transcript do not exceed what a `tsvector` holds."""

STRETCH: Final = 5_000
"""An excerpt is taken from a stretch of so many characters, however long the text is."""

STRETCH_BORDER: Final = 200
"""So many characters of the neighbouring stretches belong to it, too."""

STRETCH_WORDS: Final = 8
"""So many words of a term choose the stretch, the longest."""

EXCERPT: Final = (
    # The stretch of a text that an excerpt is taken from: the first of those with the most of the words. It looks for
    # the words in any case and with any accents, which takes far less than making the words of a long text.
    rf"""
CREATE OR REPLACE FUNCTION text_stretch(value text, queries tsquery[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    patterns text[] := ARRAY(
        SELECT '\m' || regexp_replace(btrim(query::text, ''':*'), '(.)', E'\\1[''`\u0300-\u036f\u2018-\u201b]*', 'g')
            || CASE WHEN query::text LIKE '%:*' THEN '' ELSE '\M' END
        FROM unnest(queries[1:{STRETCH_WORDS}]) AS query);
    stretch text;
    hits integer;
    hits_most integer := 0;
    best integer := 1;
BEGIN
    IF length(value) <= {STRETCH} THEN
        RETURN value;
    END IF;
    FOR place IN 1 .. least(length(value), {FORM_LENGTH}) BY {STRETCH} LOOP
        stretch := lower(substr(value, place, {STRETCH} + {WORD_LENGTH}));
        IF octet_length(stretch) <> length(stretch) THEN
            stretch := normalize(stretch, NFD);
        END IF;
        SELECT count(*) INTO hits FROM unnest(patterns) AS pattern WHERE stretch ~ pattern;
        IF hits > hits_most THEN
            hits_most := hits;
            best := place;
            EXIT WHEN hits = cardinality(patterns);
        END IF;
    END LOOP;
    -- With some of its neighbours, so that a passage may cross the borders, but not with words that they cut in two.
    stretch := substr(value, greatest(best - {STRETCH_BORDER}, 1), {STRETCH} + 2 * {STRETCH_BORDER});
    IF best > 1 THEN
        stretch := regexp_replace(stretch, '^\S{{1,{STRETCH_BORDER}}}(?=\s)', '');
    END IF;
    IF length(value) >= best + {STRETCH} + {STRETCH_BORDER} THEN
        stretch := regexp_replace(stretch, '\s\S{{1,{STRETCH_BORDER}}}$', '');
    END IF;
    RETURN stretch;
END
$$""",
    # The passage of a text with the most words that match a query, in pieces. It has a quarter of its words before the
    # first that matches. Control characters mark a word while the passage is put together, so these are dropped from
    # the text. A run of characters without a blank may be very long. PL/pgSQL, because it keeps its plans.
    rf"""
CREATE OR REPLACE FUNCTION text_excerpt(value text, queries tsquery[], most integer)
RETURNS TABLE (text text, matched boolean, ord bigint) LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    tokens text[] := ARRAY(
        SELECT part
        FROM regexp_matches(translate(text_stretch(value, queries), E'\x01\x02', ''), '\s*\S+', 'g')
            WITH ORDINALITY AS each (run, place),
            LATERAL (
                SELECT run[1], 1 WHERE length(run[1]) <= 100
                UNION ALL
                SELECT piece[1], number
                FROM regexp_matches(CASE WHEN length(run[1]) > 100 THEN run[1] END, '.{{1,100}}', 'g')
                    WITH ORDINALITY AS pieces (piece, number)
            ) AS parts (part, number)
        ORDER BY place, number);
    whole tsquery;
    words tsvector;
    first integer := 1;
    start integer := 1;
    hits integer;
    hits_most integer := 0;
    piece text;
    marked text := '';
BEGIN
    SELECT string_agg(format('(%s)', query), ' | ')::tsquery INTO whole FROM unnest(queries) AS query;
    IF cardinality(tokens) > most THEN
        -- Not by slices of the array: each is counted out from its beginning.
        FOREACH piece IN ARRAY ARRAY(
            SELECT string_agg(token, '' ORDER BY place) FROM unnest(tokens) WITH ORDINALITY AS each (token, place)
            GROUP BY (place - 1) / most ORDER BY (place - 1) / most
        ) LOOP
            words := text_vector(piece);
            IF words @@ whole THEN
                SELECT count(*) INTO hits FROM unnest(queries) AS query WHERE words @@ query;
                IF hits > hits_most THEN
                    hits_most := hits;
                    first := start;
                END IF;
            END IF;
            start := start + most;
        END LOOP;
        FOR place IN first..first + most - 1 LOOP
            IF text_vector(coalesce(tokens[place], '')) @@ whole THEN
                first := greatest(place - most / 4, 1);
                EXIT;
            END IF;
        END LOOP;
    END IF;
    piece := ltrim(array_to_string(tokens[first:first + most - 1], ''), E' \t\r\n');
    piece := regexp_replace(piece, '([^{_SEPARATORS}]+)', E'\x01\\1\x02', 'g');
    FOREACH piece IN ARRAY string_to_array(piece, E'\x01') LOOP
        IF text_vector(split_part(piece, E'\x02', 1)) @@ whole THEN
            marked := marked || E'\x01' || piece;
        ELSE
            marked := marked || replace(piece, E'\x02', '');
        END IF;
    END LOOP;
    RETURN QUERY SELECT coalesce(part[1], part[2]), part[1] IS NOT NULL, place
        FROM regexp_matches(marked, E'\x01([^\x02]*)\x02|([^\x01]+)', 'g') WITH ORDINALITY AS each (part, place)
        WHERE place <= 2 * most + 1;
END
$$""",
)
"""The functions that make an excerpt."""

FUNCTIONS: Final = (
    # The words of a text in searchable form, with single blanks between them. `searchable_form` is slow, and most texts
    # are plain letters once the accents are gone.
    rf"""
CREATE OR REPLACE FUNCTION text_words(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    form text := value;
BEGIN
    IF octet_length(form) = length(form) THEN
        form := lower(translate(form, '''`', '') COLLATE "C");
        form := regexp_replace(form, '[^a-z0-9]+', ' ', 'g');
    ELSE
        -- An acute accent by itself stands for an apostrophe, and would become a blank.
        form := normalize(translate(form, E'\u00b4\u1ffd', ''''''), NFKD);
        form := regexp_replace(form, '[''`\u00ad\u0300-\u036f\u200b-\u200f\u2018-\u201b\u2032\u2035\ufeff]+', '', 'g');
        form := regexp_replace(form, '[{_SEPARATORS}]+', ' ', 'g');
        IF octet_length(form) <> length(form) THEN
            form := regexp_replace(searchable_form(form), '[{_SEPARATORS}]+', ' ', 'g');
        END IF;
        form := lower(form COLLATE "C");
    END IF;
    form := btrim(left(form, {FORM_LENGTH}));
    IF length(form) > {WORD_LENGTH} AND form ~ '[^ ]{{{WORD_LENGTH + 1}}}' THEN
        form := regexp_replace(form, '([^ ]{{{WORD_LENGTH}}})[^ ]+', '\1', 'g');
    END IF;
    RETURN form;
END
$$""",
    # Without positions: they would double the size, and nothing asks for them.
    """
CREATE OR REPLACE FUNCTION text_vector(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_to_tsvector(string_to_array(text_words(value), ' '))""",
    # A query for each word of a term, the longest first. A word with one or two plain letters or digits is only found
    # as it is, any other also as the beginning of a word. A term without words has a query that matches nothing.
    r"""
CREATE OR REPLACE FUNCTION text_queries(term text) RETURNS tsquery[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(
        array_agg(
            (quote_literal(word) || CASE WHEN word ~ '^[a-z0-9]{1,2}$' THEN '' ELSE ':*' END)::tsquery
            ORDER BY length(word) DESC, word COLLATE "C"
        ),
        ARRAY[$q$' '$q$::tsquery]
    ) FROM (SELECT DISTINCT word FROM string_to_table(text_words(term), ' ') AS word WHERE word <> '') AS each
$$""",
    # What was said in a transcript.
    r"""
CREATE OR REPLACE FUNCTION transcript_text(messages json) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT string_agg(message ->> 'body', E'\n' ORDER BY place)
    FROM json_array_elements(messages) WITH ORDINALITY AS each (message, place)
)""",
    *EXCERPT,
    # A text itself, by its row in `ticket_texts`.
    """
CREATE OR REPLACE FUNCTION ticket_text(text_id uuid, part text) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN CASE part
    WHEN 'DESCRIPTION' THEN (SELECT description FROM tickets WHERE tickets.id = text_id)
    WHEN 'RESOLUTION' THEN (SELECT resolution FROM tickets WHERE tickets.id = text_id)
    WHEN 'TRANSCRIPT' THEN (SELECT transcript_text(messages) FROM ticket_chats AS chat WHERE chat.ticket_id = text_id)
    WHEN 'NOTE' THEN (SELECT body FROM notes WHERE notes.id = text_id)
    WHEN 'QUOTED' THEN (SELECT quoted FROM notes WHERE notes.id = text_id)
END""",
    # The query that is estimated to match the fewest texts: fewest of the newest ones, and the longest of these.
    """
CREATE OR REPLACE FUNCTION rarest_text_query(queries tsquery[]) RETURNS tsquery
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    WITH newest AS MATERIALIZED (
        SELECT words FROM ticket_texts WHERE cardinality(queries) > 1 ORDER BY ticket_id DESC LIMIT 500
    )
    SELECT query FROM unnest(queries) WITH ORDINALITY AS each (query, place)
    ORDER BY (SELECT count(*) FROM newest WHERE words @@ query), place LIMIT 1
$$""",
)


def _write(rows: str) -> str:
    return f"""INSERT INTO ticket_texts (ticket_id, text_id, part, internal_only, customer_id, words) {rows}
        ON CONFLICT (ticket_id, text_id, part) DO UPDATE SET words = EXCLUDED.words"""


_OF_TICKET: Final = "VALUES (NEW.id, NEW.id, '{part}', false, NULL, text_vector(NEW.{column}))"
_OF_NOTE: Final = """
        SELECT NEW.ticket_id, NEW.id, part, NEW.internal_only, NEW.customer_id, text_vector(value)
        FROM (VALUES ('NOTE', NEW.body), ('QUOTED', NEW.quoted)) AS each (part, value) WHERE value IS NOT NULL"""
_OF_TRANSCRIPT: Final = """
        VALUES (NEW.ticket_id, NEW.ticket_id, 'TRANSCRIPT', false, NULL,
            text_vector(coalesce(transcript_text(NEW.messages), '')))"""

TRIGGER_FUNCTIONS: Final = (
    f"""
CREATE OR REPLACE FUNCTION ticket_text_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.description IS DISTINCT FROM OLD.description THEN
        {_write(_OF_TICKET.format(part="DESCRIPTION", column="description"))};
    END IF;
    IF NEW.resolution IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.resolution IS DISTINCT FROM OLD.resolution) THEN
        {_write(_OF_TICKET.format(part="RESOLUTION", column="resolution"))};
    ELSIF TG_OP = 'UPDATE' AND NEW.resolution IS NULL AND OLD.resolution IS NOT NULL THEN
        DELETE FROM ticket_texts WHERE ticket_id = NEW.id AND text_id = NEW.id AND part = 'RESOLUTION';
    END IF;
    RETURN NULL;
END
$$""",
    f"""
CREATE OR REPLACE FUNCTION note_text_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {_write(_OF_NOTE)};
    RETURN NULL;
END
$$""",
    f"""
CREATE OR REPLACE FUNCTION transcript_text_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {_write(_OF_TRANSCRIPT)};
    RETURN NULL;
END
$$""",
)

TRIGGERS: Final = (
    """
CREATE OR REPLACE TRIGGER tickets_text AFTER INSERT ON tickets FOR EACH ROW EXECUTE FUNCTION ticket_text_written()""",
    """
CREATE OR REPLACE TRIGGER tickets_text_changed AFTER UPDATE OF description, resolution ON tickets FOR EACH ROW
WHEN ((OLD.description, OLD.resolution) IS DISTINCT FROM (NEW.description, NEW.resolution))
EXECUTE FUNCTION ticket_text_written()""",
    """
CREATE OR REPLACE TRIGGER notes_text AFTER INSERT OR UPDATE OF body, quoted ON notes FOR EACH ROW
EXECUTE FUNCTION note_text_written()""",
    """
CREATE OR REPLACE TRIGGER ticket_chats_text AFTER INSERT OR UPDATE OF messages ON ticket_chats FOR EACH ROW
EXECUTE FUNCTION transcript_text_written()""",
)

DROP: Final = (
    "DROP TRIGGER tickets_text_changed ON tickets",
    "DROP TRIGGER tickets_text ON tickets",
    "DROP TRIGGER notes_text ON notes",
    "DROP TRIGGER ticket_chats_text ON ticket_chats",
    "DROP TABLE ticket_texts",
    "DROP FUNCTION ticket_text_written(), note_text_written(), transcript_text_written()",
    "DROP FUNCTION ticket_text(uuid, text), rarest_text_query(tsquery[])",
    "DROP FUNCTION text_excerpt(text, tsquery[], integer), text_queries(text)",
    "DROP FUNCTION IF EXISTS text_stretch(text, tsquery[])",
    "DROP FUNCTION transcript_text(json), text_vector(text), text_words(text)",
)
