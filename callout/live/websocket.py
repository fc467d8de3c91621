"""WebSockets: an implementation of `graphql-transport-ws` (enisdenjo/graphql-ws, PROTOCOL.md).

It uses ASGI directly, because sending a message to a thousand sockets must cost little for each. A client's mistake
closes the socket with the protocol's close code. Other codes mean that the client should reconnect: 1013 after overload
or for slow readers (`pubsub/send_queue.py`), 1012 at shutdown (sent by uvicorn), 4403 with a new token once the old one
has expired.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Final

import orjson
from starlette.types import Message, Receive, Scope, Send

from callout.execution.budgets import hold_back
from callout.execution.cost import REQUEST, price_of_bytes
from callout.execution.request import GraphQLRequest, InvalidRequest, parse_request
from callout.http import session_cookie
from callout.http.access_log import AccessLog
from callout.http.context import CURRENT, RequestInfo, request_of
from callout.http.errors import AuthenticationUnavailable, HttpError, Internal, Unauthenticated, error_body
from callout.live.device_streams import DeviceStream, ReceivedEvents
from callout.live.operations import Answered, Following, LiveApplication, Rejected
from callout.monitoring.operations import OPERATIONS
from callout.monitoring.tracing import began
from db.errors import ClientError, LimitExceeded, RateLimited
from db.limits import DEVICE_ID_MAX
from db.metrics import Counter
from db.timing import SPENT
from pubsub.connections import Connections, LiveConnection, Session, Times
from pubsub.hub import Hub
from pubsub.presence import Presences
from pubsub.send_queue import UNREAD, SendQueue
from pubsub.subscriber import Subscriber, SubscriptionHandle

logger = logging.getLogger(__name__)

SUBPROTOCOL: Final = "graphql-transport-ws"
OPERATIONS_MAX: Final = 100  # of one socket at a time
ID_MAX: Final = 200  # characters of an operation's id
ORIGIN_SHOWN: Final = 200  # characters
FREE_SIZE: Final = 1_000  # characters; a larger message is paid
REASON_MAX: Final = 123  # bytes of a close frame's reason (RFC 6455, section 5.5)

NORMAL, TRY_AGAIN, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN = 1000, 1013, 4400, 4401, 4403
SUBPROTOCOL_UNACCEPTABLE, INIT_TIMEOUT, ALREADY_SUBSCRIBED, TOO_MANY_INITS = 4406, 4408, 4409, 4429


_CLOSED: Final = Counter(
    "callout_sockets_closed", "WebSockets that the server has refused or closed, by the reason's code.", ("code",)
)


class Closed(Exception):
    """Raised to close the socket with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Sockets:
    """The ASGI application at `/graphql` for WebSockets."""

    def __init__(
        self,
        live: LiveApplication,
        hub: Hub,
        connections: Connections,
        times: Times,
        access_log: AccessLog,
        presences: Presences,
        received_events: ReceivedEvents,
    ) -> None:
        self.live = live
        self.presences = presences
        self.hub = hub
        self.connections = connections
        self.times = times
        self.access_log = access_log
        self.received_events = received_events

        self._payload = b""
        self._frames: dict[bytes, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Socket(self, scope, receive, send).run()

    def frame(self, head: bytes, payload: bytes) -> bytes:
        """Returns the frame of a message. A group's subscribers share it if their messages have the same head, so it is
        kept until the next payload."""
        if payload is not self._payload:
            self._payload, self._frames = payload, {}
        frame = self._frames.get(head)
        if frame is None:
            frame = self._frames[head] = _frame(b"%b%b}" % (head, payload))
        return frame


class _Operation(Subscriber):
    """An operation on a socket: `task` executes it; if it is a subscription, `subscription` follows."""

    def __init__(self, socket: _Socket, id: str, info: RequestInfo) -> None:
        self.id = id
        self.info = info
        self.began_at = perf_counter()
        self.task: asyncio.Task[None] | None = None
        self.subscription: SubscriptionHandle | None = None
        self._socket = socket
        self._head = b'{"id":%b,"type":"next","payload":' % orjson.dumps(id)

    def end(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.subscription is not None:
            self.subscription.end()

    def deliver(self, payload: bytes) -> None:
        self._socket.put_payload(self._head, payload)

    @property
    def is_behind(self) -> bool:
        return len(self._socket.queue) > 0

    async def drained(self) -> None:
        await self._socket.drained()

    def fail(self) -> None:
        self._socket.close(TRY_AGAIN, "Try again later")


class _DeviceOperation(_Operation):
    """An operation of a device, which is asked what of it has arrived."""

    def __init__(self, socket: _Socket, id: str, info: RequestInfo, device: DeviceStream) -> None:
        super().__init__(socket, id, info)
        self._device = device

    def deliver(self, payload: bytes) -> None:
        super().deliver(payload)
        event = None if self.subscription is None else self.subscription.event()
        if event is not None:
            self._device.delivered(event)


class _Socket(LiveConnection):
    transport = "websocket"

    def __init__(self, sockets: Sockets, scope: Scope, receive: Receive, send: Send) -> None:
        self._sockets = sockets
        self._scope = scope
        self._info = request_of(scope)
        self._headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        self._subprotocols: Sequence[str] = scope.get("subprotocols", ())
        self._receive = receive
        self._send = send
        self.queue = SendQueue()
        self._closing: tuple[int, str] | None = None
        # The `FramingProtocol` of `callout serve`. With another server every message goes through the queue.
        protocol = getattr(send, "__self__", None)
        self._write_frame: Callable[[bytes], bool] = getattr(protocol, "write_frame", lambda frame: False)
        self._heard_at = self._opened_at = time.monotonic()
        self._pinged_at = 0.0
        self._operations: dict[str, _Operation] = {}
        self._admission: asyncio.Task[None] | None = None
        self._device_id: str | None = None
        self._device: DeviceStream | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    # Called by operations, the hub and `Connections`

    def put(self, *messages: bytes) -> None:
        """Sends messages after those that wait, with one call of the system if none do. Never blocks; closes the socket
        if the queue is full."""
        if self._closing is not None or (self.queue.resting and self._write_frame(b"".join(map(_frame, messages)))):
            return
        if not all(map(self.queue.put, messages)):
            self.close(TRY_AGAIN, UNREAD)

    def put_payload(self, head: bytes, payload: bytes) -> None:
        """Sends the message `head` + `payload` + `}`, like `put`. Waking the writer task for each socket and message
        would cost as much as everything else together, so if nothing waits, the frame is written directly."""
        if not (self.queue.resting and self._write_frame(self._sockets.frame(head, payload))):
            self.put(b"%b%b}" % (head, payload))

    async def drained(self) -> None:
        await self.queue.drained()

    def close(self, code: int, reason: str) -> None:
        """Closes the socket; discards messages that still wait, and ends the operations."""
        if self._closing is None:
            self._closing = (code, reason.encode()[:REASON_MAX].decode(errors="ignore"))
            if self._info.code is None:
                self._info.code, self._info.reason = str(code), reason
            self.queue.clear()
            self.queue.wake()
            self._end_operations()

    def check(self, now: float) -> None:
        """Enforces the time limits: writing, initialisation, the token's expiry and the client's silence."""
        session, times = self.session, self._sockets.times
        if self.queue.stalled(now):
            self._abandon()  # a close frame could not be sent either
        elif self._admission is None:
            if now - self._opened_at > times.init:
                self.close(INIT_TIMEOUT, "Connection initialisation timeout")
        elif session is not None and session.expired:
            self.close(FORBIDDEN, "Forbidden: the token has expired")
        elif now - self._heard_at > times.silence:
            self.close(TRY_AGAIN, "No answer to the ping")
        elif now - self._heard_at > times.ping and now - self._pinged_at > times.ping:
            self._pinged_at = now
            self.put(b'{"type":"ping"}')

    def forbid(self) -> None:
        self.close(FORBIDDEN, "Forbidden")

    # Lifecycle

    async def run(self) -> None:
        began_at = perf_counter()
        try:
            await self._serve()
        finally:
            if self._info.code is not None:
                _CLOSED.add(self._info.code)
                self._sockets.access_log.add_connection(self._scope, perf_counter() - began_at, self._info)

    async def _serve(self) -> None:
        await self._receive()  # websocket.connect
        origin, host = self._headers.get(b"origin"), self._headers.get(b"host", "")
        if origin is not None and not self._sockets.live.allows(origin, host):
            await self._refuse_origin(origin, host)
            return
        offered = SUBPROTOCOL in self._subprotocols
        await self._send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if offered else None})
        if not offered:
            self.close(SUBPROTOCOL_UNACCEPTABLE, "Subprotocol not acceptable")
        self._sockets.connections.enter(self)
        self._tasks = (asyncio.create_task(self._read()), asyncio.create_task(self._write()))
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave()

    async def _refuse_origin(self, origin: str, host: str) -> None:
        """Answers the handshake with the status 403. Behind a proxy the reason is most often a `Host` header that the
        proxy has changed, so both sides of the comparison are shown."""
        self._info.code = "FORBIDDEN"
        self._info.reason = f"pages of {origin[:ORIGIN_SHOWN]} may not open sockets of {host[:ORIGIN_SHOWN]}"
        body = error_body(
            f"Pages of the origin {origin[:ORIGIN_SHOWN]!r} may not open sockets here: the request's Host is"
            f" {host[:ORIGIN_SHOWN]!r}, and CALLOUT_ALLOWED_ORIGINS does not list the origin.",
            self._info.code,
            self._info.id,
        )
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self._send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})

    def _leave(self) -> None:
        self._sockets.connections.leave(self)
        self._end_operations()
        if self._device is not None:
            self._device.end()
        self._abandon()
        if self._admission is not None:
            self._admission.cancel()

    def _abandon(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _end_operations(self) -> None:
        """Ends the operations, and then what is bound to the socket: none of them can bind anything more."""
        for id in list(self._operations):
            self._end(id)
        if self.session is not None:
            self._sockets.presences.disconnected(self.session)

    async def _write(self) -> None:
        """Sends the messages that wait, as fast as the client reads, and the close frame."""
        try:
            while self._closing is None:
                while self.queue:
                    text = self.queue.take().decode()
                    await self.queue.sent(self._send({"type": "websocket.send", "text": text}))
                if self._closing is None:
                    await self.queue.filled()
            code, reason = self._closing
            await self.queue.sent(self._send({"type": "websocket.close", "code": code, "reason": reason}))
        except OSError:
            return  # the client has gone

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if self._closing is not None:
                continue
            self._heard_at = time.monotonic()
            try:
                self._pay_for(message)
                self._handle(_parsed(message))
            except Closed as closed:
                self.close(closed.code, closed.reason)
            await asyncio.sleep(0)  # thousands of messages that have arrived together must not hold up other clients

    # Messages

    def _pay_for(self, message: Message) -> None:
        """Pays for a large message before it is parsed. Raises `Closed` if the viewer's budget does not allow it: whose
        operation it would be is not known."""
        size = len(message.get("text") or "")
        if self.session is not None and size > FREE_SIZE:
            try:
                self._sockets.live.charge(self.session).spend(price_of_bytes(size))
            except ClientError:
                raise Closed(TRY_AGAIN, "Rate limited") from None

    def _handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "connection_init":
                self._initialise(_payload(message))
            case "ping":
                _payload(message)
                self.put(b'{"type":"pong"}')
            case "pong":
                payload = _payload(message)
                if self._device is not None:
                    self._device.answered(payload)
            case "subscribe":
                self._subscribe(_id(message), message.get("payload"))
            case "complete":
                self._end(_id(message))
            case _:
                raise Closed(BAD_REQUEST, "Unknown message type")

    def _initialise(self, payload: dict[str, Any]) -> None:
        if self._admission is not None:
            raise Closed(TOO_MANY_INITS, "Too many initialisation requests")
        given = {name.lower(): value for name, value in payload.items()}.get("authorization")
        if given is not None and not isinstance(given, str):
            raise Closed(BAD_REQUEST, "`authorization` must be a string")
        self._device_id = _device_id(payload)
        self._admission = asyncio.create_task(self._admit(given or self._authorization()))

    def _authorization(self) -> str | None:
        """The handshake's `Authorization`, or what the cookie of a session stands for. A browser says which page opens
        a socket, and only one of our own may use the cookie."""
        authorization: str | None = self._headers.get(b"authorization")
        if authorization is not None:
            return authorization
        secret = session_cookie.secret_in(self._scope["headers"])
        if secret is None:
            return None
        origin, host = (self._headers.get(name, "").encode() for name in (b"origin", b"host"))
        if not session_cookie.is_own(origin, host):
            raise Closed(FORBIDDEN, "Forbidden: a session's cookie needs the server's own origin")
        return f"Bearer {secret}"

    async def _admit(self, authorization: str | None) -> None:
        try:
            async with asyncio.timeout(self._sockets.times.admission):
                session = await self._sockets.live.admit(authorization, self._info.client)
        except Unauthenticated as error:
            self._info.code, self._info.reason = error.extension_code, error.reason
            self.close(FORBIDDEN, f"Forbidden: {error.message}")
        except (HttpError, TimeoutError) as error:
            self._info.code = AuthenticationUnavailable.code
            self._info.reason = error.reason if isinstance(error, HttpError) else "the token was not checked in time"
            self.close(TRY_AGAIN, "Try again later")
        except Exception:
            logger.exception("cannot admit a client")
            self.close(TRY_AGAIN, "Try again later")
        else:
            if not self._sockets.connections.admit(self, session):
                self.close(TRY_AGAIN, "Too many connections")
                return
            self._info.viewer = session.viewer
            if self._device_id is not None:
                confirm = partial(self._sockets.received_events.confirm, session.viewer.role_and_id, self._device_id)
                self._device = DeviceStream(self.put, confirm)
            self.put(b'{"type":"connection_ack"}')

    def _subscribe(self, id: str, payload: object) -> None:
        session = self.session
        if session is None:
            raise Closed(UNAUTHORIZED, "Unauthorized")
        if id in self._operations:
            raise Closed(ALREADY_SUBSCRIBED, f"Subscriber for {id[:60]} already exists")
        request = _request(payload)
        info = RequestInfo(secrets.token_hex(8), session.client, viewer=session.viewer)
        device = self._device
        operation = _Operation(self, id, info) if device is None else _DeviceOperation(self, id, info, device)
        if len(self._operations) >= OPERATIONS_MAX:
            message = f"A connection can have at most {OPERATIONS_MAX} operations at a time."
            operation.info.code = LimitExceeded.code
            self._error(id, orjson.dumps([{"message": message, "extensions": {"code": LimitExceeded.code}}]))
            self._log(operation)
            return
        self._operations[id] = operation
        operation.task = asyncio.create_task(self._execute(operation, session, request))

    async def _execute(self, operation: _Operation, session: Session, request: GraphQLRequest) -> None:
        CURRENT.set(operation.info)  # of this task, so that its log records have the operation's id
        SPENT.set(operation.info.spent)
        began(operation.info, self._scope["headers"])
        live = self._sockets.live
        try:
            with live.charge(session) as charge:
                charge.spend(REQUEST)
                reply = await live.reply(session, request, operation.info, charge, socket=session)
        except RateLimited as error:
            reply = live.refused(error, operation.info)
        except Exception:
            logger.exception("cannot execute an operation")
            operation.info.code = Internal.code
            self.close(TRY_AGAIN, "Try again later")
            return
        if isinstance(reply, Rejected) and reply.retry_after is not None:
            await hold_back()
        match reply:
            case Rejected(errors):
                self._over(operation)
                self._error(operation.id, errors)
            case Answered(payload):
                self._over(operation)
                name = orjson.dumps(operation.id)
                result = b'{"id":%b,"type":"next","payload":%b}' % (name, payload)
                self.put(result, b'{"id":%b,"type":"complete"}' % name)
            case Following(feed, after):
                operation.subscription = self._sockets.hub.subscribe(feed, operation, after)

    def _over(self, operation: _Operation) -> None:
        """Forgets an operation that has ended by itself."""
        del self._operations[operation.id]
        self._log(operation)

    def _log(self, operation: _Operation) -> None:
        seconds = perf_counter() - operation.began_at
        self._sockets.access_log.add_operation(self._scope, seconds, operation.info)
        OPERATIONS.ended(operation.info, seconds)

    def _error(self, id: str, errors: bytes) -> None:
        self.put(b'{"id":%b,"type":"error","payload":%b}' % (orjson.dumps(id), errors))

    def _end(self, id: str) -> None:
        """Ends an operation. An unknown id is not an error: the client's `complete` may have crossed ours."""
        operation = self._operations.pop(id, None)
        if operation is not None:
            operation.end()
            self._log(operation)


def _frame(message: bytes) -> bytes:
    """Returns an unfragmented text frame (RFC 6455, section 5.2), unmasked, as a server's frames must be."""
    size = len(message)
    if size < 126:
        return b"\x81%c%b" % (size, message)
    if size < 2**16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), message)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), message)


def _parsed(message: Message) -> dict[str, Any]:
    """Returns the message's JSON object. Raises `Closed` if it is not text with a JSON object."""
    text = message.get("text")
    if text is None:
        raise Closed(BAD_REQUEST, "Messages must be text")
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Closed(BAD_REQUEST, "Messages must be JSON") from None
    if not isinstance(parsed, dict):
        raise Closed(BAD_REQUEST, "Messages must be objects")
    return parsed


def _payload(message: dict[str, Any]) -> dict[str, Any]:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise Closed(BAD_REQUEST, "`payload` must be an object")
    return payload or {}


def _device_id(payload: dict[str, Any]) -> str | None:
    """What the client calls its device, as in `pushSubscriptionSet`; None if it does not say."""
    given = payload.get("deviceId")
    if given is None:
        return None
    name = given.strip() if isinstance(given, str) else ""
    if not 1 <= len(name) <= DEVICE_ID_MAX or not name.isprintable():
        raise Closed(BAD_REQUEST, f"`deviceId` must be a string of 1 to {DEVICE_ID_MAX} visible characters")
    return name


def _id(message: dict[str, Any]) -> str:
    id = message.get("id")
    if not isinstance(id, str) or not 1 <= len(id) <= ID_MAX:
        raise Closed(BAD_REQUEST, f"`id` must be a string of 1 to {ID_MAX} characters")
    return id


def _request(payload: object) -> GraphQLRequest:
    if not isinstance(payload, dict):
        raise Closed(BAD_REQUEST, "`payload` must be an object")
    try:
        return parse_request(payload)
    except InvalidRequest as error:
        raise Closed(BAD_REQUEST, str(error)) from None
