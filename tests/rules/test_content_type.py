"""What a file is, by its first bytes."""

from __future__ import annotations

import pytest

from callout.files.content_type import PHOTOS, UNKNOWN, content_type

SHOWN = {
    "image/jpeg": b"\xff\xd8\xff\xe1\x00\x10Exif",
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/gif": b"GIF89a\x01\0\x01\0",
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "image/heic": b"\0\0\0\x18ftypheic\0\0\0\0",
    "image/avif": b"\0\0\0\x18ftypavif\0\0\0\0",
    "image/tiff": b"II*\0\x08\0\0\0",
    "application/pdf": b"%PDF-1.7\n",
    "application/zip": b"PK\x03\x04\x14\0",
    "video/mp4": b"\0\0\0\x18ftypisom\0\0\0\0",
    "video/quicktime": b"\0\0\0\x14ftypqt  \0\0\0\0",
    "video/3gpp": b"\0\0\0\x14ftyp3gp4\0\0\0\0",
    "audio/wav": b"RIFF\x10\0\0\0WAVEfmt ",
}
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize("actual", SHOWN)
def test_a_file_is_what_its_bytes_show_whatever_was_declared(actual: str) -> None:
    for declared in ("", "text/html", "image/svg+xml", "image/png", "application/x-msdownload", actual):
        assert content_type(SHOWN[actual], declared) == actual


@pytest.mark.parametrize(
    "head",
    [
        b"<!doctype html><script>alert(1)</script>",
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        b"<?xml version='1.0'?><svg/>",
        b"#!/bin/sh\nrm -rf ~",
        b"MZ\x90\0\x03",
        b"\x7fELF\x02",
        b"alert(1)",
        b"",
        bytes(range(256)),
    ],
)
def test_nothing_that_a_browser_or_a_system_runs_keeps_a_type_that_it_runs(head: bytes) -> None:
    for declared in ("text/html", "image/svg+xml", "text/javascript", "application/xhtml+xml", "text/xml", *PHOTOS):
        assert content_type(head, declared) == UNKNOWN


@pytest.mark.parametrize("declared", ["text/plain", "TEXT/PLAIN; charset=utf-8", " text/plain ;x=\r\ny"])
def test_a_plain_text_stays_one(declared: str) -> None:
    assert content_type(b"Zone 3 is open.\n", declared) == "text/plain"


@pytest.mark.parametrize("head", [b"MZ\x90\0\x03", b"#!/bin/sh\n", b"text with a \0 byte"])
def test_a_program_is_no_plain_text(head: bytes) -> None:
    assert content_type(head, "text/plain") == UNKNOWN


def test_an_archive_is_the_document_that_it_is_declared_to_be_and_nothing_else() -> None:
    assert content_type(b"PK\x03\x04", WORD) == WORD
    assert content_type(b"PK\x03\x04", "application/java-archive") == "application/zip"
    assert content_type(b"PK\x03\x04", WORD + "\r\nX: y") == "application/zip"
    assert content_type(b"\xff\xd8\xff", WORD) == "image/jpeg"


@pytest.mark.parametrize(
    "declared", ["text/plain\r\nSet-Cookie: a=b", "a" * 100_000, "/" * 100_000, "text/plain,text/html", "\0"]
)
def test_a_hostile_type_is_no_type(declared: str) -> None:
    assert content_type(b"hello", declared) == UNKNOWN


def test_a_picture_that_is_also_a_page_is_a_picture() -> None:
    both = b"GIF89a/*" + b"<html><script>alert(1)</script>" + b"*/=1"
    assert content_type(both, "text/html") == "image/gif"
