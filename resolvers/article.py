"""Knowledge base articles, written by hand or created from a resolved ticket, and the fields that explain a match."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Double,
    FromClause,
    Text,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, UUID

from db import limits, models
from db.enums import ArticleMatch
from db.lists.listing import LEAST_RELEVANT, QUERY, RANK, STAGE_SIZE
from db.planner import number
from db.postgres.statement import Statement
from db.sql import Condition, Expression, Row, table
from db.visibility import ViewerParameter
from resolvers import crud
from resolvers.checks import Checks
from resolvers.mutation import Call, Input, MutationError, Outcome, Transaction, UserErrorCode

_TABLE = table(models.ArticleRow)
_TICKETS = table(models.TicketRow)
_MISSING = MutationError(UserErrorCode.NOT_FOUND, "There is no such article.", ("articleId",))
# Locked, so that a ticket that is reopened at the same time becomes an article before that, or not at all; and so that
# a second conversion at the same time waits for the first, and finds its article.
_SOURCE = Statement(
    select(_TICKETS.c.subject, _TICKETS.c.resolution)
    .where(_TICKETS.c.id == bindparam("id", type_=UUID(as_uuid=False)))
    .with_for_update(key_share=True)
)
_OF_TICKET = Statement(
    select(_TABLE.c.id).where(_TABLE.c.source_ticket_id == bindparam("ticket", type_=UUID(as_uuid=False)))
)


async def create(call: Call, input: Input) -> Outcome:
    checks = Checks()
    return await crud.create(call, _TABLE, _values(input, checks), {}, checks)


async def create_from_ticket(call: Call, input: Input) -> Outcome:
    """Create an article whose problem is the ticket's subject and whose solution is its resolution. A ticket has one
    article: if there is one already, the outcome is that one, unchanged."""
    checks = Checks()
    values = _values(input, checks)
    values["source_ticket_id"] = checks.key(input["ticketId"], "tkt", "ticket", "ticketId")
    try:
        return await crud.create(call, _TABLE, values, {}, checks, _look_up_ticket)
    except _Converted as converted:
        return Outcome(converted.article_id, repeated=True)


class _Converted(Exception):
    """The ticket has become an article before."""

    def __init__(self, article_id: str) -> None:
        super().__init__()
        self.article_id = article_id


async def _look_up_ticket(transaction: Transaction, values: dict[str, Any], checks: Checks) -> None:
    checks.finish()
    ticket = await _SOURCE.fetchrow(transaction, id=values["source_ticket_id"])
    article = await _OF_TICKET.fetchval(transaction, ticket=values["source_ticket_id"])
    if article is not None:
        raise _Converted(str(article))
    if ticket is None:
        checks.object_to(UserErrorCode.NOT_FOUND, "There is no such ticket.", "ticketId")
    elif ticket["resolution"] is None:
        message = "The ticket has no resolution to create an article from."
        checks.object_to(UserErrorCode.RESOLUTION_REQUIRED, message, "ticketId")
    else:
        values |= {"problem": ticket["subject"], "solution": ticket["resolution"]}


async def update(call: Call, input: Input) -> Outcome:
    checks = Checks()
    article_id = checks.key(input["articleId"], "art", "article", "articleId")
    return await crud.change(call, _TABLE, article_id, _values(input, checks), {}, _MISSING, checks)


def _values(input: Input, checks: Checks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "problem" in input:
        values["problem"] = checks.line(input["problem"], limits.PROBLEM_MAX, "problem")
    if "solution" in input:
        values["solution"] = checks.text(input["solution"], limits.SOLUTION_MAX, "solution")
    if input.get("published") is not None:
        values["published"] = input["published"]
    elif "published" in input:
        checks.object_to(UserErrorCode.REQUIRED, "Published must be true or false.", "published")
    return values


# Search results


def is_searched(row: Row) -> Condition:
    """Whether the row is from a searched list, and so has the search query as a further column."""
    return literal(QUERY in row.c)


def search_match(row: Row, viewer: ViewerParameter) -> Expression:
    """How the article matches the search text, an `ArticleMatch`; null if the list is not searched."""
    if QUERY not in row.c:
        return null()
    all_words, some_words = (literal_column(f"'{match}'", Text()) for match in ArticleMatch)
    return case((row.c[RANK] < STAGE_SIZE, all_words), else_=some_words)


def score(row: Row, viewer: ViewerParameter) -> Expression:
    """How well the article matches the search text: from 0.5 to 1 with all words, and below with some; null if the list
    is not searched."""
    if QUERY not in row.c:
        return null()
    rank = row.c[RANK]
    all_words = number(1) - cast(rank, Double) / number(2 * LEAST_RELEVANT)
    some_words = cast(number(STAGE_SIZE + LEAST_RELEVANT) - rank, Double) / number(2 * LEAST_RELEVANT)
    return case((rank < STAGE_SIZE, all_words), else_=some_words)


# Control characters that `ts_headline` puts around each match, and one that replaces "<" while it runs: it would take
# what follows a "<" for a tag and drop it. The same characters in the text itself are removed.
_START, _STOP, _LESS = "\x01", "\x02", "\x03"
_MARKED = f"{_START}([^{_STOP}]*){_STOP}|([^{_START}]+)"


def excerpt(row: Row, viewer: ViewerParameter) -> FromClause:
    """The best matching passage of the problem followed by the solution, in pieces: `text`, and `matched` for a word
    that the search found."""
    text = func.concat_ws("\n\n", row.c.problem, row.c.solution)
    plain = func.translate(text, f"<{_START}{_STOP}{_LESS}", _LESS)
    words = f"MaxFragments=1, MaxWords={limits.EXCERPT_WORDS}, MinWords={limits.EXCERPT_WORDS // 2}"
    options = f'{words}, StartSel="{_START}", StopSel="{_STOP}"'
    query = row.c[QUERY] if QUERY in row.c else cast(null(), TSQUERY)
    headline = func.ts_headline(literal_column("'english'::regconfig"), plain, query, options)
    pieces = func.regexp_matches(func.translate(headline, _LESS, "<"), _MARKED, "g")
    found = pieces.table_valued(column("piece", ARRAY(Text)), with_ordinality="ord").render_derived()
    marked, rest = found.c.piece[1], found.c.piece[2]
    chosen = select(func.coalesce(marked, rest).label("text"), marked.is_not(None).label("matched"), found.c.ord)
    return chosen.select_from(found).correlate(row).subquery("excerpt")
