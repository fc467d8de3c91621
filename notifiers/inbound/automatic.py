"""Whether a program sent a message: by RFC 3834, and by the older and proprietary fields of other mail systems."""

from __future__ import annotations

import re

from notifiers.inbound.header import Header
from notifiers.inbound.writer import Writer, is_list_of_ours
from notifiers.message_ids import OwnMail

_BOUNCER = "mailer-daemon"
_BULK = {"bulk", "junk", "list", "auto_reply"}
_ASKS_FOR_NO_REPLY = {"all", "oof", "autoreply"}
# As Exchange writes them, in the languages of its users.
_AUTOMATIC_REPLY = re.compile(
    r"\s*(?:automatic reply|out of office|automatische antwort|abwesenheitsnotiz|réponse automatique"
    r"|automatisch antwoord|respuesta automática|risposta automatica|resposta automática|automatiskt? svar"
    r"|automaattinen vastaus|odpowiedź automatyczna|automatická odpověď|автоматический ответ"
    r"|自動応答|自动答复)\s*[:\uff1a]",
    re.IGNORECASE,
)


def automatic(header: Header, own: OwnMail, writer: Writer, message_id: str | None) -> str | None:
    """The reason to take the message for that of a program, a mailing list or Callout itself; None if a person wrote
    it. Each mark is enough, except for X-Auto-Response-Suppress, which Exchange sets on people's mail too."""
    if message_id is not None and own.ticket_of(message_id):
        return "Callout sent this message (Message-ID)."
    sender = (writer.address or "").lower()
    if sender in own.addresses:
        return "Callout sent this message (From address)."
    if header.word("auto-submitted") not in ("", "no"):
        return "It was sent automatically (Auto-Submitted)."
    return _of_a_list(header, own) or _of_a_program(header, sender)


def _of_a_list(header: Header, own: OwnMail) -> str | None:
    bulk, listed = header.word("precedence") in _BULK, bool(header.values("list-id"))
    if not (bulk or listed) or is_list_of_ours(header, own):
        return None
    return "It is bulk mail (Precedence)." if bulk else "It came from a mailing list (List-Id)."


def _of_a_program(header: Header, sender: str) -> str | None:
    asked = {word.strip().lower() for value in header.values("x-auto-response-suppress") for word in value.split(",")}
    if asked & _ASKS_FOR_NO_REPLY and _AUTOMATIC_REPLY.match(header.line("subject", 200)):
        return "It was sent automatically (X-Auto-Response-Suppress)."
    for name in ("x-autoreply", "x-autorespond"):
        if header.values(name):
            return "It was sent automatically (X-Autoreply)."
    if header.content_type() == "multipart/report":
        return "It is a delivery report (multipart/report)."
    returned = [value.strip(" <>").partition("@")[0].lower() for value in header.values("return-path")]
    if {"", _BOUNCER}.intersection(returned):
        return "It is a delivery report (empty Return-Path)."
    if sender.partition("@")[0] == _BOUNCER:
        return "It is a delivery report (MAILER-DAEMON)."
    return None
