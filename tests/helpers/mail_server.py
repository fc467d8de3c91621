"""A real SMTP server on a loopback port, aiosmtpd in a thread of its own, which simulates a mail server's failures."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import islice
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "callout@example.test", "päss:w/rd@"


@dataclass(frozen=True, slots=True)
class Received:
    sender: str
    recipients: list[str]
    octets: bytes

    @property
    def message(self) -> EmailMessage:
        parsed: EmailMessage = message_from_bytes(self.octets, policy=default)
        return parsed


class MailServer:
    """`replies` are its replies to MAIL, RCPT and DATA, instead of 250: a line, or `hang`, or `drop` (accept the data
    and close the connection without a reply). Those in `once` are used first, and only once."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[Received] = []
        self.connections = 0
        self.authenticated = 0
        self.replies: dict[str, str] = {}
        self.once: dict[str, str] = {}
        self.asked: list[str] = []
        self._sessions: list[SMTP] = []
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def open_connections(self) -> int:
        return sum(session.transport is not None and not session.transport.is_closing() for session in self._sessions)

    def hang_up(self) -> None:
        """Closes all connections, as a server does with those that have been idle for too long."""
        for session in self._sessions:
            if session.transport is not None:
                session.loop.call_soon_threadsafe(session.transport.close)

    async def is_asked(self, command: str) -> None:
        """Waits until the server has received this command."""
        async with asyncio.timeout(10):
            while command not in self.asked:  # noqa: ASYNC110 (another thread appends to it)
                await asyncio.sleep(0.001)

    # Called by aiosmtpd

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await self._reply("MAIL", server)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self._reply("RCPT", server)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.original_content, bytes)
        mail = Received(envelope.mail_from or "", list(envelope.rcpt_tos), envelope.original_content)
        if self.replies.get("DATA", "250") in ("250", "drop"):
            self.received.append(mail)
        return await self._reply("DATA", server)

    async def _reply(self, command: str, server: SMTP) -> str:
        self.asked.append(command)
        reply = self.once.pop(command, None) or self.replies.get(command, "250 OK")
        if reply == "hang":
            await self._stopping.wait()
        if reply == "drop":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return reply

    # Called by `mail_server`

    def session(self, **options: Any) -> SMTP:
        self.connections += 1
        made = SMTP(self, hostname="mail.example.test", authenticator=self._authenticate, **options)
        self._sessions.append(made)
        return made

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        """Quotes a wrong password in the reply, as some servers do: it must not be logged."""
        if (data.login.decode(), data.password.decode()) != (USER, PASSWORD):
            return AuthResult(success=False, handled=False, message=f"535 5.7.8 {data.password!r} is wrong")
        self.authenticated += 1
        return AuthResult(success=True)

    async def stop(self) -> None:
        self._stopping.set()
        for session in self._sessions:
            transport = session.transport
            # In Python 3.11.2 a closed TLS transport cannot be aborted again.
            if isinstance(transport, asyncio.Transport) and not transport.is_closing():
                transport.abort()


@contextmanager
def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, utf8: bool = False
) -> Iterator[MailServer]:
    """A running mail server. With `starttls` or `tls` it offers that, and authentication with `USER` and `PASSWORD`."""
    server = MailServer()
    options: dict[str, Any] = {"tls_context": starttls, "enable_SMTPUTF8": utf8}
    if tls is not None:
        options["auth_require_tls"] = False  # aiosmtpd does not know that the connection is encrypted from the start
    with _listening(lambda loop: server.session(loop=loop, **options), server.stop, tls) as port:
        server.port = port
        yield server


@contextmanager
def talker(*lines: str) -> Iterator[int]:
    """Yields the port of a server that sends these lines, the first as a greeting and one after each command, and then
    nothing more."""

    class Talker(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            open_ones.append(transport)
            self.transport = transport
            self.lines = iter(lines)
            self.data_received(b"")

        def data_received(self, data: bytes) -> None:
            for line in islice(self.lines, 1):
                self.transport.write(f"{line}\r\n".encode())

    async def stop() -> None:
        for transport in open_ones:
            transport.abort()

    open_ones: list[asyncio.Transport] = []
    with _listening(lambda _: Talker(), stop, None) as port:
        yield port


@contextmanager
def _listening(
    protocol: Callable[[asyncio.AbstractEventLoop], asyncio.BaseProtocol],
    stop: Callable[[], Coroutine[Any, Any, None]],
    tls: ssl.SSLContext | None,
) -> Iterator[int]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        return await loop.create_server(lambda: protocol(loop), "127.0.0.1", 0, ssl=tls)

    async def end() -> None:
        server.close()
        await stop()
        mine = asyncio.all_tasks() - {asyncio.current_task()}
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
