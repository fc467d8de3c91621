"""Corpora of replies: texts with a quoted history or a signature, and what is left without them.

Their tests are programs, of which only literals are read; nothing of a corpus is executed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.corpora.case import Case, Corpus, reply, unicode_of

_STRING = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_JS_FUNCTION = re.compile(r"export function (\w+)\(test\) ?\{(.*?)\n\}", re.DOTALL)
_JS_MAIL = re.compile(r"""get_email\("(\w+)"\)""")
_JS_COMMON = re.compile(rf"COMMON_FIRST_FRAGMENT = {_STRING}", re.DOTALL)
_JS_EXPECTED = re.compile(
    rf"test\.(?:deepE|e)qual\((COMMON_FIRST_FRAGMENT|{_STRING}), (?:\w+\.)?"
    r"(?:fragments\[0\](?:\.toString\(\))?(?:\.trim\(\))?|getVisibleText\(\)|text)\)",
    re.DOTALL,
)
_RUBY_MAIL = re.compile(r'EMAIL_FIXTURE_PATH\.join\("(\w+)\.txt"\).*?\n\s*assert_equal ("(?:[^"\\]|\\.)*"),', re.DOTALL)
_PYTHON_MAIL = re.compile(rf"open\('test/emails/(\w+)\.txt'\).*?assertEqual\(\s*{_STRING},", re.DOTALL)


def _trimmed(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "test" / "emails").glob("*.txt")):
        expected = folder / "test" / "trimmed" / path.name
        yield Case(path.stem, reply(unicode_of(path)), unicode_of(expected))


def _crisp(folder: Path) -> Iterator[Case]:
    program = unicode_of(folder / "test" / "test.js").replace("\\n\\\n", "\\n")
    common = _JS_COMMON.search(program)
    for name, body in _JS_FUNCTION.findall(program):
        mail, expected = _JS_MAIL.search(body), _JS_EXPECTED.search(body)
        if common and mail and expected:
            literal = common[1] if expected[1] == "COMMON_FIRST_FRAGMENT" else expected[1]
            raw = reply(unicode_of(folder / "test" / "fixtures" / f"{mail[1]}.txt"))
            yield Case(name, raw, str(ast.literal_eval(literal)))


def _by_pattern(tests: str, pattern: re.Pattern[str], folder: Path) -> Iterator[Case]:
    for mail, literal in pattern.findall(unicode_of(folder / tests)):
        raw = reply(unicode_of(folder / "test" / "emails" / f"{mail}.txt"))
        yield Case(mail, raw, str(ast.literal_eval(f'""{literal}""' if "\n" in literal else literal)))


def _github(folder: Path) -> Iterator[Case]:
    return _by_pattern("test/email_reply_parser_test.rb", _RUBY_MAIL, folder)


def _zapier(folder: Path) -> Iterator[Case]:
    return _by_pattern("test/test_email_reply_parser.py", _PYTHON_MAIL, folder)


def _talon(folder: Path) -> Iterator[Case]:
    """The texts in its tests, its replies of mail programs, and those in HTML."""
    fixtures = folder / "tests" / "fixtures"
    for test in ast.parse(unicode_of(folder / "tests" / "text_quotations_test.py")).body:
        if isinstance(test, ast.FunctionDef):
            for number, (expected, text) in enumerate(_compared(test)):
                yield Case(f"{test.name} {number}", reply(text), expected)
    for path in sorted((fixtures / "standard_replies").glob("*.eml")):
        own = path.with_name(f"{path.stem}_reply_text")
        yield Case(path.name, _as_reply(path.read_bytes()), unicode_of(own) if own.exists() else "Hello")
    for path in sorted((fixtures / "html_replies").glob("*.html")):
        yield Case(path.name, reply(unicode_of(path), "html"), "Hi. I am fine.\n\nThanks,\nAlex")


def _as_reply(raw: bytes) -> bytes:
    return b"In-Reply-To: <a@callout.example>\n" + raw


def _compared(test: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """The pairs of literals that `eq_(expected, quotations.extract_from_plain(text))` compares."""
    last: dict[str, str] = {}
    for statement in test.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            last[statement.targets[0].id] = _literal(statement.value, last) or ""
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "eq_":
            expected, extracted = call.args
            if isinstance(extracted, ast.Call) and ast.unparse(extracted.func) == "quotations.extract_from_plain":
                pair = _literal(expected, last), _literal(extracted.args[0], last)
                if pair[0] and pair[1]:
                    yield pair[0], pair[1]


def _literal(node: ast.expr, values: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return values.get(node.id)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _quotequail(folder: Path) -> Iterator[Case]:
    """The texts in its tests, with what stands above and below the quote; forwards are kept whole."""
    tree = ast.parse(unicode_of(folder / "tests" / "test_unwrap.py"))
    for number, node in enumerate(node for node in ast.walk(tree) if isinstance(node, ast.Tuple)):
        if len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant) and isinstance(node.elts[1], ast.Dict):
            text, found = str(node.elts[0].value), ast.literal_eval(node.elts[1])
            own = f"{found.get('text_top', '')}\n{found.get('text_bottom', '')}"
            forward = found["type"] == "forward" or not own.strip()
            yield Case(f"unwrap {number}", reply(text), text if forward else own)


REPLIES = (
    Corpus("discourse/email_reply_trimmer", "test/test_email_reply_trimmer.rb", _trimmed),
    Corpus("crisp-oss/email-reply-parser", "test/fixtures/email_norwegian_gmail.txt", _crisp),
    Corpus("mailgun/talon", "tests/text_quotations_test.py", _talon),
    Corpus("closeio/quotequail", "tests/test_unwrap.py", _quotequail),
    Corpus("github/email_reply_parser", "test/email_reply_parser_test.rb", _github),
    Corpus("zapier/email-reply-parser", "email_reply_parser/__init__.py", _zapier),
)
