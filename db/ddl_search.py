"""What searches look in, as schema objects that the models cannot express (as in `db/ddl.py`).

`searchable` of a ticket and of a customer is text in searchable form, with a blank before each word. It has two parts
with a form feed between them. Not all who see the row search the second one: of a ticket, services search the
reference, the subject and the contact's name; of a customer, technicians search everything but the properties.

Only triggers write it, when the row or one of the others changes.
"""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final = (
    # A text as searches compare it: without case, accents, width, Unicode form, apostrophes and invisible characters;
    # with one kind of hyphen; with blanks for quotation marks, brackets, commas, semicolons and `#`; and with plain
    # letters for those that people type without (`ø`, `ł`, `ß`). Most texts are ASCII, and need little of it.
    r"""
CREATE OR REPLACE FUNCTION searchable_form(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    form text := value;
BEGIN
    IF octet_length(form) = length(form) THEN
        form := lower(form COLLATE "C");
    ELSE
        -- An acute accent by itself stands for an apostrophe, and would become a blank.
        form := lower(normalize(translate(form, E'\u00b4\u1ffd', ''''''), NFKD) COLLATE "default");
        -- Accents and points of Latin, Greek, Cyrillic, Hebrew and Arabic, and all that is invisible.
        form := regexp_replace(form, '[\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u061c\u0640'
            '\u064b-\u065f\u0670\u180e\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20ff'
            '\ufe00-\ufe0f\ufe20-\ufe2f\ufeff]+', '', 'g');
        form := translate(form, E'\u0131\u00f8\u0142\u0111\u0127\u0167\u00f0\u03c2', E'ioldhtd\u03c3');
        form := replace(replace(form, E'\u00df', 'ss'), E'\u00fe', 'th');
        form := replace(replace(form, E'\u00e6', 'ae'), E'\u0153', 'oe');
        form := translate(form, E'\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669'
            '\u06f0\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7\u06f8\u06f9', '01234567890123456789');
        form := translate(form, E'\u2010\u2012\u2013\u2014\u2015\u2043\u2212', '-------');
        form := translate(form, E'\u201c\u201d\u201e\u201f\u00ab\u00bb\u0085\u1680\u2028\u2029\u3001\u3002\u300c\u300d',
            repeat(' ', 14));
        form := translate(form, E'\u2018\u2019\u201a\u201b\u02b9\u02bb\u02bc\u02bd\u2032\u2035', '');  -- apostrophes
        form := normalize(form, NFC);
    END IF;
    -- `translate` takes longer, the more characters it replaces.
    form := regexp_replace(translate(form, '''`', ''), '[\t\n\v\f\r#()[\]{}<>",;]', ' ', 'g');
    RETURN btrim(replace(replace(replace(form, ' ', E' \x01'), E'\x01 ', ''), E'\x01', ''));
END
$$""",
    # The digits of a phone number, without those of an extension, which begins with a letter or one of `#*,;`.
    """
CREATE OR REPLACE FUNCTION search_digits(phone text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(nullif(translate(main, translate(main, '0123456789', ''), ''), ''),
        translate(every, translate(every, '0123456789', ''), ''))
    FROM searchable_form(phone) AS every, searchable_form(split_part(
        translate(lower(phone COLLATE "C"), 'abcdefghijklmnopqrstuvwxyz#*,;', repeat('x', 30)), 'x', 1)) AS main
$$""",
    # The searchable form of a term as a whole, with a blank before it as before each word of the searched texts. If
    # nothing is left of the term, it stays as it is, and so is nowhere found.
    """
CREATE OR REPLACE FUNCTION search_phrase(term text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ' ' || coalesce(nullif(searchable_form(term), ''), term)""",
    # The words of a search term, the longest first. Punctuation around a word is no part of it, unless it is all there
    # is.
    """
CREATE OR REPLACE FUNCTION search_words(term text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(word ORDER BY length(word) DESC, word COLLATE "C") FROM (
        SELECT DISTINCT coalesce(nullif(btrim(typed, '+.:!?'), ''), typed) AS word
        FROM string_to_table(search_phrase(term), ' ') AS typed WHERE typed <> ''
    ) AS each
$$""",
    # The LIKE pattern of the texts that contain this one.
    r"""
CREATE OR REPLACE FUNCTION search_pattern(form text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT '%' || replace(replace(replace(form, '\', '\\'), '%', '\%'), '_', '\_') || '%'
$$""",
    # The patterns of the words of a search term. Among several words, one or two letters or digits only match the
    # beginning of a word: "camera 3" is not meant to find every camera with a 3 in its reference or phone.
    """
CREATE OR REPLACE FUNCTION search_patterns(term text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT ARRAY(
        SELECT search_pattern(CASE
            WHEN cardinality(words) > 1 AND length(word) < 3
                AND translate(word, 'abcdefghijklmnopqrstuvwxyz0123456789', '') = '' THEN ' ' || word
            ELSE word END)
        FROM unnest(words) WITH ORDINALITY AS each (word, place) ORDER BY place
    ) FROM search_words(term) AS words
$$""",
    # The query for the pairs of characters that every text has that contains the words of a search term.
    """
CREATE OR REPLACE FUNCTION search_pairs_of_words(term text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT string_agg(search_pairs_query(word)::text, ' & ')::tsquery FROM unnest(search_words(term)) AS word
$$""",
)

_FORM_FEED: Final = r"E'\f'"

# The functions that depend on tables.
SOURCES: Final = (
    # The reference stands there with and without its hyphen.
    f"""
CREATE OR REPLACE FUNCTION ticket_searchable(ticket tickets) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    customer text;
    property text;
BEGIN
    IF ticket.customer_id IS NOT NULL THEN
        SELECT concat_ws(' ', nullif(name, ticket.contact_name), account_number) INTO customer
        FROM customers WHERE id = ticket.customer_id;
    END IF;
    IF ticket.property_id IS NOT NULL THEN
        SELECT address || ' ' || account_number INTO property FROM properties WHERE id = ticket.property_id;
    END IF;
    RETURN ' ' || searchable_form(concat_ws(' ', ticket.reference, replace(ticket.reference, '-', ''), ticket.subject,
            ticket.contact_name))
        || {_FORM_FEED} || ' ' || searchable_form(concat_ws(' ',
            ticket.contact_email, search_digits(ticket.contact_phone), customer, property));
END
$$""",
    # The first part has a line each for name, e-mail address, account number and phone.
    rf"""
CREATE OR REPLACE FUNCTION customer_searchable(customer customers) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws(E'\n', ' ' || searchable_form(customer.name), ' ' || searchable_form(customer.email),
            ' ' || searchable_form(customer.account_number), ' ' || search_digits(customer.phone))
        || {_FORM_FEED} || coalesce((
            SELECT ' ' || searchable_form(string_agg(address || ' ' || account_number, ' ' ORDER BY id))
            FROM properties WHERE customer_id = customer.id), '')
$$""",
    # When a ticket gets another customer or property, that row is locked against changes and erasure: either the change
    # waits and then finds the ticket, or this waits and then finds what has changed. If they stay the same, no lock is
    # needed, because the change waits for the ticket's row; and taking one could deadlock with that change.
    r"""
CREATE OR REPLACE FUNCTION ticket_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased timestamptz;
    customer text;
BEGIN
    IF NEW.property_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.property_id IS DISTINCT FROM OLD.property_id) THEN
        PERFORM FROM properties WHERE id = NEW.property_id FOR SHARE;
    END IF;
    IF NEW.customer_id IS NOT NULL THEN
        IF TG_OP = 'INSERT' OR NEW.customer_id IS DISTINCT FROM OLD.customer_id THEN
            SELECT erased_at, name INTO erased, customer FROM customers WHERE id = NEW.customer_id FOR SHARE;
            IF erased IS NOT NULL THEN
                RAISE EXCEPTION 'the customer has been erased' USING ERRCODE = 'serialization_failure';
            END IF;
        ELSE
            SELECT name INTO customer FROM customers WHERE id = NEW.customer_id;
        END IF;
    END IF;
    NEW.search_text := concat_ws(E'\n', search_form(NEW.reference), search_form(NEW.subject),
        search_form(NEW.contact_name), search_form(nullif(customer, NEW.contact_name)));
    NEW.searchable := ticket_searchable(NEW);
    RETURN NEW;
END
$$""",
    """
CREATE OR REPLACE FUNCTION customer_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.searchable := customer_searchable(NEW);
    RETURN NEW;
END
$$""",
    # `written` has the rows that have been added, or those that have been deleted.
    """
CREATE OR REPLACE FUNCTION properties_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM customers WHERE id IN (SELECT customer_id FROM written) ORDER BY id FOR NO KEY UPDATE;
    UPDATE customers SET searchable = '' WHERE id IN (SELECT customer_id FROM written);
    RETURN NULL;
END
$$""",
    # Customers and tickets are locked in the order in which all that locks several of them does. An erasure rewrites
    # the tickets itself, a few at a time.
    """
CREATE OR REPLACE FUNCTION properties_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed uuid[];
BEGIN
    SELECT array_agg(written.id) INTO changed FROM written JOIN overwritten AS was USING (id)
    WHERE (written.address, written.account_number) IS DISTINCT FROM (was.address, was.account_number);
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM customers WHERE id IN (SELECT customer_id FROM written) ORDER BY id FOR NO KEY UPDATE;
    UPDATE customers SET searchable = '' WHERE id IN (SELECT customer_id FROM written);
    SELECT array_agg(written.id) INTO changed FROM written JOIN customers ON customers.id = customer_id
    WHERE erased_at IS NULL AND written.id = ANY (changed);
    PERFORM FROM tickets WHERE property_id = ANY (changed) ORDER BY id FOR NO KEY UPDATE;
    UPDATE tickets SET searchable = '' WHERE property_id = ANY (changed);
    RETURN NULL;
END
$$""",
    # An erasure rewrites images, also the erasure of a server of the previous release, which does not know the column.
    """
CREATE OR REPLACE FUNCTION image_searchable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.before := NEW.before || jsonb_build_object('searchable',
        ticket_searchable(jsonb_populate_record(NULL::tickets, NEW.before)));
    NEW.after := NEW.after || jsonb_build_object('searchable',
        ticket_searchable(jsonb_populate_record(NULL::tickets, NEW.after)));
    RETURN NEW;
END
$$""",
)

TICKET_TRIGGERS: Final = (
    """
CREATE OR REPLACE TRIGGER tickets_search_text
BEFORE INSERT OR UPDATE OF reference, subject, contact_name, contact_email, contact_phone, customer_id, property_id,
    search_text, searchable ON tickets
FOR EACH ROW EXECUTE FUNCTION ticket_search_text()""",
    """
CREATE OR REPLACE TRIGGER ticket_events_searchable BEFORE UPDATE OF before, after ON ticket_events
FOR EACH ROW EXECUTE FUNCTION image_searchable()""",
)

CUSTOMER_TRIGGERS: Final = (
    """
CREATE OR REPLACE TRIGGER customers_search
BEFORE INSERT OR UPDATE OF name, email, phone, account_number, searchable ON customers
FOR EACH ROW EXECUTE FUNCTION customer_search()""",
    """
CREATE OR REPLACE TRIGGER properties_added AFTER INSERT ON properties REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION properties_added()""",
    """
CREATE OR REPLACE TRIGGER properties_deleted AFTER DELETE ON properties REFERENCING OLD TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION properties_added()""",
    """
CREATE OR REPLACE TRIGGER properties_changed AFTER UPDATE ON properties
REFERENCING OLD TABLE AS overwritten NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION properties_changed()""",
    # An erasure rewrites the tickets itself, a few at a time.
    """
CREATE OR REPLACE TRIGGER customers_renamed AFTER UPDATE OF name, account_number ON customers FOR EACH ROW
WHEN ((OLD.name, OLD.account_number) IS DISTINCT FROM (NEW.name, NEW.account_number) AND NEW.erased_at IS NULL)
EXECUTE FUNCTION customer_renamed()""",
)

DROP: Final = (
    "DROP TRIGGER ticket_events_searchable ON ticket_events",
    "DROP TRIGGER properties_changed ON properties",
    "DROP TRIGGER properties_deleted ON properties",
    "DROP TRIGGER properties_added ON properties",
    "DROP TRIGGER customers_search ON customers",
    "DROP FUNCTION image_searchable(), properties_changed(), properties_added(), customer_search()",
    "DROP FUNCTION customer_searchable(customers), ticket_searchable(tickets)",
    "DROP FUNCTION search_pairs_of_words(text), search_patterns(text), search_pattern(text), search_words(text)",
    "DROP FUNCTION search_phrase(text)",
    "DROP FUNCTION search_digits(text), searchable_form(text)",
)
