"""`/passkeys`: where people who are signed in make passkeys and remove them, and what the sign-in page asks for to let
them in with one.

Each ceremony begins with a challenge, which is in a sealed cookie for a few minutes, and ends with what the browser
makes of it. A passkey belongs to the host of `CALLOUT_PUBLIC_URL`. To make one, a person must have signed in just now:
a computer that was left alone for a moment must not open the door for good.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from importlib import import_module
from math import ceil
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from callout.http import session_cookie
from callout.http.client_address import is_loopback, parsed
from callout.http.confirm_attempts import ConfirmAttempts
from callout.http.context import request_of
from callout.http.entrance import HOMES, SIGN_IN, WINGS, Entrance
from callout.http.errors import AuthenticationUnavailable
from callout.http.guard import read_body
from callout.http.plain_page import Language, both, language_of, page_of
from callout.http.session_cookie import CrossSite, is_from_here
from callout.http.sign_in_page import SCRIPTED, UNAVAILABLE, answer, passkey_button, safe_path, wait_of
from db import limits
from db.events.seal import Seal
from db.ids import is_uuid
from db.postgres.pool import OUTAGE
from db.viewer import Viewer
from resolvers import passkey
from resolvers.passkey import Passkey
from resolvers.session import KnownPerson

PATH: Final = "/passkeys"
COOKIE: Final = "__Host-callout-passkey"
CEREMONY_SECONDS: Final = 300
RECENT_SECONDS: Final = 900
"""How long after signing in a passkey can be made."""

# Those come first that call themselves the others, too.
_BROWSERS: Final = (("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS: Final = (
    *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android")),
    *(("Windows", "Windows"), ("Mac OS", "macOS"), ("Linux", "Linux")),
)

_MAKE, _SIGN_IN = "make", "sign-in"


class Passkeys:
    """One for each process. `base` is the URL of the pages, `script` the path of the script that speaks with the
    browser; without one of them, or if `base` has no name that a passkey could belong to, there are no passkeys."""

    def __init__(self, log_identity: str, base: str | None, script: Callable[[], str | None]) -> None:
        self._seal = Seal("passkey 1", log_identity)
        self._script = script
        parts = urlsplit(base or "")
        self.host = parts.hostname or ""
        self.origin = f"{parts.scheme}://{parts.netloc}".lower()
        self._has_name = parsed(self.host) is None and (parts.scheme == "https" or is_loopback(self.host))

    @property
    def script(self) -> str | None:
        return self._script() if self.host and self._has_name else None

    def begin(self, ceremony: str) -> tuple[bytes, str]:
        """Returns a challenge, and the value of `Set-Cookie` that keeps it."""
        challenge = secrets.token_bytes(32)
        content = f"{ceremony} {int(time.time()) + CEREMONY_SECONDS} {urlsafe_b64encode(challenge).decode()}"
        return challenge, session_cookie.cookie(self._seal.seal(content), CEREMONY_SECONDS, COOKIE)

    def challenge(self, request: Request, ceremony: str) -> bytes | None:
        """The challenge that the browser was given for this ceremony; None if there is none, or not any more."""
        sealed = session_cookie.value_in(request.scope["headers"], COOKIE.encode())
        found = None if sealed is None else self._seal.open(sealed)
        if found is None:
            return None
        begun, until, challenge = found.split()
        return urlsafe_b64decode(challenge) if begun == ceremony and int(until) >= time.time() else None


# Signing in


async def sign_in_options(request: Request) -> Response:
    passkeys = _checked(request)
    if wait := wait_of(request):
        return _failed(429, {"retry-after": str(ceil(wait))})
    challenge, cookie = passkeys.begin(_SIGN_IN)
    return _options((await _ceremonies()).options_to_sign_in(passkeys.host, challenge), cookie)


async def sign_in(request: Request) -> Response:
    response = await _sign_in(request, _checked(request))
    response.headers.append("set-cookie", session_cookie.cookie("", 0, COOKIE))
    return response


async def _sign_in(request: Request, passkeys: Passkeys) -> Response:
    if wait := wait_of(request):
        return _failed(429, {"retry-after": str(ceil(wait))})
    ceremonies, entrance = await _ceremonies(), request.state.entrance
    challenge, given = passkeys.challenge(request, _SIGN_IN), await _json(request)
    credential, next_path = given.get("credential"), given.get("next")
    if challenge is None or not isinstance(credential, dict) or not isinstance(next_path, str):
        return _failed(400)
    try:
        found = await passkey.find(entrance.database, ceremonies.credential_id_of(credential))
        if found is None:
            return _refused(request, "no such passkey, or its person has no access")
        proof = (passkeys.host, passkeys.origin, challenge, credential, found.public_key, found.sign_count)
        sign_count = ceremonies.sign_count_of(*proof)
        async with entrance.database.transaction() as transaction:
            if not await passkey.use(transaction, found, sign_count):
                return _refused(request, "the passkey was used or removed meanwhile")
            secret = await entrance.begin_session(transaction, request, found.person)
    except ceremonies.InvalidPasskey as error:
        return _refused(request, str(error))
    except OUTAGE:
        return _failed(503)
    attempts: ConfirmAttempts = request.state.sign_in_attempts
    attempts.was_right(request_of(request.scope).client, monotonic())
    entered = entrance.enter(secret, found.person, "/")
    response = JSONResponse({"path": safe_path(next_path) or HOMES[WINGS[found.person.role]]})
    for cookie in entered.headers.getlist("set-cookie"):
        response.headers.append("set-cookie", cookie)
    return response


# One's own


async def page(request: Request) -> Response:
    passkeys, entrance = _of(request), request.state.entrance
    try:
        viewer = await entrance.viewer(request)
        if viewer is None:
            return RedirectResponse(f"{SIGN_IN}?next={PATH}", 303)
        found = await passkey.of(entrance.database, _person(viewer))
    except (AuthenticationUnavailable, *OUTAGE):
        return answer(request, UNAVAILABLE, 503)
    language = language_of(request)
    content = _list(language, found)
    content += _make(language, found, viewer) if passkeys.script else f"<p>{_IMPOSSIBLE[language]}</p>"
    content += f'<p><a href="{HOMES[WINGS[viewer.role]]}">{_BACK[language]}</a></p>'
    return answer(request, page_of(language, _TITLE[language], content, passkeys.script), headers=SCRIPTED)


async def options(request: Request) -> Response:
    passkeys, entrance = _checked(request), request.state.entrance
    try:
        viewer = await entrance.viewer(request)
        if viewer is None or not _is_recent(viewer):
            return _failed(403)
        person = _person(viewer)
        known = [each.credential_id for each in await passkey.of(entrance.database, person)]
    except (AuthenticationUnavailable, *OUTAGE):
        return _failed(503)
    challenge, cookie = passkeys.begin(_MAKE)
    name = viewer.email or viewer.name
    made = (await _ceremonies()).options_to_make(passkeys.host, person.subject.encode(), name, challenge, known)
    return _options(made, cookie)


async def make(request: Request) -> Response:
    response = await _make_one(request, _checked(request))
    response.headers.append("set-cookie", session_cookie.cookie("", 0, COOKIE))
    return response


async def _make_one(request: Request, passkeys: Passkeys) -> Response:
    entrance: Entrance = request.state.entrance
    ceremonies = await _ceremonies()
    challenge, credential = passkeys.challenge(request, _MAKE), (await _json(request)).get("credential")
    if challenge is None or not isinstance(credential, dict):
        return _failed(400)
    try:
        viewer = await entrance.viewer(request)
        if viewer is None or not _is_recent(viewer):
            return _failed(403)
        made = ceremonies.made(passkeys.host, passkeys.origin, challenge, credential)
        values = (made.credential_id, made.public_key, made.sign_count, request.headers.get("user-agent", ""))
        async with entrance.database.transaction() as transaction:
            client = request_of(request.scope).client
            if not await passkey.add(transaction, _person(viewer), *values, client):
                return _refused(request, "too many passkeys, or it is there already")
    except ceremonies.InvalidPasskey as error:
        return _refused(request, str(error))
    except (AuthenticationUnavailable, *OUTAGE):
        return _failed(503)
    return JSONResponse({"path": PATH})


async def remove(request: Request) -> Response:
    if not is_from_here(dict(request.scope["headers"])):
        raise CrossSite
    entrance: Entrance = request.state.entrance
    viewer = await entrance.viewer(request)
    form = parse_qs((await read_body(request.scope, request.receive)).decode("latin-1"))
    passkey_id = next(iter(form.get("id", [])), "")
    if viewer is not None and is_uuid(passkey_id):
        async with entrance.database.transaction() as transaction:
            await passkey.remove(transaction, _person(viewer), passkey_id, request_of(request.scope).client)
    return RedirectResponse(PATH, 303)


def _person(viewer: Viewer) -> KnownPerson:
    return KnownPerson(viewer.role, viewer.id.rpartition("_")[2], viewer.name)


def _is_recent(viewer: Viewer) -> bool:
    return viewer.signed_in is not None and viewer.signed_in.at > time.time() - RECENT_SECONDS


_TITLE: Final = both("Your passkeys", "Vos clés d’accès")
_BACK: Final = both("Back", "Retour")
_NONE: Final = both(
    "With a passkey you sign in by your fingerprint, your face or your PIN. You have none yet.",
    "Avec une clé d’accès, vous vous connectez par votre empreinte, votre visage ou votre NIP. Vous n’en avez aucune.",
)
_MADE: Final = both("Made on", "Créée le")
_USED: Final = both("last used on", "utilisée la dernière fois le")
_NEVER: Final = both("never used", "jamais utilisée")
_REMOVE: Final = both("Remove", "Supprimer")
_ON: Final = both(" on ", " sous ")
_A_BROWSER: Final = both("A browser", "Un navigateur")
_ENOUGH: Final = both(
    "You have as many as one can have: remove one to make another.",
    "Vous en avez le nombre maximal : supprimez-en une pour en créer une autre.",
)
_FIRST: Final = both("To make one,", "Pour en créer une,")
_AGAIN: Final = both("sign in once more", "connectez-vous de nouveau")
_MAKE_ONE: Final = both("Make a passkey", "Créer une clé d’accès")
_NOT_MADE: Final = both(
    "It could not be made. Does this device have one already?",
    "Impossible de la créer. Cet appareil en a-t-il déjà une ?",
)
_IMPOSSIBLE: Final = both(
    "This server cannot take passkeys: its address is a number, not a name, or its pages are not built.",
    "Ce serveur n’accepte pas de clés d’accès : son adresse est un numéro, non un nom, ou ses pages ne sont pas"
    " construites.",
)


def _list(language: Language, found: Sequence[Passkey]) -> str:
    if not found:
        return f"<p>{_NONE[language]}</p>"
    entries = (
        f"""<li><strong>{_browser_of(language, each.user_agent)}</strong><br>
{_MADE[language]} {each.created_at:%Y-%m-%d}, {_use_of(language, each)}.
<form method="post" action="{PATH}/remove">
<button class="quiet" name="id" value="{each.id}">{_REMOVE[language]}</button></form></li>"""
        for each in found
    )
    return f"<ul>{''.join(entries)}</ul>"


def _use_of(language: Language, passkey: Passkey) -> str:
    return _NEVER[language] if passkey.used_at is None else f"{_USED[language]} {passkey.used_at:%Y-%m-%d}"


def _browser_of(language: Language, user_agent: str) -> str:
    """The browser and its system in words, as far as they are known here."""
    names = (next((name for word, name in words if word in user_agent), "") for words in (_BROWSERS, _SYSTEMS))
    return _ON[language].join(filter(None, names)) or _A_BROWSER[language]


def _make(language: Language, found: Sequence[Passkey], viewer: Viewer) -> str:
    if len(found) >= limits.PASSKEYS_MAX:
        return f"<p>{_ENOUGH[language]}</p>"
    if not _is_recent(viewer):
        return f'<p>{_FIRST[language]} <a href="{SIGN_IN}?next={PATH}">{_AGAIN[language]}</a>.</p>'
    return passkey_button(_MAKE, _MAKE_ONE[language], _NOT_MADE[language])


# Requests of the script


def _of(request: Request) -> Passkeys:
    passkeys: Passkeys = request.state.passkeys
    return passkeys


def _checked(request: Request) -> Passkeys:
    """The passkeys, for a request of our own page. Raises `CrossSite` for others, and `HTTPException` if there are no
    passkeys."""
    headers = dict(request.scope["headers"])
    if headers.get(b"x-requested-with") != b"callout" or not is_from_here(headers):
        raise CrossSite
    passkeys = _of(request)
    if passkeys.script is None:
        raise HTTPException(404)
    return passkeys


async def _ceremonies() -> Any:
    return await asyncio.to_thread(import_module, "callout.auth.webauthn_ceremonies")


async def _json(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await read_body(request.scope, request.receive))
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _options(text: str, cookie: str) -> Response:
    return Response(text, media_type="application/json", headers={"set-cookie": cookie})


def _refused(request: Request, reason: str) -> Response:
    info = request_of(request.scope)
    info.code, info.reason = "UNAUTHENTICATED", reason[:200]
    return _failed(403)


def _failed(status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({}, status, headers)


ROUTES: Final = [
    Route(PATH, page, methods=["GET"]),
    Route(PATH, make, methods=["POST"]),
    Route(f"{PATH}/options", options, methods=["POST"]),
    Route(f"{PATH}/remove", remove, methods=["POST"]),
    Route(f"{PATH}/sign-in", sign_in, methods=["POST"]),
    Route(f"{PATH}/sign-in/options", sign_in_options, methods=["POST"]),
]
