"""What mutations and requests that deal with attached files need."""

from __future__ import annotations

from dataclasses import dataclass

from db.object_store import ObjectStore
from resolvers.attachment_rules import FileLimits


@dataclass(frozen=True, slots=True)
class Files:
    """The object store, and how many files may be attached."""

    store: ObjectStore
    limits: FileLimits
