"""Who wrote a message: the sender in From, or the one for whom a web form or a list of ours has sent it.

DMARC is about From alone. So nothing that is in Reply-To is verified, and a writer who was found there may do less; and
still less if the form is not ours, because whoever runs it can name anybody (docs/decisions/who-wrote.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from notifiers.inbound.header import Header
from notifiers.message_ids import OwnMail

_BULK = {"bulk", "junk", "auto_reply"}
_NO_REPLY = (
    *("noreply", "donotreply", "noresponse", "norespond", "nepasrepondre", "noresponder", "nichtantworten"),
    *("nonrispondere", "naoresponda", "naoresponder", "nieodpowiadac", "geenantwoord", "svarainte", "ingensvar"),
)
_PROGRAMS = {
    *("wordpress", "www", "wwwdata", "www-data", "web", "website", "webmaster", "apache", "httpd", "nginx", "nobody"),
    *("form", "forms", "webform", "webforms", "contactform", "contact-form", "formmail", "formmailer", "submissions"),
    *("kontaktformular", "formulaire", "formulario", "php", "cgi", "drupal", "joomla", "typo3", "shopify", "wix"),
    *("mailer", "automailer", "notify", "notification", "notifications", "system", "server", "robot", "bot", "smtp"),
}
"""The first parts of addresses from which web servers and the services of forms send."""
_FORM_NAME = re.compile(
    r"\b(?:web ?site|web ?master|web ?form|contact ?form|form submission|wordpress|via|kontaktformular|kontaktskjema"
    r"|(?:formulaire|formulario|formulário) de contact\w*|modulo (?:di )?contatt\w*|contactformulier|webseite)\b",
    re.IGNORECASE,
)
_FORM_FIELDS = ("x-php-originating-script", "x-php-script", "x-wpcf7-content-type")
_LIST_ADDRESS = re.compile(r"\blist\s+([^\s;]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Writer:
    """The writer's name and address; the address is None if it cannot be determined. `through` is the address in From,
    if a form or a list has sent the message for the writer; `ours` is true if that form or list is ours."""

    name: str
    address: str | None
    through: str | None = None
    ours: bool = False

    def fault(self, header: Header) -> str:
        """The reason why there is no address."""
        if self.through is not None:
            return "The Reply-To header must contain exactly one address."
        return header.senders_fault()


def writer_of(header: Header, own: OwnMail) -> Writer:
    """A message from our own address, or from a web form, is its Reply-To's, if that is one other mailbox. A list of
    ours also names the writer in X-Original-From and X-Original-Sender."""
    name, sender = header.sender()
    if sender is None:
        return Writer(name, None)
    ours = own.addresses | own.lists
    relayed = sender.lower() in ours
    of_ours = relayed or sender.lower() in own.forms
    if not of_ours and not _is_form(header, name, sender):
        return Writer(name, sender)
    fields = ["reply-to", *(("x-original-from", "x-original-sender") if relayed else ())]
    for field in fields:
        others = {
            address.lower(): (shown, address)
            for shown, address in header.mailboxes(field)
            if address.lower() not in ours and address.lower() != sender.lower()
        }
        if len(others) == 1:
            ((shown, address),) = others.values()
            return Writer(shown, address, through=sender, ours=of_ours)
        if others and relayed:
            return Writer(name, None, through=sender, ours=True)
    return Writer(name, sender)


def recipients_of(header: Header, own: OwnMail) -> tuple[str, ...]:
    """The addresses in To and Cc, in lower case, without our own."""
    return tuple(address for address in header.addresses("to", "cc") if address not in own.addresses)


def is_list_of_ours(header: Header, own: OwnMail) -> bool:
    """Whether the list that has sent the message has an address of ours: `Mailing-list: list support@example.com; …`,
    `List-Post: <mailto:support@example.com>`, or `List-Id: <support.example.com>` (RFC 2919), in which a dot stands for
    the @. A list with another id that one can unsubscribe from is a newsletter, whatever else it says."""
    if header.word("precedence") in _BULK:
        return False
    ours = own.addresses | own.lists
    posted, named, mailing = header.said("list-post", "list-id", "mailing-list")
    ids = {id_.lower() for id_ in re.findall(r"<([^<>\s]+)>", named)}
    if ids & {address.replace("@", ".") for address in ours}:
        return True
    if ids and header.values("list-unsubscribe"):
        return False
    found = re.findall(r"<mailto:([^>?\s]+)", posted, re.IGNORECASE) + _LIST_ADDRESS.findall(mailing)
    return not ours.isdisjoint(address.lower() for address in found)


def _is_form(header: Header, name: str, sender: str) -> bool:
    local = _local(sender).partition("+")[0]
    plain = re.sub(r"[-_.']", "", local)
    return (
        plain.startswith(_NO_REPLY)
        or local in _PROGRAMS
        or plain in _PROGRAMS
        or bool(_FORM_NAME.search(name))
        or any(header.values(field) for field in _FORM_FIELDS)
    )


def _local(address: str) -> str:
    return address.lower().partition("@")[0]
