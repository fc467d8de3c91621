"""A real SMTP server on a loopback port, aiosmtpd in a thread of its own, that fails in the ways that one fails."""

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
    """`replies` are what it says to MAIL, RCPT and DATA, in place of 250: a line, or `hang`, or `drop` (after what was
    sent has been taken, without a word). Those in `once` are said once, before these."""

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
        """Ends all connections, as a server does with those that have been idle for too long."""
        for session in self._sessions:
            if session.transport is not None:
                session.loop.call_soon_threadsafe(session.transport.close)

    async def is_asked(self, command: str) -> None:
        """Returns when it has been sent this command."""
        async with asyncio.timeout(10):
            while command not in self.asked:  # noqa: ASYNC110 (it is another thread that knows)
                await asyncio.sleep(0.001)

    # What aiosmtpd calls

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

    # For `mail_server`

    def session(self, **options: Any) -> SMTP:
        self.connections += 1
        made = SMTP(self, hostname="mail.example.test", authenticator=self._authenticate, **options)
        self._sessions.append(made)
        return made

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        """It tells whoever is wrong with what, as some do."""
        if (data.login.decode(), data.password.decode()) != (USER, PASSWORD):
            return AuthResult(success=False, handled=False, message=f"535 5.7.8 {data.password!r} is wrong")
        self.authenticated += 1
        return AuthResult(success=True)

    async def stop(self) -> None:
        self._stopping.set()
        for session in self._sessions:
            transport = session.transport
            # One that has ended cannot be ended again where it is of TLS and Python is 3.11.2.
            if isinstance(transport, asyncio.Transport) and not transport.is_closing():
                transport.abort()


@contextmanager
def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, utf8: bool = False
) -> Iterator[MailServer]:
    """With `starttls` or `tls` it has that, and takes a user and password there."""
    server = MailServer()
    options: dict[str, Any] = {"tls_context": starttls, "enable_SMTPUTF8": utf8}
    if tls is not None:
        options["auth_require_tls"] = False  # it doesn't know that it has it
    with _listening(lambda loop: server.session(loop=loop, **options), server.stop, tls) as port:
        server.port = port
        yield server


@contextmanager
def talker(*lines: str) -> Iterator[int]:
    """The port of a server that says these lines, one as a greeting and one to each command, and then no more."""

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
