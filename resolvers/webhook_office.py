"""What the mutations of webhooks need of the rooms above: to try a document as a subscription, and stream cursors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from db.viewer import Viewer
from notifiers.webhook_sender import WebhookSender


class WebhookOffice(ABC):
    """Serves one call, at the expense of its viewer's budget."""

    sender: WebhookSender

    @abstractmethod
    async def check(self, document: str, variables: Mapping[str, Any], author: Viewer) -> None:
        """Raises `Refused` if the document is not a subscription with a stream cursor, is not valid, costs too much, or
        has what its author may not read."""

    @abstractmethod
    async def start(self, document: str, variables: Mapping[str, Any], author: Viewer) -> str:
        """Returns the position at which the document's subscription starts, as it is stored. Raises `Refused` like
        `check`, and if the cursor that it is to start after cannot be used."""

    @abstractmethod
    async def position(self, cursor: str) -> str:
        """Returns the position in a stream cursor, as it is stored. Raises `Refused` if no stream can continue from
        it."""

    @abstractmethod
    async def test_message(self, document: str, variables: Mapping[str, Any], author: Viewer) -> bytes:
        """Returns the body of a test message. Raises `Refused` like `check`."""
