"""Mail sent by SMTP, over a few connections that are kept open between mails.

Replies are interpreted so: 4xx, a timeout, or a lost or refused connection is `Unavailable`. 5xx to the recipient or to
the mail itself is `Undeliverable`. 5xx to anything before that (the greeting, TLS, user and password, the sender's
address) is a fault of the configuration, which an operator can correct, so it is `Unavailable`. If the connection is
lost after the last dot, the server may or may not have accepted the mail: that is `Unavailable`, and the next attempt
has the same Message-ID.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from time import monotonic

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPResponseException

from notifiers.mail import Composer, Mail
from notifiers.notification import Channel, Notice, Notification, Unavailable, Undeliverable
from notifiers.smtp_server import SmtpServer
from notifiers.text import one_line

CONNECTIONS_MAX = 5  # servers allow few from one client
IDLE_SECONDS = 20.0  # how long an idle connection is kept, as servers and firewalls drop it sooner or later
SEND_SECONDS = 30.0  # for a whole mail, including the wait for a connection
CLOSE_SECONDS = 2.0
SAID_MAX = 300  # characters

_GONE = 421  # RFC 5321, section 3.8: the server closes the connection
_TOO_LARGE = 552
_AUTHENTICATION = (530, 534, 535, 538)  # RFC 4954, section 6


class Smtp(Channel):
    """Sends mail to one server. A mail may take `seconds`; a connection is kept for `idle_seconds` after one."""

    def __init__(
        self,
        server: SmtpServer,
        composer: Composer,
        *,
        seconds: float = SEND_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._server = server
        self._composer = composer
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._tls = None if server.security == "none" else ssl.create_default_context()
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
        self._kept: list[tuple[SMTP, float]] = []  # with the time it expires, the newest last
        self._expiry: asyncio.TimerHandle | None = None  # set while connections are kept

    async def send(self, notification: Notification) -> str:
        return await self._sent(self._composer.compose(notification))

    async def announce(self, notice: Notice) -> str:
        return await self._sent(self._composer.compose_notice(notice))

    async def _sent(self, mail: Mail) -> str:
        try:
            async with asyncio.timeout(self._seconds), self._places:
                return await self._send(mail)
        except TimeoutError:
            raise Unavailable(f"The mail server did not accept the mail within {self._seconds:g} seconds.") from None

    async def check(self) -> None:
        """Connect and log in. Raises `Unavailable` if that fails."""
        try:
            async with asyncio.timeout(self._seconds):
                client = await self._connect()
        except TimeoutError:
            raise Unavailable(f"The mail server did not respond within {self._seconds:g} seconds.") from None
        await _quit(client)

    async def close(self) -> None:
        clients = [client for client, _ in self._kept]
        self._kept.clear()
        if self._expiry is not None:
            self._expiry.cancel()
        await asyncio.gather(*map(_quit, clients))

    async def _send(self, mail: Mail) -> str:
        client = self._take()
        if client is not None:
            try:
                return await self._transfer(client, mail)
            except _Stale:
                pass
        return await self._transfer(await self._connect(), mail)

    def _take(self) -> SMTP | None:
        """Returns an idle connection, or None. The last used comes first, so that surplus ones expire."""
        while self._kept:
            client, _ = self._kept.pop()
            if client.is_connected:
                return client
        return None

    def _keep(self, client: SMTP) -> None:
        self._kept.append((client, monotonic() + self._idle_seconds))
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire)

    def _expire(self) -> None:
        now = monotonic()
        while self._kept and self._kept[0][1] <= now:
            self._kept.pop(0)[0].close()
        self._expiry = None
        if self._kept:
            self._expiry = asyncio.get_running_loop().call_later(self._kept[0][1] - now, self._expire)

    async def _transfer(self, client: SMTP, mail: Mail) -> str:
        good = False
        try:
            await _begin(client, mail)
            said = await _finish(client, mail)
            good = True
            return said
        except Undeliverable:
            good = await _reset(client)
            raise
        finally:
            if good:
                self._keep(client)
            else:
                client.close()

    async def _connect(self) -> SMTP:
        client = SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.user,
            password=self._server.password,
            use_tls=self._server.security == "tls",
            start_tls=self._server.security == "starttls",
            tls_context=self._tls,
            local_hostname=self._composer.domain,
            timeout=None,
        )
        good = False
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
            good = True
        except SMTPAuthenticationError as error:
            # The server's own text is left out, as it might repeat the password.
            raise Unavailable(f"{error.code}: The mail server rejected the user or password.") from None
        except (SMTPException, OSError) as error:
            raise Unavailable(_said(error)) from None
        finally:
            if not good:
                client.close()
        return client


class _Stale(Unavailable):
    """The connection was already closed before any part of the mail was sent."""


async def _begin(client: SMTP, mail: Mail) -> None:
    if mail.needs_utf8 and not client.supports_extension("smtputf8"):
        raise Undeliverable("The mail server does not support non-ASCII addresses (SMTPUTF8).")
    try:
        await client.mail(mail.sender, options=["SMTPUTF8"] if mail.needs_utf8 else [])
    except SMTPResponseException as error:
        verdict = {_GONE: _Stale, _TOO_LARGE: Undeliverable}.get(error.code, Unavailable)
        raise verdict(_said(error)) from None
    except (SMTPException, OSError) as error:
        raise _Stale(_said(error)) from None


async def _finish(client: SMTP, mail: Mail) -> str:
    try:
        # Not `sendmail`, which would hide the reply code of the only recipient in a list.
        await client.rcpt(mail.recipient, encoding="utf-8")
        response = await client.data(mail.octets)
    except SMTPResponseException as error:
        final = 500 <= error.code < 600 and error.code not in _AUTHENTICATION
        raise (Undeliverable if final else Unavailable)(_said(error)) from None
    except (SMTPException, OSError) as error:
        raise Unavailable(_said(error)) from None
    return one_line(f"{response.code} {response.message}", SAID_MAX)


def _said(error: Exception) -> str:
    """The server's reply, or the error of the operating system, on one line."""
    if isinstance(error, SMTPResponseException):
        text = f"{error.code} {error.message}"
    else:
        text = str(error) or type(error).__name__
    return one_line(text, SAID_MAX)


async def _reset(client: SMTP) -> bool:
    """Reset the connection. Returns whether it can be used for another mail."""
    try:
        await client.rset()
    except (SMTPException, OSError):
        return False
    return True


async def _quit(client: SMTP) -> None:
    with suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.quit()
    client.close()
