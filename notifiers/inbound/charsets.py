"""Decodes the bytes of mail as browsers do, by the tables of the WHATWG Encoding Standard.

Where browsers give up, mail has to be read nevertheless: encodings that only mail has (UTF-7, ISO-2022-KR, HZ), and
texts whose declaration is missing, unknown or wrong, which chardet detects (docs/decisions/inbound-mail-parts.md).
"""

from __future__ import annotations

import codecs
import re

import webencodings  # type: ignore[import-untyped]

_SAMPLE_BYTES = 8_000  # given to the detection, whose time is quadratic in the worst case
_SEARCHED_BYTES = 200_000  # for that sample
_META_BYTES = 4_096  # browsers search 1,024

_LABEL = re.compile(r"[a-z0-9][a-z0-9_.:+-]{0,39}")
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}  # slow or unsafe codecs

# Python's codecs that have all characters which browsers decode under these names.
_CODECS = {
    "big5": "big5hkscs",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "iso-2022-jp": "iso2022_jp",
    "iso-8859-8-i": "iso8859_8",
    "macintosh": "mac_roman",
    "shift_jis": "cp932",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac_cyrillic",
}
_MAIL_CODECS = {
    "csiso2022kr": "iso2022_kr",
    "hz-gb-2312": "hz",
    "iso-2022-kr": "iso2022_kr",
    "unicode-1-1-utf-7": "utf_7",
    "x-unicode-2-0-utf-7": "utf_7",
}
_UNDECLARED = {"us-ascii", "ascii", "ansi_x3.4-1968", "x-user-defined", "x-unknown", "unknown-8bit"}
_MULTIBYTE = {"big5hkscs", "cp932", "cp949", "cp950", "euc_jp", "gb18030"}
_WESTERN = {"windows-1252", "iso-8859-15"}  # the wrong declaration of much software
_BY_CHANCE = 3  # characters that are valid UTF-8 in another charset, too

_DETECTED = [
    *("big5hkscs", "cp932", "cp949", "euc_jis_2004", "euc_kr", "gb18030", "koi8-r", "koi8-u", "cp866", "cp874"),
    *("iso8859-2", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", *(f"cp125{n}" for n in range(9))),
]
_DETECTED_LATIN = ["cp1250", "cp1252", "cp1254", "cp1257"]
_SPELLED_OUT = re.compile(rb"[\x80-\xff]{2}")  # scripts other than Latin have several such bytes in a row
_LATIN_BYTES = 40  # of fewer bytes that are not ASCII, too little is known to detect another script
_WESTERN_BYTES = 3  # of fewer, too little is known to detect anything

_ESCAPES = re.compile(rb"(\x1b(?:\$\([CDOQ]|\$[@AB]|\([BHIJ]))")  # ISO 2022: what the following bytes stand for
_ISO_2022 = re.compile(rb"\x1b(?:\$[@AB]|\$\([CDOQ]|\(I)")
_HIGH = bytes(byte | 0x80 if 0x21 <= byte <= 0x7E else byte for byte in range(256))
_ROMAN = str.maketrans("\\~", "¥‾")
_AS_BROWSERS = str.maketrans("\u301c\u2016\u2212¢£¬", "\uff5e\u2225\uff0d￠￡￢")

_META = re.compile(
    rb"""<meta\s[^>]{0,500}?charset\s*=\s*["']?\s*([^\s"'/>;]{1,40})|^\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([^"']{1,40})""",
    re.IGNORECASE,
)
_ONLY_ASCII = re.compile(rb"[\t\r\n -~]*")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def decoded(data: bytes, *charsets: str | None) -> str:
    """Decodes `data` by the first of the declared `charsets` that fits it, or by the one that it seems to have. Bytes
    that do not fit become replacement characters, one for each character that they spoil."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(name, "replace")
    for charset in charsets:
        codec = _codec(charset)
        text = None if codec is None else _fitting(data, codec)
        if text is not None:
            return text
    return _detected(data, next(filter(None, map(_codec, charsets)), None))


def declared_in_html(data: bytes) -> str | None:
    """The charset that HTML's own `<meta>`, or the XML declaration of XHTML, names."""
    found = _META.search(data[:_META_BYTES])
    label = (found[1] or found[2]).decode("ascii", "replace") if found else None
    # It could not have been read if it were UTF-16.
    return "utf-8" if label is not None and label.lower().startswith("utf-16") else label


def _codec(charset: str | None) -> str | None:
    """Python's name of a declared charset's codec; None if it declares nothing that is known."""
    found = _LABEL.search((charset or "").lower())
    label = found[0] if found else ""
    if label in _UNDECLARED:
        return None
    if label in _MAIL_CODECS:
        return _MAIL_CODECS[label]
    known = webencodings.lookup(label)
    if known is not None and known.name != "replacement":
        return _CODECS.get(str(known.name), str(known.name))
    try:
        name = codecs.lookup(label).name
        return None if name in _NO_CHARSETS or not isinstance(bytes(4).decode(name), str) else name
    except (LookupError, ValueError):
        return None


def _fitting(data: bytes, codec: str) -> str | None:
    """`data` decoded, or None if more of it is spoilt than a mistake or two explain."""
    if codec.startswith("utf-16"):
        return _utf_16(data, codec)
    text = None if data.isascii() else _strictly(data, "utf-8")
    if text is not None and (codec == "utf-8" or codec in _WESTERN or _beyond_ascii(text) > _BY_CHANCE):
        return text
    text = _read(data, codec)
    spoilt = text.count("\ufffd")
    if not spoilt:
        return text
    right = _beyond_ascii(text) - spoilt
    return text if spoilt <= (right if codec == "utf-8" else 1 + right // 10) else None


def _beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _read(data: bytes, codec: str) -> str:
    if codec == "iso2022_jp":
        return "".join(_iso_2022(data))
    if codec == "euc_jp":
        return data.decode(codec, "callout.multibyte").translate(_AS_BROWSERS)
    if codec == "big5hkscs":
        return _strictly(data, codec) or _strictly(data, "cp950") or data.decode(codec, "callout.multibyte")
    try:
        return data.decode(codec, "callout.multibyte" if codec in _MULTIBYTE else "replace")
    except ValueError:  # codecs that know no replacement
        return "\ufffd" * len(data)


def _strictly(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except ValueError:
        return None


def _utf_16(data: bytes, codec: str) -> str | None:
    """UTF-16 as its zeros lie: without a byte order mark, software agrees on the order no more than standards do."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    if _ONLY_ASCII.fullmatch(data):
        return None
    if even != odd:
        codec = "utf-16-be" if even > odd else "utf-16-le"
    return data.decode(codec, "replace")


def _detected(data: bytes, declared: str | None) -> str:
    if data.isascii() and not data.count(0):
        return _read(data, "iso2022_jp" if _ISO_2022.search(data) else "ascii")
    text = _fitting(data, "utf-8")
    if text is not None and not data.count(0):
        return text
    if data.count(0) * 4 > len(data):
        return _utf_16(data, "utf-16-le") or ""
    codec = _codec(_guess(data))
    text = None if codec is None else _fitting(data, codec)
    return _read(data, declared or "cp1252") if text is None else text


def _guess(data: bytes) -> str | None:
    """The charset that the text seems to have."""
    import chardet  # here, as it takes long to import, and most messages are declared correctly

    # Long runs of ASCII, such as HTML's, say nothing about the charset.
    sample = re.sub(rb"([\x00-\x7f]{16})[\x00-\x7f]+", rb"\1 ", data[:_SEARCHED_BYTES])[:_SAMPLE_BYTES]
    high = sum(map(len, re.findall(rb"[\x80-\xff]+", sample)))
    latin = high < _LATIN_BYTES and not _SPELLED_OUT.search(sample)
    if latin and high < _WESTERN_BYTES:
        return "windows-1252"
    found = chardet.detect(
        sample,
        include_encodings=_DETECTED_LATIN if latin else _DETECTED,
        compat_names=False,
        no_match_encoding="cp1252",
    )
    return found["encoding"]


def _iso_2022(data: bytes) -> list[str]:
    """ISO-2022-JP with all that Outlook and others write under its name: half-width katakana, NEC's row 13, and the
    other sets of ISO-2022-JP-2 and -3."""
    first, *others = _ESCAPES.split(data)
    texts = [first.decode("cp932", "callout.multibyte")]
    for escape, piece in zip(others[::2], others[1::2], strict=True):
        texts.append(_of_set(escape[1:], piece))
    return texts


def _of_set(escape: bytes, piece: bytes) -> str:
    match escape:
        case b"$@" | b"$B":
            return _read(piece.translate(_HIGH), "euc_jp")
        case b"$(D":
            return re.sub(rb"[\xa1-\xfe]{2}", lambda pair: b"\x8f" + pair[0], piece.translate(_HIGH)).decode(
                "euc_jp", "callout.multibyte"
            )
        case b"$(O" | b"$(Q":
            return piece.translate(_HIGH).decode("euc_jis_2004", "replace")
        case b"$A":
            return piece.translate(_HIGH).decode("gb18030", "callout.multibyte")
        case b"$(C":
            return piece.translate(_HIGH).decode("cp949", "callout.multibyte")
        case b"(I":
            return piece.translate(_HIGH).decode("cp932", "callout.multibyte")
        case b"(J":
            return piece.decode("cp932", "callout.multibyte").translate(_ROMAN)
        case _:
            return piece.decode("cp932", "callout.multibyte")


def _multibyte_error(error: UnicodeError) -> tuple[str, int]:
    """Reads what Python's codecs lack, and otherwise replaces one character, of two bytes if it seems to have two."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    lead, trail = (*error.object[error.start : error.start + 2], 0)[:2]
    if error.encoding == "gb18030" and lead == 0x80:
        return "€", error.start + 1
    if error.encoding == "euc_jp" and min(lead, trail) >= 0xA1:
        row, cell = lead - 0xA1, trail - 0xA1
        shifted = bytes((row // 2 + (0x81 if row < 62 else 0xC1), cell + (0x9F if row % 2 else 0x40 + (cell > 62))))
        return _strictly(shifted, "cp932") or "\ufffd", error.start + 2
    wide = 0x81 <= lead <= 0xFE and trail >= 0x80
    return "\ufffd", error.start + (2 if wide else 1)


codecs.register_error("callout.multibyte", _multibyte_error)
