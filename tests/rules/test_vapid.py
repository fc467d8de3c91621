"""Keys for Web Push, their signatures and the receipts made with them."""

from __future__ import annotations

import time
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from notifiers.vapid import VapidKey, decoded, encoded

KEY = VapidKey.generate()
OTHER = VapidKey.generate()


def test_a_key_is_read_as_it_is_written() -> None:
    again = VapidKey.parse(KEY.text)
    assert (again.text, again.public) == (KEY.text, KEY.public)
    assert (len(decoded(KEY.text)), len(decoded(KEY.public)), decoded(KEY.public)[0]) == (32, 65, 4)


@pytest.mark.parametrize(
    "text",
    ["", "x", "A" * 43, KEY.text[:-3], f"{KEY.text}AAAA", KEY.public, f"{KEY.text[:-1]}!", "ä" * 43],
    ids=["empty", "short", "zero", "cut", "long", "public", "no base64", "no ASCII"],
)
def test_anything_else_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="callout push-keys"):
        VapidKey.parse(text)


def test_a_signature_is_for_the_origin_of_the_push_service() -> None:
    header = KEY.authorization("https://push.example.test:8443/send/abc?x=y", "mailto:ops@company.test")
    token, key = header.removeprefix("vapid t=").split(", k=")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(key))
    claims = jwt.decode(token, public, algorithms=["ES256"], audience="https://push.example.test:8443")
    assert claims["sub"] == "mailto:ops@company.test"
    assert 0 < claims["exp"] - time.time() <= 86_400


def test_a_receipt_names_its_delivery_and_nobody_else_can_make_it() -> None:
    delivery = str(uuid.uuid4())
    token = KEY.receipt(delivery)
    assert (KEY.acknowledged(token), len(token)) == (delivery, 43)
    assert OTHER.acknowledged(token) is None
    foreign = encoded(uuid.uuid4().bytes + decoded(token)[16:])
    for wrong in (foreign, "", token[:-1], token[:22], f"{token}AA", "ä", "\0", "=" * 43):
        assert KEY.acknowledged(wrong) is None


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xfb\xff", bytes(16)])
def test_bytes_are_written_without_padding_and_read_with_and_without(data: bytes) -> None:
    assert "=" not in encoded(data)
    assert decoded(encoded(data)) == decoded(encoded(data) + "==") == data


@pytest.mark.parametrize("text", ["A", "AA+A", "AA/A", "A A=", "AB", "ä"])
def test_other_texts_are_no_base64(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decoded(text)
