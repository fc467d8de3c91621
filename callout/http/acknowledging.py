"""`/push/acknowledge`: where a device says that it has a notice.

A service worker posts the notice's token, as plain text, also when nobody is signed in. The token says which delivery
it is and is signed (`notifiers/vapid.py`), so a wrong one costs no look-up, and takes points from its client alone;
right ones are limited like confirmations of addresses.
"""

from __future__ import annotations

import logging
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
    database: Database = request.state.database
    try:
        await push.acknowledge(database, delivery)
    except OUTAGE as error:
        if not is_logged(error):
            logger.warning("a notice cannot be acknowledged: %s", error or type(error).__name__)
        return Response(status_code=503, headers={"retry-after": "1"})
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
