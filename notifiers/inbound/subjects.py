"""The prefixes that mail programs put before a subject when they reply or forward."""

from __future__ import annotations

import re

from notifiers.inbound.languages import words

_TAGS = re.compile(r"(?:\s*(?:\[[^\]]{0,60}\]|\*{1,3}[\w ]{1,20}\*{1,3}))*\s*")
_PREFIX = re.compile(
    r"([^\W\d_][^\s\d:\uff1a()\[\]^]{0,14}(?: [^\s\d:\uff1a()\[\]^]{1,12})?)\s*(?:[\[(]\d+[\])]|\^\d+)?\s*[:\uff1a]"
)
_REPLIES = words("reply")
_FORWARDS = words("forward")
_SHORT = 3
"""Unknown prefixes of up to so many letters are taken for a forward's: to keep too much is better than too little."""


def is_reply(subject: str, *, in_thread: bool) -> bool:
    """Whether the message replies to another, by its subject, and by whether it names the message that it follows."""
    tags = _TAGS.match(subject)
    found = _PREFIX.match(subject, tags.end() if tags else 0)
    word = found[1].lower().replace("\u0307", "").rstrip(".") if found else ""  # a Turkish I in lower case has this dot
    if word in _REPLIES:
        return True
    return in_thread and not (word in _FORWARDS or 0 < len(word) <= _SHORT)
