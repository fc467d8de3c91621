"""Trusted documents: those of the clients that the company has built, from a manifest that their build has made. The
server may be set to accept no others (`persisted.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

SHA256: Final = "sha256:"
"""What ids begin with that are the hash of their document (GraphQL over HTTP, appendix on persisted documents)."""

_FORMAT: Final = "apollo-persisted-query-manifest"


def read_manifest(path: Path) -> dict[str, str]:
    """Returns the documents of a manifest by their ids. It is Apollo's, or an object of the form `{id: document}`, as
    graphql-codegen and Relay write. Raises `ValueError` if the file cannot be read or is neither."""
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if isinstance(content, dict) and content.get("format") == _FORMAT:
        content = _by_id(content, path)
    if not isinstance(content, dict) or not all(isinstance(each, str) for entry in content.items() for each in entry):
        raise ValueError(f"{path} must be Apollo's manifest, or an object of the form {{id: document}}")
    return content


def _by_id(manifest: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if manifest.get("version") != 1:
        raise ValueError(f"{path} must have version 1")
    try:
        return {operation["id"]: operation["body"] for operation in manifest["operations"]}
    except (KeyError, TypeError):
        raise ValueError(f"{path} must have `operations`, each with `id` and `body`") from None


class TrustedDocuments:
    """The documents of a manifest. Each is found by its id there, and by `sha256:` and its hash (GraphQL over HTTP,
    appendix on persisted documents). If they are the `only` ones, all others are refused."""

    def __init__(self, documents: Mapping[str, str], *, only: bool = False) -> None:
        self.only = only
        self._texts = frozenset(documents.values())
        self._by_id = {SHA256 + hash_of(text): text for text in self._texts} | dict(documents)

    def with_documents(self, more: Mapping[str, str]) -> TrustedDocuments:
        """These documents and others; where two have the same id, it is that of the former."""
        return TrustedDocuments({**more, **self._by_id}, only=self.only)

    def get(self, id: str) -> str | None:
        return self._by_id.get(id)

    def __contains__(self, text: str) -> bool:
        return text in self._texts


def hash_of(text: str) -> str:
    """The SHA-256 of the text in UTF-8, in lower-case hexadecimal digits."""
    return sha256(text.encode()).hexdigest()
