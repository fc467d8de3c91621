"""Rules for attachments: plain functions on plain values."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from db.enums import ActorKind, AttachmentState, Role
from db.limits import CONTENT_TYPE_MAX, FILE_NAME_MAX

UNKNOWN_TYPE: Final = "application/octet-stream"
UNNAMED: Final = "file"

_TOKEN: Final = r"[a-z0-9!#$&^_.+-]{1,63}"  # RFC 6838, section 4.2
_TYPE: Final = re.compile(rf"{_TOKEN}/{_TOKEN}")
# Controls, formats (which turn the direction of text, and so disguise an extension), surrogates and line ends.
_INVISIBLE: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_RESERVED: Final = frozenset('<>:"|?*\\/')


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How large files may be and how many there may be, in bytes and numbers: those of one ticket, and those that one
    person or one service may attach in 24 hours. An upload has `upload_time` to finish."""

    file_bytes: int
    ticket_files: int
    ticket_bytes: int
    person_files: int
    person_bytes: int
    service_files: int
    service_bytes: int
    upload_time: timedelta

    def of_a_day(self, role: Role) -> tuple[int, int]:
        """The files and bytes that a viewer of the role may attach in 24 hours."""
        if role is Role.SERVICE:
            return self.service_files, self.service_bytes
        return self.person_files, self.person_bytes


def file_name(given: str) -> str:
    """The name without a path, and without characters that no file system takes or that nobody sees; at most
    `FILE_NAME_MAX` characters, of which the extension is kept. `UNNAMED` if nothing is left."""
    text = unicodedata.normalize("NFC", given[: 16 * FILE_NAME_MAX])
    last = re.split(r"[\\/]", text.rstrip("\\/ "))[-1]
    shown = "".join(each for each in last if each.isspace() or unicodedata.category(each) not in _INVISIBLE)
    name = "".join("_" if each in _RESERVED else each for each in " ".join(shown.split())).strip(". ")
    if len(name) > FILE_NAME_MAX:
        stem, dot, extension = name.rpartition(".")
        kept = dot + extension if stem and len(extension) <= 10 else ""
        name = name[: FILE_NAME_MAX - len(kept)].rstrip(". ") + kept
    return name or UNNAMED


def with_extension(name: str, extension: str) -> str:
    """The name with this extension, which begins with a dot, instead of the one that it has."""
    stem = name.rpartition(".")[0] or name
    return stem[: FILE_NAME_MAX - len(extension)] + extension


def media_type(given: str) -> str | None:
    """The media type in lower case, without parameters; None if it is not one."""
    type_ = given.partition(";")[0].strip().lower()
    return type_ if len(type_) <= CONTENT_TYPE_MAX and _TYPE.fullmatch(type_) else None


def event_is_public(attachment: Any, state: AttachmentState) -> bool:
    """Whether customers or services may see the event that the attachment became READY or was REJECTED. Of a rejection
    only the one who attached the file does (`visibility.event`), so that of a staff member's file nobody."""
    if attachment["internal_only"]:
        return False
    return state is AttachmentState.READY or attachment["creator_kind"] in (ActorKind.CUSTOMER, ActorKind.SERVICE)


def is_for_customer(attachment: Any) -> bool:
    """Whether the customer is notified of the attachment: staff have attached it publicly."""
    return not attachment["internal_only"] and attachment["creator_kind"] in (ActorKind.ADMIN, ActorKind.TECHNICIAN)
