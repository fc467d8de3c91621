"""Documents that requests name instead of containing them.

- *Trusted documents* are those of the clients that the company has built, from a manifest that their build has made.
  The server may be set to accept no others.
- *Persisted queries* are Apollo's automatic ones: a client sends the hash of its document, and the document as well if
  the server answers that it does not know it. Each viewer has a share of their own: hashes that others have registered
  say nothing about what these have asked, and nobody loses documents because others register more.

`docs/decisions/persisted-documents.md` has the reasons.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from sys import getsizeof
from typing import Final, TypeAlias

from callout.execution.answer import BadRequest
from callout.execution.request import GraphQLRequest
from callout.execution.trusted import SHA256, TrustedDocuments, hash_of
from db.enums import Role
from db.errors import ClientError
from db.ids import shown
from db.viewer import Viewer

SHARE_ENTRIES: Final = 200
"""The most documents that are kept for a viewer; the one that they have not used for the longest time goes first."""
SHARE_BYTES: Final = 512 * 2**10
"""The most memory for the documents of one viewer."""
TOTAL_BYTES: Final = 32 * 2**20
"""The most memory for the documents of all viewers, in which a text that several have registered counts once."""

_SIZES_PER_SHARE: Final = 8  # more are forgotten, all but the present one
_ENTRY_BYTES: Final = 250  # of a document in a share, besides its text

_Key: TypeAlias = tuple[Role, str]


class PersistedQueryNotFound(ClientError):
    """No document has this hash. Apollo's clients and urql's know the message and the code, and send the document."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class DocumentNotFound(ClientError):
    """No trusted document has this id."""

    code = "DOCUMENT_NOT_FOUND"


class DocumentNotTrusted(ClientError):
    """The server accepts trusted documents only, and this is none."""

    code = "DOCUMENT_NOT_TRUSTED"


@dataclass(eq=False, slots=True)
class _Query:
    hash: str
    text: str
    holders: int = 0

    @property
    def size(self) -> int:
        return getsizeof(self.text) + _ENTRY_BYTES


class _Share(OrderedDict[str, _Query]):
    """The documents of one viewer by their hashes, the most recently used last."""

    size = 0


class PersistedQueries:
    """The documents that clients have registered, in shares of viewers. One for each process."""

    def __init__(self, total_bytes: int = TOTAL_BYTES) -> None:
        self._total_bytes = total_bytes
        self._shares: dict[_Key, _Share] = {}
        self._queries: dict[str, _Query] = {}
        # Each size that a share has had, the largest first, with whose it is: looking at all shares for the largest
        # would take as long as there are viewers, for each document.
        self._sizes: list[tuple[int, _Key]] = []
        self.size = 0
        """The memory that all of it takes, roughly."""

    def get(self, viewer: Viewer, hash: str) -> str | None:
        share = self._shares.get((viewer.role, viewer.id))
        if share is None or hash not in share:
            return None
        share.move_to_end(hash)
        return share[hash].text

    def keep(self, viewer: Viewer, hash: str, text: str) -> None:
        """Keeps the document for the viewer, unless it is larger than their share. If there is no space left for all,
        the viewer who takes the most of it loses their documents."""
        query = self._queries.get(hash) or _Query(hash, text)
        if query.size > SHARE_BYTES:
            return
        key = (viewer.role, viewer.id)
        share = self._shares.setdefault(key, _Share())
        if hash in share:
            return
        while len(share) >= SHARE_ENTRIES or share.size + query.size > SHARE_BYTES:
            self._drop_oldest(share)
        self._add(share, query)
        self._note_size(key, share)
        while self.size > self._total_bytes:
            self._drop_largest()

    def forget(self) -> None:
        """Forgets all documents."""
        self._shares.clear()
        self._queries.clear()
        self._sizes.clear()
        self.size = 0

    def _add(self, share: _Share, query: _Query) -> None:
        self.size += _ENTRY_BYTES if query.holders else query.size
        share.size += query.size
        query.holders += 1
        self._queries[query.hash] = share[query.hash] = query

    def _drop_oldest(self, share: _Share) -> None:
        _, query = share.popitem(last=False)
        query.holders -= 1
        share.size -= query.size
        self.size -= _ENTRY_BYTES if query.holders else query.size
        if not query.holders:
            del self._queries[query.hash]

    def _drop_largest(self) -> None:
        size, key = heappop(self._sizes)
        share = self._shares.get(key)
        if share is None or share.size != -size:
            return  # it has another size by now, which comes later
        del self._shares[key]
        while share:
            self._drop_oldest(share)

    def _note_size(self, key: _Key, share: _Share) -> None:
        heappush(self._sizes, (-share.size, key))
        if len(self._sizes) > _SIZES_PER_SHARE * len(self._shares):
            self._sizes = [(-each.size, key) for key, each in self._shares.items()]
            heapify(self._sizes)


class PersistedDocuments:
    """Finds the text of a request's document."""

    def __init__(self, trusted: TrustedDocuments | None = None) -> None:
        self._trusted = trusted or TrustedDocuments({})
        self._queries = PersistedQueries()

    def text_of(self, request: GraphQLRequest, viewer: Viewer) -> str:
        """Returns the text of the request's document. Raises `PersistedQueryNotFound`, `DocumentNotFound` or
        `DocumentNotTrusted`, and `BadRequest` if the document does not have the hash that is sent with it."""
        if request.query is None:
            return self._found(request, viewer)
        if self._trusted.only and request.query not in self._trusted:
            raise DocumentNotTrusted("This server accepts only the documents that it has been given beforehand.")
        if request.hash is not None and not self._has_hash(request.query, request.hash):
            raise BadRequest("The document does not have the hash in `extensions.persistedQuery.sha256Hash`.")
        return request.query

    def keep(self, request: GraphQLRequest, viewer: Viewer) -> None:
        """Keeps the request's document under the hash that is sent with it. It must be valid."""
        if request.query is not None and request.hash is not None and request.query not in self._trusted:
            self._queries.keep(viewer, request.hash, request.query)

    def forget(self) -> None:
        """Forgets what clients have registered."""
        self._queries.forget()

    def _found(self, request: GraphQLRequest, viewer: Viewer) -> str:
        id = request.document_id if request.hash is None else request.hash
        assert id is not None, "a request has a document, its id or its hash"
        text = self._trusted.get(id) or (None if request.hash is None else self._trusted.get(SHA256 + id))
        if text is not None:
            return text
        if self._trusted.only:
            raise DocumentNotTrusted("This server has not been given a document with this id.")
        text = self._queries.get(viewer, id.removeprefix(SHA256))
        if text is not None:
            return text
        if request.hash is not None:
            raise PersistedQueryNotFound("PersistedQueryNotFound")
        raise DocumentNotFound(f"There is no document with the id {shown(id)}.")

    def _has_hash(self, text: str, hash: str) -> bool:
        return self._trusted.get(hash) == text or hash_of(text) == hash
