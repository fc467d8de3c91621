"""The erasure of a customer from webhooks: their URLs, documents and variables, and what the audit trail has of them.

A webhook that has lost something means something else than before, so it is suspended. In each of these texts the
values may be written with escapes. Where only the text without them has a value, the whole of it is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus, urlsplit

from db.erasure import placeholders

ERASED: Final = "A customer was erased whose personal data the webhook had. Update it, then resume it."

_TEXTS: Final = ("url", "document", "variables")
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_BLANK: Final = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}

_WEBHOOKS: Final = "SELECT id::text, url, document, variables, suspended_said FROM webhooks"
_LOCK: Final = f"{_WEBHOOKS} WHERE id = $1::uuid FOR NO KEY UPDATE"

_REWRITE: Final = """
UPDATE webhooks SET url = $2, document = $3, variables = $4, state = 'SUSPENDED', suspension = 'ERASED',
    suspended_said = $5, suspended_at = now(), notice_due_at = now(), claim = claim + 1, worker_id = NULL,
    next_attempt_at = NULL
WHERE id = $1::uuid"""

_SAID: Final = "UPDATE webhooks SET suspended_said = $2 WHERE id = $1::uuid"

_ENTRIES: Final = """
SELECT id::text, before::text AS before, after::text AS after FROM audit_entries WHERE object_kind = 'WEBHOOK'"""

_REWRITE_ENTRY: Final = """
UPDATE audit_entries SET before = $2::text::jsonb, after = $3::text::jsonb WHERE id = $1::uuid"""


async def erase(transaction: Any, pattern: str) -> None:
    """Replaces what the pattern finds, in a transaction that names the erasure."""
    sought = re.compile(pattern, re.IGNORECASE)
    for row in await transaction.fetch(_WEBHOOKS):
        if _changes(row, sought):
            locked = await transaction.fetchrow(_LOCK, row["id"])  # only these: workers wait for the erasure's commit
            if locked is not None:
                await _rewrite(transaction, locked, sought)
    for entry in await transaction.fetch(_ENTRIES):
        before, after = (None if side is None else json.loads(side) for side in (entry["before"], entry["after"]))
        cleaned = [None if image is None else image | _without(image, sought) for image in (before, after)]
        if cleaned != [before, after]:
            images = (None if image is None else json.dumps(image) for image in cleaned)
            await transaction.execute(_REWRITE_ENTRY, entry["id"], *images)


def _changes(row: Mapping[str, Any], sought: re.Pattern[str]) -> bool:
    was = {name: row[name] for name in _TEXTS}
    return _without(was, sought) != was or sought.search(row["suspended_said"] or "") is not None


async def _rewrite(transaction: Any, row: Mapping[str, Any], sought: re.Pattern[str]) -> None:
    was = {name: row[name] for name in _TEXTS}
    now = _without(was, sought)
    if now != was:
        await transaction.execute(_REWRITE, row["id"], *now.values(), ERASED)
    elif row["suspended_said"] is not None:
        await transaction.execute(_SAID, row["id"], sought.sub(placeholders.TEXT, row["suspended_said"]))


def _without(texts: Mapping[str, str], sought: re.Pattern[str]) -> dict[str, str]:
    erasers = {"url": _url, "document": _document, "variables": _variables}
    return {name: erase_one(texts[name], sought) for name, erase_one in erasers.items() if name in texts}


def _url(url: str, sought: re.Pattern[str]) -> str:
    if not sought.search(unquote_plus(url)):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{sought.sub('erased', parts.netloc)}/{placeholders.TEXT}"


def _document(document: str, sought: re.Pattern[str]) -> str:
    erased = sought.sub(placeholders.TEXT, document)
    return placeholders.TEXT if sought.search(_unescaped(erased)) else erased


def _variables(variables: str, sought: re.Pattern[str]) -> str:
    try:
        values = json.loads(variables)
    except ValueError:
        return "{}" if sought.search(_unescaped(variables)) else variables
    erased = _value(values, sought)
    return variables if erased == values else json.dumps(erased, ensure_ascii=False)


def _value(value: Any, sought: re.Pattern[str]) -> Any:
    match value:
        case str():
            return sought.sub(placeholders.TEXT, value)
        case list():
            return [_value(each, sought) for each in value]
        case dict():
            return {_value(name, sought): _value(each, sought) for name, each in value.items()}
        case int() | float() if not isinstance(value, bool) and sought.search(str(value)):
            return 0
    return value


def _unescaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        if code is None:
            return _BLANK.get(found[3], found[3])
        return chr(number) if (number := int(code, 16)) < 0x110000 else ""

    return _ESCAPE.sub(character, text)
