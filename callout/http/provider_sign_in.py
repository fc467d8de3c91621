"""Signing in at an identity provider: `/sign-in/with/NAME` sends the browser there, and the provider sends it back.

What belongs to a sign-in that has begun is in a cookie of the browser alone, so nobody can end one that another has
begun (login CSRF), and a link from elsewhere begins none. After the answer, good or bad, the cookie is gone.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict
from hmac import compare_digest
from html import escape
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from callout.auth.claims import in_words, said
from callout.http import session_cookie
from callout.http.confirm_attempts import ConfirmAttempts
from callout.http.context import request_of
from callout.http.entrance import HOMES, SIGN_IN, WINGS, Entrance
from callout.http.errors import AuthenticationUnavailable, Unauthenticated
from callout.http.plain_page import both, language_of, page_of, pages_of
from callout.http.session_cookie import is_from_here
from callout.http.sign_in_page import TOO_MANY, UNAVAILABLE, answer, safe_path, wait_of
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE

if TYPE_CHECKING:
    from callout.auth.openid import BegunSignIn, OpenIdClient

COOKIE: Final = "__Host-callout-sign-in"
SECONDS: Final = 600
"""For how long one may sign in at the provider."""

_STALE: Final = pages_of(
    (
        "Please sign in once more",
        "<p>It has taken too long, or this browser has begun to sign in a second time.</p>"
        f'<p><a href="{SIGN_IN}">Sign in</a></p>',
    ),
    (
        "Veuillez vous connecter de nouveau",
        "<p>Cela a pris trop de temps, ou ce navigateur a commencé une deuxième connexion.</p>"
        f'<p><a href="{SIGN_IN}">Se connecter</a></p>',
    ),
)


async def start(request: Request) -> Response:
    client = _client(request)
    next_path = safe_path(request.query_params.get("next", ""))
    if not is_from_here(dict(request.scope["headers"])):
        return RedirectResponse(f"{SIGN_IN}?next={quote(next_path)}", 303)
    if wait := wait_of(request):
        return answer(request, TOO_MANY, 429, {"retry-after": str(ceil(wait))})
    try:
        url, begun = await client.begin(next_path)
    except (Unauthenticated, AuthenticationUnavailable) as error:
        return _failure(request, client, error)
    response = RedirectResponse(url, 303)
    response.headers.append("set-cookie", session_cookie.cookie(_packed(begun), SECONDS, COOKIE))
    return response


async def back(request: Request) -> Response:
    client = _client(request)
    response = await _finish(request, client)
    response.headers.append("set-cookie", session_cookie.cookie("", 0, COOKIE))
    return response


async def _finish(request: Request, client: OpenIdClient) -> Response:
    begun = _begun(request)
    given = {name: request.query_params.get(name, "") for name in ("state", "code", "error", "error_description")}
    if (
        begun is None
        or begun.provider != client.issuer.name
        or not compare_digest(begun.state.encode(), given["state"].encode())
    ):
        request_of(request.scope).code = "STALE_SIGN_IN"
        return answer(request, _STALE, 400)
    if wait := wait_of(request):
        return answer(request, TOO_MANY, 429, {"retry-after": str(ceil(wait))})
    entrance: Entrance = request.state.entrance
    try:
        if given["error"] or not given["code"]:
            raise _refused(client, given)
        person = await entrance.authenticator.person_of(await client.finish(begun, given["code"]))
        attempts: ConfirmAttempts = request.state.sign_in_attempts
        attempts.was_right(request_of(request.scope).client, monotonic())
        return await entrance.sign_in(request, person, safe_path(begun.next_path) or HOMES[WINGS[person.role]])
    except (Unauthenticated, AuthenticationUnavailable) as error:
        return _failure(request, client, error)
    except OUTAGE as error:
        return _failure(request, client, AuthenticationUnavailable(reason=None if is_logged(error) else repr(error)))


def _refused(client: OpenIdClient, given: Mapping[str, str]) -> Unauthenticated:
    """What the provider says in the address. Only the browser that has begun reads it, so no link can put words here
    for others."""
    error, description = given["error"], given["error_description"]
    if error == "access_denied":
        words = f"You, or {client.label}, have declined."
    else:
        words = f"{client.label} says: {in_words(description or error or 'nothing')}"
    return Unauthenticated(words, reason=f"{client.issuer.name} answers {said(error)}: {said(description)}")


def _failure(request: Request, client: OpenIdClient, error: Unauthenticated | AuthenticationUnavailable) -> Response:
    info = request_of(request.scope)
    info.code, info.reason = error.extension_code, error.reason
    if isinstance(error, AuthenticationUnavailable):
        return answer(request, UNAVAILABLE, 503)
    label, language = escape(client.label), language_of(request)
    title = both("You are not signed in", "Vous n’êtes pas connecté")
    why = both(
        f"Signing in with {label} needs an account there that has access here. If you think that yours has,\n"
        "ask the people who run this page; they find the reason in its log.",
        f"Pour se connecter avec {label}, il faut y avoir un compte qui a accès ici. Si vous pensez que c’est le cas,\n"
        "adressez-vous aux personnes qui exploitent cette page : elles trouvent la raison dans son journal.",
    )
    another = both("Sign in another way", "Se connecter autrement")
    content = f"""<p lang="en">{escape(error.message)}</p>
<p>{why[language]}</p>
<p><a href="{SIGN_IN}">{another[language]}</a></p>"""
    return answer(request, page_of(language, title[language], content), 403)


def _client(request: Request) -> OpenIdClient:
    clients: Mapping[str, OpenIdClient] = request.state.openid_clients
    client = clients.get(request.path_params["name"])
    if client is None:
        raise HTTPException(404)
    return client


def _packed(begun: BegunSignIn) -> str:
    return urlsafe_b64encode(json.dumps(asdict(begun)).encode()).decode().rstrip("=")


def _begun(request: Request) -> BegunSignIn | None:
    from callout.auth.openid import BegunSignIn  # Authlib, which is loaded only where there is a provider

    packed = session_cookie.value_in(request.scope["headers"], COOKIE.encode())
    if packed is None:
        return None
    try:
        found = BegunSignIn(**json.loads(urlsafe_b64decode(packed + "=" * (-len(packed) % 4))))
    except (ValueError, TypeError):
        return None
    return found if all(isinstance(value, str) for value in asdict(found).values()) else None


ROUTES: Final = [
    Route(f"{SIGN_IN}/with/{{name}}", start),
    Route(f"{SIGN_IN}/with/{{name}}/back", back),
]
