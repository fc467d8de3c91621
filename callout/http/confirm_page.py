"""`/confirm-address`: the page on which the recipient of a mail confirms their address.

A GET shows a button and changes nothing, because programs that check mail open its links; a POST confirms. The page has
no scripts. Its answer to an unknown token is the one to an expired token, and a GET does not look at the token at all,
so the page says nothing to anyone who has not received the mail. Attempts are limited, wrong ones more than right ones
(`confirm_attempts.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil
from time import monotonic
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from callout.http.confirm_attempts import ConfirmAttempts
from callout.http.context import request_of
from callout.http.plain_page import HEADERS, InBoth, language_of, pages_of
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from notifiers import contacts
from pubsub.bell import Bell

logger = logging.getLogger(__name__)

PATH: Final = "/confirm-address"

_QUESTION: Final = pages_of(
    (
        "Is this your e-mail address?",
        """<p>We have received a request for help that gives your e-mail address. Confirm that the address is yours, and
we will answer you there.</p>
<p>If you did not make a request, close this page: without your confirmation, we send nothing else.</p>
<form method="post"><button>Yes, it is my address</button></form>""",
    ),
    (
        "Est-ce votre adresse courriel ?",
        """<p>Nous avons reçu une demande d’aide qui donne votre adresse courriel. Confirmez que l’adresse est la vôtre,
et nous vous y répondrons.</p>
<p>Si vous n’avez rien demandé, fermez cette page : sans votre confirmation, nous n’envoyons rien d’autre.</p>
<form method="post"><button>Oui, c’est mon adresse</button></form>""",
    ),
)
_CONFIRMED: Final = pages_of(
    ("Thank you", "<p>Your e-mail address is confirmed. We will answer you there. You can close this page.</p>"),
    ("Merci", "<p>Votre adresse courriel est confirmée. Nous vous y répondrons. Vous pouvez fermer cette page.</p>"),
)
_INVALID: Final = pages_of(
    (
        "This link does not work",
        f"""<p>Part of it may be missing, or it is more than {contacts.CONFIRMABLE.days} days old. Please open it from
the e-mail again, or contact us with the reference of your request.</p>""",
    ),
    (
        "Ce lien ne fonctionne pas",
        f"""<p>Il en manque peut-être une partie, ou il date de plus de {contacts.CONFIRMABLE.days} jours. Veuillez le
rouvrir depuis le courriel, ou nous écrire avec la référence de votre demande.</p>""",
    ),
)
_UNAVAILABLE: Final = pages_of(
    (
        "Please try again in a minute",
        """<p>We cannot confirm your e-mail address at the moment. Your link keeps working.</p>
<form method="post"><button>Try again</button></form>""",
    ),
    (
        "Veuillez réessayer dans une minute",
        """<p>Nous ne pouvons pas confirmer votre adresse courriel pour le moment. Votre lien reste valable.</p>
<form method="post"><button>Réessayer</button></form>""",
    ),
)
_TOO_MANY: Final = pages_of(
    (
        "Please try again in a minute",
        """<p>There have been too many attempts. Your link keeps working.</p>
<form method="post"><button>Try again</button></form>""",
    ),
    (
        "Veuillez réessayer dans une minute",
        """<p>Il y a eu trop de tentatives. Votre lien reste valable.</p>
<form method="post"><button>Réessayer</button></form>""",
    ),
)


async def confirm_page(request: Request) -> Response:
    if request.method != "POST":
        return _answer(request, _QUESTION)
    attempts: ConfirmAttempts = request.state.confirm_attempts
    info = request_of(request.scope)
    wait = attempts.begin(info.client, monotonic())
    if wait:
        info.code = "RATE_LIMITED"
        return _answer(request, _TOO_MANY, 429, {"retry-after": str(ceil(wait))})
    answer = await _confirm(request)
    if answer.status_code != 404:
        attempts.was_right(info.client, monotonic())
    return answer


async def _confirm(request: Request) -> Response:
    database: Database = request.state.database
    try:
        confirmed = await contacts.confirm(database, request.query_params.get("token", ""))
    except OUTAGE as error:
        if not is_logged(error):
            logger.warning("an address cannot be confirmed: %s", error or type(error).__name__)
        return _answer(request, _UNAVAILABLE, 503)
    if not confirmed:
        return _answer(request, _INVALID, 404)
    bell: Bell = request.state.bell
    bell.ring()  # wakes the worker, which sends what has waited for this
    return _answer(request, _CONFIRMED)


def _answer(request: Request, page: InBoth, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return HTMLResponse(page[language_of(request)], status, {**HEADERS, **(headers or {})})


ROUTES: Final = [Route(PATH, confirm_page, methods=["GET", "POST"])]
