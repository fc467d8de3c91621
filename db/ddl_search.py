"""What searches look in, as schema objects that the models cannot express (as in `db/ddl.py`).

`searchable` of a ticket and of a customer is text in the form of `search_fold`, in two parts with a form feed between
them. The first part is what the row itself says. The second is what other rows say: of a ticket its customer and
property, of a customer their properties. Not everyone who sees the row may see these.

Only triggers write it, when the row or one of the others changes.
"""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final = (
    # A text as searches compare it: without case, accents, width, Unicode form, apostrophes and invisible characters;
    # with one kind of hyphen, quotation mark and blank; and with plain letters for those that people type without
    # (`ø`, `ł`, `ß`). Most texts are ASCII, and need little of it. Without regular expressions, where another way is
    # as quick, because each connection compiles them anew.
    r"""
CREATE FUNCTION search_fold(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
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
        form := translate(form, E'\u201c\u201d\u201e\u201f\u00ab\u00bb', repeat('"', 6));
        form := translate(form, E'\u0085\u1680\u2028\u2029\u2018\u2019\u201a\u201b\u02b9\u02bb\u02bc\u02bd\u2032\u2035',
            '    ');  -- the others are apostrophes
        form := normalize(form, NFC);
    END IF;
    form := translate(form, E'\t\n\v\f\r''`', '     ');
    RETURN btrim(replace(replace(replace(form, ' ', E' \x01'), E'\x01 ', ''), E'\x01', ''));
END
$$""",
    # The digits of a phone number, without those of an extension, which begins with a letter or one of `#*,;`.
    """
CREATE FUNCTION search_digits(phone text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(nullif(translate(main, translate(main, '0123456789', ''), ''), ''),
        translate(form, translate(form, '0123456789', ''), ''))
    FROM (SELECT search_fold(phone)) AS given (form),
        split_part(translate(form, 'abcdefghijklmnopqrstuvwxyz#*,;', repeat('x', 30)), 'x', 1) AS main
$$""",
    # The words of a search term, the longest first. Punctuation around a word is no part of it, unless it is all there
    # is.
    """
CREATE FUNCTION search_words(term text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(word ORDER BY length(word) DESC, word COLLATE "C"), '{}') FROM (
        SELECT DISTINCT coalesce(nullif(btrim(typed, '#+.,;:!?()[]{}<>"'), ''), typed) AS word
        FROM string_to_table(search_fold(term), ' ') AS typed WHERE typed <> ''
    ) AS each
$$""",
    # For each word of a search term, the LIKE pattern of the texts that contain it.
    r"""
CREATE FUNCTION search_patterns(term text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT ARRAY(
        SELECT '%' || replace(replace(replace(word, '\', '\\'), '%', '\%'), '_', '\_') || '%'
        FROM unnest(search_words(term)) WITH ORDINALITY AS each (word, place) ORDER BY place
    )
$$""",
)

DROP: Final = ("DROP FUNCTION search_patterns(text), search_words(text), search_digits(text), search_fold(text)",)
