"""`/sign-in`: the page on which people ask for a link, and that of the link itself, which signs them in.

A GET of the link shows whom it signs in and a button, and changes nothing, because programs that check mail open its
links. What the page says that is asked for a link depends on nothing that it is given, so nobody learns from it whose
addresses are known; mail is composed and sent after the answer. Requests are limited by the client's address, and links
by the person.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from callout.http.confirm_attempts import ConfirmAttempts
from callout.http.context import request_of
from callout.http.entrance import HOMES, SIGN_IN, WINGS, Entrance
from callout.http.guard import read_body
from callout.http.ide import is_at_this_computer
from callout.http.plain_page import HEADERS, InBoth, Language, both, language_of, page_of, pages_of
from callout.http.session_cookie import CrossSite, is_from_here
from db.enums import DeliveryState, Role
from db.ids import new_id
from db.limits import EMAIL_MAX
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from notifiers.attempt import attempt
from notifiers.notification import Channel, Notice
from resolvers import sign_in
from resolvers.session import KnownPerson
from resolvers.sign_in import VALID, SignInLink

if TYPE_CHECKING:
    from callout.auth.openid import OpenIdClient
    from callout.http.passkeys import Passkeys

logger = logging.getLogger(__name__)

LINK: Final = f"{SIGN_IN}/link"
SENDING_SECONDS: Final = 30.0
SENDING_MAX: Final = 20
"""Mails with links that are under way at a time; further requests must wait."""

NEXT_LENGTH_MAX: Final = 2_000
"""The most characters of a path to go to after signing in, as a URL has it. A cookie has 4,096."""

_MINUTES: Final = int(VALID.total_seconds() // 60)

_AS: Final = {
    Role.ADMIN: both("an admin", "comme administrateur"),
    Role.TECHNICIAN: both("a technician", "comme technicien"),
    Role.CUSTOMER: both("a customer", "comme client"),
}
_USED: Final = pages_of(
    (
        "This link does not work",
        f"""<p>It has been used already, or it is more than {_MINUTES} minutes old.</p>
<p><a href="{SIGN_IN}">Ask for another one</a></p>""",
    ),
    (
        "Ce lien ne fonctionne pas",
        f"""<p>Il a déjà servi, ou il date de plus de {_MINUTES} minutes.</p>
<p><a href="{SIGN_IN}">En demander un autre</a></p>""",
    ),
)
UNAVAILABLE: Final = pages_of(
    (
        "Please try again in a minute",
        f'<p>Nobody can sign in at the moment.</p><p><a href="{SIGN_IN}">Try again</a></p>',
    ),
    (
        "Veuillez réessayer dans une minute",
        f'<p>Personne ne peut se connecter pour le moment.</p><p><a href="{SIGN_IN}">Réessayer</a></p>',
    ),
)
TOO_MANY: Final = pages_of(
    (
        "Please try again in a minute",
        f'<p>There have been too many attempts.</p><p><a href="{SIGN_IN}">Try again</a></p>',
    ),
    (
        "Veuillez réessayer dans une minute",
        f'<p>Il y a eu trop de tentatives.</p><p><a href="{SIGN_IN}">Réessayer</a></p>',
    ),
)
_NO_MAIL: Final = pages_of(
    (
        "Nobody can sign in here yet",
        "<p>This server sends no mail, so it cannot send you a link. Whoever runs it sets"
        " <code>CALLOUT_SMTP_URL</code> and <code>CALLOUT_PUBLIC_URL</code>.</p>",
    ),
    (
        "Personne ne peut encore se connecter ici",
        "<p>Ce serveur n’envoie pas de courriel et ne peut donc pas vous envoyer de lien. La personne qui l’exploite"
        " doit définir <code>CALLOUT_SMTP_URL</code> et <code>CALLOUT_PUBLIC_URL</code>.</p>",
    ),
)


class SignInMail:
    """Sends links; one for each process. `base` is the URL that links begin with; without it, or without a channel for
    mail, nobody can ask for one."""

    def __init__(self, database: Database, channel: Channel | None, base: str | None) -> None:
        self._database = database
        self._channel = channel
        self._base = base
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_possible(self) -> bool:
        return self._channel is not None and self._base is not None

    @property
    def is_busy(self) -> bool:
        return len(self._tasks) >= SENDING_MAX

    def send(self, email: str, next_path: str, known: str | None) -> None:
        """Sends the person with this address a link, if there is one, in the background. `known` is who has signed in
        before in the browser that asks."""
        task = asyncio.create_task(self._send(email, next_path, known))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, email: str, next_path: str, known: str | None) -> None:
        try:
            link = await sign_in.make_link(self._database, email, next_path, known)
        except OUTAGE as error:
            if not is_logged(error):
                logger.warning("a link to sign in cannot be made: %s", error or type(error).__name__)
            return
        if link is None or self._channel is None:
            return
        made = await attempt(self._channel.announce(self._notice(link)), SENDING_SECONDS)
        if made.state is not DeliveryState.SENT:
            logger.warning("a link to sign in was not sent", extra={"fields": {"said": made.said}})

    def _notice(self, link: SignInLink) -> Notice:
        line = f"Open the link within {_MINUTES} minutes to sign in as {link.name}. It works once."
        url = f"{self._base}{LINK}?token={link.secret}"
        return Notice(new_id(), link.email, "Sign in", (line,), datetime.now(UTC), template="sign_in", link=url)


async def sign_in_page(request: Request) -> Response:
    entrance: Entrance = request.state.entrance
    mail: SignInMail = request.state.sign_in_mail
    providers: Mapping[str, OpenIdClient] = request.state.openid_clients
    if request.method != "POST":
        if not mail.is_possible and not providers:
            return answer(request, _NO_MAIL, 503)
        next_path = safe_path(request.query_params.get("next", ""))
        passkeys: Passkeys = request.state.passkeys
        language = language_of(request)
        content = _buttons(language, providers, next_path)
        content += _passkey(language, next_path) if passkeys.script else ""
        content += _form(language, next_path) if mail.is_possible else ""
        if entrance.demo and is_at_this_computer(request.scope):
            content += f'<p class="below"><a href="/">{_DEMO[language]}</a></p>'
        return answer(request, page_of(language, _SIGN_IN[language], content, passkeys.script), headers=SCRIPTED)
    if not mail.is_possible:
        return answer(request, _NO_MAIL, 503)
    if not is_from_here(dict(request.scope["headers"])):
        raise CrossSite
    wait = wait_of(request)
    if wait or mail.is_busy:
        return answer(request, TOO_MANY, 429, {"retry-after": str(ceil(wait or 5))})
    form = parse_qs((await read_body(request.scope, request.receive)).decode("utf-8", "replace"))
    email = next(iter(form.get("email", [])), "").strip()[:EMAIL_MAX]
    mail.send(email, safe_path(next(iter(form.get("next", [])), "")), entrance.known.subject(request))
    return answer(request, _sent(language_of(request), email))


async def link_page(request: Request) -> Response:
    token = request.query_params.get("token", "")
    posted = request.method == "POST"
    if posted and not is_from_here(dict(request.scope["headers"])):
        raise CrossSite
    wait = wait_of(request)
    if wait:
        return answer(request, TOO_MANY, 429, {"retry-after": str(ceil(wait))})
    try:
        response = await (_use(request, token) if posted else _look_at(request, token))
    except OUTAGE as error:
        if not is_logged(error):
            logger.warning("nobody can sign in: %s", error or type(error).__name__)
        return answer(request, UNAVAILABLE, 503)
    if response is None:
        return answer(request, _USED, 404)
    attempts: ConfirmAttempts = request.state.sign_in_attempts
    attempts.was_right(request_of(request.scope).client, monotonic())
    return response


async def _look_at(request: Request, token: str) -> Response | None:
    entrance: Entrance = request.state.entrance
    person = await sign_in.look_at(entrance.database, token)
    return None if person is None else answer(request, _confirmation(language_of(request), token, person))


async def _use(request: Request, token: str) -> Response | None:
    """In one transaction, so that a link is not lost if the session cannot begin."""
    entrance: Entrance = request.state.entrance
    async with entrance.database.transaction() as transaction:
        found = await sign_in.use_link(transaction, token)
        if found is None:
            return None
        person, next_path = found
        secret = await entrance.begin_session(transaction, request, person)
    return entrance.enter(secret, person, next_path or HOMES[WINGS[person.role]])


def wait_of(request: Request) -> float:
    """Takes the points of an attempt from the client's budget. Returns 0, or the seconds to wait."""
    attempts: ConfirmAttempts = request.state.sign_in_attempts
    info = request_of(request.scope)
    wait = attempts.begin(info.client, monotonic())
    if wait:
        info.code = "RATE_LIMITED"
    return wait


def safe_path(given: str) -> str:
    """The path if it is one of this server's pages, and no longer than a cookie can keep while somebody is at their
    provider; or else an empty one: the person's own first page."""
    if len(quote(given, errors="replace")) > NEXT_LENGTH_MAX:
        return ""
    try:
        parts = urlsplit(given)
    except ValueError:
        return ""
    is_path = given.startswith("/") and not given.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return given if is_path and given.isprintable() and given != "/" and not given.startswith(SIGN_IN) else ""


def _buttons(language: Language, providers: Mapping[str, OpenIdClient], next_path: str) -> str:
    """Links, because a form would not be let go on to the provider by the page's `form-action`."""
    return "".join(
        f'<p><a class="button" href="{SIGN_IN}/with/{name}?next={quote(next_path)}">{_WITH[language]}'
        f" {escape(client.label)}</a></p>\n"
        for name, client in providers.items()
    )


_SIGN_IN: Final = both("Sign in", "Se connecter")
_WITH: Final = both("Sign in with", "Se connecter avec")
_DEMO: Final = both(
    "Look around as the demo company’s admin", "Explorer comme administrateur de l’entreprise de démonstration"
)
_EMAIL: Final = both("Your e-mail address", "Votre adresse courriel")
_ONCE: Final = both(
    f"We send you a link. It works once, and for {_MINUTES} minutes.",
    f"Nous vous envoyons un lien. Il sert une seule fois, pendant {_MINUTES} minutes.",
)
_SEND: Final = both("Send me a link", "Envoyez-moi un lien")
_WITH_PASSKEY: Final = both("Sign in with a passkey", "Se connecter avec une clé d’accès")
_PASSKEY_FAILED: Final = both(
    "That did not work. Have you made a passkey here? Ask for a link otherwise.",
    "Cela n’a pas fonctionné. Avez-vous créé une clé d’accès ici ? Sinon, demandez un lien.",
)


def _form(language: Language, next_path: str) -> str:
    return f"""<form method="post" action="{SIGN_IN}">
<label for="email">{_EMAIL[language]}</label>
<input id="email" name="email" type="email" autocomplete="username" required maxlength="{EMAIL_MAX}" autofocus>
<input type="hidden" name="next" value="{escape(next_path)}">
<p>{_ONCE[language]}</p>
<button>{_SEND[language]}</button>
</form>"""


def _passkey(language: Language, next_path: str) -> str:
    return passkey_button("sign-in", _WITH_PASSKEY[language], _PASSKEY_FAILED[language], next_path)


def passkey_button(ceremony: str, label: str, failed: str, next_path: str = "") -> str:
    """A button for a ceremony, which the script shows in browsers that know passkeys, with the sentence that says that
    it has failed."""
    return f"""<div id="passkey" data-ceremony="{ceremony}" data-next="{escape(next_path)}" hidden>
<p><button type="button">{label}</button></p>
<p role="alert" data-failed="{failed}"></p>
</div>
"""


def _sent(language: Language, email: str) -> str:
    if language is Language.FRENCH:
        return page_of(
            language,
            "Consultez vos courriels",
            f"""<p>Si {escape(email) or "l’adresse"} est connue ici, un lien est en route. Ouvrez-le sur l’appareil
où vous voulez vous connecter, d’ici {_MINUTES} minutes.</p>
<p>Rien reçu ? Regardez dans les courriels indésirables, ou <a href="{SIGN_IN}">essayez une autre adresse</a>.</p>""",
        )
    return page_of(
        language,
        "Check your e-mail",
        f"""<p>If {escape(email) or "the address"} is known here, a link is on its way to it. Open it on the device on
which you want to sign in, within {_MINUTES} minutes.</p>
<p>Nothing there? Check your spam folder, or <a href="{SIGN_IN}">try another address</a>.</p>""",
    )


def _confirmation(language: Language, token: str, person: KnownPerson) -> str:
    name, role = f"<strong><bdi>{escape(person.name)}</bdi></strong>", _AS[person.role][language]
    words = both(
        f"You sign in as {name}, {role}, and stay signed in on this device until you sign out.",
        f"Vous vous connectez en tant que {name}, {role}, et restez connecté sur cet appareil jusqu’à ce que vous vous"
        " déconnectiez.",
    )
    return page_of(
        language,
        _SIGN_IN[language],
        f"""<p>{words[language]}</p>
<form method="post" action="{LINK}?token={quote(token)}"><button>{_SIGN_IN[language]}</button></form>""",
    )


SCRIPTED: Final = {
    "content-security-policy": f"{HEADERS['content-security-policy']}; script-src 'self'; connect-src 'self'"
}
"""The headers of pages with a script."""


def answer(
    request: Request, page: InBoth | str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer with this page, in the language that the browser prefers."""
    shown = page if isinstance(page, str) else page[language_of(request)]
    # With `no-referrer`, as other such pages have it, a browser would hide the origin of the form as well.
    return HTMLResponse(shown, status, {**HEADERS, "referrer-policy": "same-origin", **(headers or {})})


ROUTES: Final = [
    Route(SIGN_IN, sign_in_page, methods=["GET", "POST"]),
    Route(LINK, link_page, methods=["GET", "POST"]),
]
