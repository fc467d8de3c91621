"""Random inputs of mutations, and the marks in them: words that stand nowhere else, so that each shows where a text
came from."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    get_named_type,
    is_required_input_field,
)

from tests.helpers.schema_walker import PREFIXES, root_fields, unknown

_LIKELIHOODS = {"contact": 0.9, "name": 0.9, "email": 0.9, "customerId": 0.4, "accountNumber": 0.3, "propertyId": 0.15}
"""How likely an input has an optional field, if it is not one time in two: a contact is mostly needed, and a property
mostly that of another customer."""

_ANSWERS = {"active": True, "everyone": False}
"""Fields that are always so: an inactive viewer, or one whose token is revoked, could do nothing more."""

_ONE_OF = ("CustomerLookUpInput", "TokensRevokeInput")
"""Inputs of which exactly one field must be set, besides their key."""

CURSOR = re.compile(r'"\w*[cC]ursor": "[^"]*"')
_MARK = re.compile(r"\bzq[a-z]{6}\b|\b5550\d{6}\b")


def marks_in(text: str) -> set[str]:
    """Returns the marks in an answer, whose cursors have random words."""
    return set(_MARK.findall(CURSOR.sub("", text)))


class Inputs:
    """Makes random inputs, which are valid except for what they refer to.

    `ids` returns the ids to choose from, by prefix. `people` has what identifies each of some people, by the names of
    input fields: an input has some of it from one of them, as if its sender knew or guessed it.
    """

    def __init__(self, pick: random.Random, ids: Callable[[str], Sequence[str]]) -> None:
        self._pick = pick
        self._ids = ids
        self.people: Sequence[Mapping[str, str]] = ()
        self._person: Mapping[str, str] = {}
        self._rarely: Container[str] = ()

    def word(self) -> str:
        """Returns a new mark."""
        return "zq" + "".join(self._pick.choices("abcdefghijklmnopqrstuvwxyz", k=6))

    def of(self, mutation: str, rarely: Container[str] = ()) -> dict[str, Any]:
        """Returns an input for the mutation. It rarely has the optional fields in `rarely`."""
        self._rarely = rarely
        self._person = self._pick.choice(self.people) if self.people else {}
        type_ = get_named_type(root_fields("Mutation")[mutation].args["input"].type)
        given: dict[str, Any] = self._value(type_, "input")
        return given

    def _value(self, type_: Any, name: str) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return self._value(type_.of_type, name)
        if isinstance(type_, GraphQLList):
            return [self._value(type_.of_type, name) for _ in range(self._pick.choice([1, 1, 2]))]
        if isinstance(type_, GraphQLEnumType):
            return self._pick.choice(list(type_.values))
        if isinstance(type_, GraphQLInputObjectType):
            return self._object(type_)
        match type_.name:
            case "ID":
                return self._id(name)
            case "Boolean":
                return _ANSWERS.get(name, self._pick.random() < 0.5)
            case "Int":
                return self._pick.randint(1, 3)
            case "DateTime" if name == "occurredAt":
                return (datetime.now(UTC) - timedelta(hours=self._pick.randint(0, 700))).isoformat()
            case "DateTime":
                return "2027-11-24T08:15:00Z"
        return self.text(name)

    def _object(self, type_: GraphQLInputObjectType) -> dict[str, Any]:
        fields = dict(type_.fields)
        if type_.is_one_of or type_.name in _ONE_OF:
            name = self._pick.choice([name for name in fields if name != "idempotencyKey"])
            return {name: self._value(fields[name].type, name)}
        return {
            name: self._value(field.type, name)
            for name, field in fields.items()
            if self._pick.random() < self._likelihood(name) or is_required_input_field(field)
        }

    def _likelihood(self, name: str) -> float:
        return 0.05 if name in self._rarely else _LIKELIHOODS.get(name, 0.5)

    def _id(self, name: str) -> str:
        ids = self._ids(PREFIXES[name])
        return self._pick.choice(ids) if ids and self._pick.random() < 0.9 else unknown(name)

    def texts(self, *names: str) -> dict[str, str | None]:
        return {name: self.text(name) for name in names}

    def text(self, name: str) -> str | None:
        """Returns a text for the input field of this name, with a new mark in it, or that of a person."""
        if name in self._person and self._pick.random() < 0.6:
            return self._person[name]
        word = self.word()
        match name:
            case "email" | "adminRecipients":
                return f"{word}@people.example"
            case "phone":
                return f"5550{self._pick.randrange(10**6):06}"
            case "googleChatWebhookUrl":
                return None
            case "text":
                sender = self.text("email")
                return f"From: {sender}\nMessage-ID: <{word}@people.example>\nSubject: {word}\n\nThe door sticks.\n"
            case "encoded":
                return base64.b64encode(str(self.text("text")).encode()).decode()
        return f"About {word}"
