"""What software writes into plain text besides words: soft line breaks (RFC 3676), the armour of PGP, and the markup of
`text/enriched` (RFC 1896)."""

from __future__ import annotations

import re

_QUOTED = re.compile(r">*")
_SIGNED = re.compile(
    r"^-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\n(?:[A-Z][\w-]{0,30}: [^\n]{0,200}\n){0,10}\n?", re.MULTILINE
)
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_SIGNATURE_END = "-----END PGP SIGNATURE-----"
_SECRET = re.compile(
    r"^-----BEGIN PGP MESSAGE-----[ \t]*$.*?(?:^-----END PGP MESSAGE-----[ \t]*\n?|\Z)", re.MULTILINE | re.DOTALL
)
_ESCAPED_DASH = re.compile(r"^- ", re.MULTILINE)
_ENRICHED_PARAMETER = re.compile(r"<param>[^<]{0,1000}</param>", re.IGNORECASE)
_ENRICHED_TAG = re.compile(r"<(?!<)/?[A-Za-z][\w-]{0,60}>")


def unflowed(text: str, *, delete_space: bool) -> str:
    """Joins the lines that were broken softly: those with a blank at the end, if the next is quoted as deeply. Lines
    have their quotation marks without the blanks between them. `delete_space` is the parameter `DelSp`."""
    lines: list[str] = []
    open_depth: int | None = None  # of the last line, if it goes on
    for line in text.split("\n"):
        depth = len(_QUOTED.match(line)[0])  # type: ignore[index]  # it matches any text
        words = line[depth:].removeprefix(" ")
        signature = words == "-- "
        flows = words.endswith(" ") and not signature
        said = words[:-1] if flows and delete_space else words
        if open_depth == depth and not signature:
            lines[-1] += said
        else:
            lines.append(f"{'>' * depth}{' ' if depth else ''}{said}")
        open_depth = depth if flows else None
    return "\n".join(lines)


def unarmoured(text: str) -> tuple[str, list[str]]:
    """The text without PGP's armour, and the encrypted blocks that were in it."""
    if "-----BEGIN PGP " not in text:
        return text, []
    text = _unsigned(text)
    return _SECRET.sub("", text), _SECRET.findall(text)


def _unsigned(text: str) -> str:
    """The text without clear signatures. It is searched once from front to back, however many do not end."""
    kept: list[str] = []
    at = 0
    while (begin := _SIGNED.search(text, at)) and (stop := text.find(_SIGNATURE, begin.end())) >= 0:
        end = text.find(_SIGNATURE_END, stop)
        kept += [text[at : begin.start()], _ESCAPED_DASH.sub("", text[begin.end() : stop])]
        at = len(text) if end < 0 else end + len(_SIGNATURE_END)
    return "".join((*kept, text[at:]))


def unenriched(text: str) -> str:
    """The words of `text/enriched`, in which a single line end is a blank."""
    text = _ENRICHED_TAG.sub("", _ENRICHED_PARAMETER.sub("", text)).replace("<<", "<")
    return re.sub(r"\n+", lambda ends: " " if len(ends[0]) == 1 else "\n" * (len(ends[0]) - 1), text)
