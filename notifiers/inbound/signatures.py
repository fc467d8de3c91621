"""Signatures: what follows the separator of RFC 3676, section 4.3, and the lines that phones and mail programs add.

A line of dashes is often a divider, and "Sent from my neighbour's phone, mine is broken." a sentence. So what follows a
separator without its space is a signature only if it begins with the sender's name, and a line about a device only if
it names a product and says nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from notifiers.inbound.languages import any_of

_LINES_MAX = 15  # of a signature
_LOOKED_AT_MAX = 50  # lines at the end of a text
_NAME_LINES = 3  # in which the sender's name stands

_SEPARATOR = re.compile("-- ?|\u2014")
_PRODUCT = re.compile(
    r"""\b(?:iphone|ipad|ipod|android|samsung|galaxy|huawei|xiaomi|redmi|oppo|nokia|motorola|lg|htc|sony|xperia|pixel|
    oneplus|blackberry|windows|outlook|yahoo|gmail|mail|e-?mail|protonmail|proton|airmail|mailbox|k-9|nine|spark|aol|
    thunderbird|verizon|smartphone|handy|mobile|mobil\w*|celular|tablet|device|telefon\w*|t-mobile|at&t|bluemail|gmx|
    web\.de|orange|sfr)\b|iphon|ipad|android|<https?://\S+>$""",
    re.IGNORECASE | re.VERBOSE,
)
_DEVICE = re.compile(rf"\W*{any_of('device')}|.{{0,80}}{any_of('device')}\W*$", re.IGNORECASE)
_SENTENCE = re.compile(r"[,;!?]\s|['\u2019]s\s|\.\s+\w")
_DEVICE_MAX = 90  # characters


def signature(lines: Sequence[str], sender: str = "", *, alone: bool = False) -> int:
    """The number of lines before the signature, or of all if there is none. What begins with a signature is kept whole,
    unless it may be one that stands `alone`, below a quote."""
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines)) - alone
    separators = [number for number, line in enumerate(lines) if _SEPARATOR.fullmatch(line)]
    if separators and separators[-1] > first and _is_signature(lines, separators, sender):
        return _before_devices(lines, first, separators[-1], sender)
    return _before_devices(lines, first, len(lines), sender)


def _is_signature(lines: Sequence[str], separators: Sequence[int], sender: str) -> bool:
    below = [line for line in lines[separators[-1] + 1 :] if line.strip()]
    if not 0 < len(below) <= _LINES_MAX:
        return False
    is_standard = lines[separators[-1]] == "-- " and len(separators) == 1
    return is_standard or _names(below[:_NAME_LINES], sender)


def _before_devices(lines: Sequence[str], first: int, end: int, sender: str) -> int:
    """The end of the text above the lines about devices, below which at most the sender's name stands."""
    found = end
    for number in range(end - 1, max(first, end - _LOOKED_AT_MAX), -1):
        if is_device(lines[number]):
            below = [line for line in lines[number + 1 : found] if line.strip()]
            if not below or (len(below) <= _NAME_LINES and _names(below, sender)):
                found = number
            else:
                break
    return found


def is_device(line: str) -> bool:
    """Whether a mail program on a device has added this line."""
    line = line.strip()
    if len(line) > _DEVICE_MAX or _SENTENCE.search(line):
        return False
    return bool(_PRODUCT.search(line) and _DEVICE.match(line))


def _names(lines: Sequence[str], sender: str) -> bool:
    words = set(re.findall(r"\w{3,}", sender.lower()))
    return bool(words & set(re.findall(r"\w{3,}", " ".join(lines).lower())))
