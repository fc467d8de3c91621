"""`/push/acknowledge`: where a device says that it has a notice.

A service worker posts the notice's token, as plain text, also when nobody is signed in. The token says which delivery
it is and is signed (`notifiers/vapid.py`), so a wrong one costs no look-up, and takes points from its client alone. So
does one that this process has noted already, or somebody who has a notice could repeat it from many addresses until no
other device could acknowledge any. The others are limited like confirmations of addresses.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from math import ceil
from time import monotonic
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callout.http.confirm_attempts import ConfirmAttempts
from callout.http.context import request_of
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from notifiers.vapid import VapidKey
from resolvers import push

logger = logging.getLogger(__name__)

PATH: Final = "/push/acknowledge"
_SIZE_MAX: Final = 100  # bytes; a token has 43
_NOTED_MAX: Final = 10_000


class Acknowledgements:
    """Which notices are acknowledged, as far as this process has noted it lately. One for each process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: OrderedDict[str, None] = OrderedDict()
        self._noting: dict[str, asyncio.Task[None]] = {}

    def is_known(self, delivery: str) -> bool:
        """Whether the delivery's acknowledgement is noted, or is being noted."""
        return delivery in self._noted or delivery in self._noting

    async def note(self, delivery: str) -> None:
        """Notes it once, however many ask for that. Raises the database's errors."""
        if delivery in self._noted:
            return
        noting = self._noting.get(delivery)
        if noting is None:
            noting = self._noting[delivery] = asyncio.create_task(self._note(delivery))
        await asyncio.shield(noting)

    async def _note(self, delivery: str) -> None:
        try:
            await push.acknowledge(self._database, delivery)
            self._noted[delivery] = None
            if len(self._noted) > _NOTED_MAX:
                self._noted.popitem(last=False)
        finally:
            del self._noting[delivery]


async def acknowledge(request: Request) -> Response:
    attempts: ConfirmAttempts = request.state.acknowledging_attempts
    key: VapidKey | None = request.state.push_key
    info = request_of(request.scope)
    token = await _token(request)
    wait = attempts.begin(info.client, monotonic())
    if wait:
        info.code = "RATE_LIMITED"
        return Response(status_code=429, headers={"retry-after": str(ceil(wait))})
    delivery = None if key is None else key.acknowledged(token)
    if delivery is None:
        attempts.was_no_look_up(info.client, monotonic())
        return Response("This is not the token of a notice.", 400)
    acknowledgements: Acknowledgements = request.state.acknowledgements
    is_known = acknowledgements.is_known(delivery)
    if is_known:
        attempts.was_no_look_up(info.client, monotonic())
    try:
        await acknowledgements.note(delivery)
    except OUTAGE as error:
        if not is_logged(error):
            logger.warning("a notice cannot be acknowledged: %s", error or type(error).__name__)
        return Response(status_code=503, headers={"retry-after": "1"})
    if not is_known:
        attempts.was_right(info.client, monotonic())
    return Response(status_code=204)


async def _token(request: Request) -> str:
    """The body, if it is as short as a token."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _SIZE_MAX:
            return ""
    return body.decode("latin-1").strip()


ROUTES: Final = [Route(PATH, acknowledge, methods=["POST"])]
