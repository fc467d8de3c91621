"""Searches a whole database for texts, in every column of every table and in the planner's statistics."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.helpers.database_checks import Database

_COLUMNS = """
SELECT relname, attname, typname
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid JOIN pg_type ON pg_type.oid = atttypid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm') AND attnum > 0 AND NOT attisdropped
ORDER BY relname, attnum"""

_STATISTICS = """
SELECT tablename || '.' || attname || ' statistics' AS place,
    concat_ws(' ', most_common_vals::text, most_common_elems::text, histogram_bounds::text) AS text
FROM pg_stats WHERE schemaname = 'public'"""


async def text_columns(database: Database) -> set[str]:
    """Returns all columns, as `table.column`, whose types can have texts."""
    types = {"text", "_text", "json", "jsonb", "bytea", "tsvector", "varchar", "bpchar", "citext", "xml", "hstore"}
    return {f"{table}.{column}" for table, column, type_ in await database.fetch(_COLUMNS) if type_ in types}


async def places_of(database: Database, texts: Sequence[str]) -> set[str]:
    """Returns the columns, as `table.column`, that have one of the texts somewhere. Only their letters and digits are
    compared, ignoring case, so that a phone number is found however it is written."""
    sources = [_STATISTICS]
    for table, column, type_ in await database.fetch(_COLUMNS):
        # `escape` leaves text readable, and `jsonb` undoes escapes such as \u00e9.
        text = {"bytea": f"encode({column}, 'escape')", "json": f"{column}::jsonb::text"}.get(type_, f"{column}::text")
        sources.append(f"SELECT '{table}.{column}', {text} FROM {table}")
    searched = f"""
        SELECT DISTINCT place FROM ({" UNION ALL ".join(sources)}) AS source (place, text), unnest($1::text[]) AS sought
        WHERE strpos(regexp_replace(lower(text), '[^[:alnum:]]', '', 'g'), sought) > 0"""
    letters = [re.sub(r"[\W_]", "", text.lower()) for text in texts]
    return {place for (place,) in await database.fetch(searched, letters)}
