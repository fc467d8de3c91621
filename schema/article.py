"""Knowledge base articles: the type, its list, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from sqlalchemy import FromClause, Text, case, cast, func, literal, literal_column, null, select
from sqlalchemy import column as named_column
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from db.entities import ARTICLE, ARTICLES, TICKET
from db.enums import ADMINS, DocumentedEnum
from db.limits import EXCERPT_WORDS
from db.lists.listing import QUERY, RANK, STAGE_SIZE
from db.sql import Expression, Row
from db.visibility import Asker
from resolvers import article
from schema.common import Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    argument,
    column,
    connection,
    documented,
    given,
    global_id,
    items,
    mutation,
    one,
    optional,
    part,
)

if TYPE_CHECKING:
    from schema.ticket import Ticket


@strawberry.type(description="A known problem and how it is solved.")
class Article(Node):
    id: strawberry.ID = global_id(ARTICLE)
    problem: str = column("problem", "What was wrong.")
    solution: str = column("solution", "What helps.")
    published: bool = column("published", "Whether customers and the chatbot see it.")
    source_ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET, lambda article, ticket: ticket.c.id == article.c.source_ticket_id, "The ticket it was made from."
    )
    created_at: datetime = column("created_at", "When it was written.")
    updated_at: datetime = column("updated_at", "When it was last edited.")


@documented
class ArticleMatch(DocumentedEnum):
    """How an article matches a search."""

    ALL_WORDS = "ALL_WORDS", "It has all of the words that were searched for."
    SOME_WORDS = "SOME_WORDS", "No article has them all; this has some, or words that they may be a misspelling of."


@strawberry.type(description="A piece of an excerpt: plain text. The pieces put together are the passage.")
class ExcerptPiece:
    text: str = column("text", "The text, blanks and line breaks included.")
    matched: bool = column("matched", "Whether it is a word that was found.")


# The signs that `ts_headline` is to put around what matches, and one that stands for "<" meanwhile: it takes what
# begins with that for a tag, and leaves it out. The text's own signs of this kind are dropped.
_START, _STOP, _LESS = "\x01", "\x02", "\x03"
_MARKED = f"{_START}([^{_STOP}]*){_STOP}|([^{_START}]+)"


def _excerpt(row: Row, asker: Asker) -> FromClause:
    """The passage that matches best, of the problem and the solution that follows it."""
    text = func.concat_ws("\n\n", row.c.problem, row.c.solution)
    plain = func.translate(text, f"<{_START}{_STOP}{_LESS}", _LESS)
    words = f"MaxFragments=1, MaxWords={EXCERPT_WORDS}, MinWords={EXCERPT_WORDS // 2}"
    options = f'{words}, StartSel="{_START}", StopSel="{_STOP}"'
    query = row.c[QUERY] if QUERY in row.c else cast(null(), TSQUERY)
    headline = func.ts_headline(literal_column("'english'::regconfig"), plain, query, options)
    pieces = func.regexp_matches(func.translate(headline, _LESS, "<"), _MARKED, "g")
    found = pieces.table_valued(
        named_column("piece", ARRAY(Text)), with_ordinality="ord", name="pieces"
    ).render_derived()
    marked, rest = found.c.piece[1], found.c.piece[2]
    chosen = select(func.coalesce(marked, rest).label("text"), marked.is_not(None).label("matched"), found.c.ord)
    return chosen.select_from(found).correlate(row).subquery("excerpt")


def _match(row: Row, asker: Asker) -> Expression:
    if QUERY not in row.c:
        return null()
    words = [literal_column(f"'{match}'", Text()) for match in ArticleMatch]
    return case((row.c[RANK] < STAGE_SIZE, words[0]), else_=words[1])


@strawberry.type(description="An article's place in a list.")
class ArticleEdge(Edge):
    node: Article = part("The article.")
    match: ArticleMatch | None = column(_match, "How it matches what is searched for; null if nothing is.")
    excerpt: list[ExcerptPiece] | None = items(
        _excerpt,
        f"A passage of up to {EXCERPT_WORDS} words around what is searched for, from the problem and the solution "
        "that follows it; null if nothing is searched for.",
        most=2 * EXCERPT_WORDS + 1,
        present=lambda row: literal(QUERY in row.c),
    )


@strawberry.type(description="A page of articles.")
class ArticleConnection(Connection):
    nodes: list[Article] = part("The page's articles.")
    edges: list[ArticleEdge] = part("The page's articles with their cursors.")


@strawberry.type
class ArticleQueries:
    articles: ArticleConnection = connection(
        ARTICLE,
        ARTICLES,
        "Articles that you see: most relevant first if searched for, else newest first.",
        arguments=[
            argument(
                "search",
                str | None,
                'Words of the problem or the solution, in any of their forms. `or`, "a phrase" and -without mean what '
                "they mean to search engines. If no article has all of the words: some of them, or words that resemble "
                "them.",
            ),
            argument("published", bool | None, "Only those that are published, or only those that are not."),
        ],
    )


@strawberry.input(description="A new article; it is not published unless asked for.")
class ArticleCreateInput:
    problem: str = given("What was wrong, one line of up to 500 characters.")
    solution: str = given("What helps, up to 20,000 characters.")
    published: bool | None = optional("Whether customers and the chatbot see it.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="A ticket to make an article of.")
class ArticleCreateFromTicketInput:
    ticket_id: strawberry.ID = given("Which ticket: one with a resolution, and without an article so far.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="Changes of an article: what is left out stays.")
class ArticleUpdateInput:
    article_id: strawberry.ID = given("Which article.")
    problem: str | None = optional("What was wrong, one line of up to 500 characters.")
    solution: str | None = optional("What helps, up to 20,000 characters.")
    published: bool | None = optional("Whether customers and the chatbot see it.")


@strawberry.type(description="An article, and what speaks against the mutation.")
class ArticlePayload(Payload):
    article: Article | None = one(
        ARTICLE, lambda outcome, other: other.c.id == outcome.c.object_id, "The article as it is now."
    )


@strawberry.type(description="What `articleCreate` answers.")
class ArticleCreatePayload(ArticlePayload): ...


@strawberry.type(description="What `articleCreateFromTicket` answers.")
class ArticleCreateFromTicketPayload(ArticlePayload): ...


@strawberry.type(description="What `articleUpdate` answers.")
class ArticleUpdatePayload(ArticlePayload): ...


@strawberry.type
class ArticleMutations:
    article_create: ArticleCreatePayload = mutation(
        article.create, ArticleCreateInput, "Write an article.", roles=ADMINS
    )
    article_create_from_ticket: ArticleCreateFromTicketPayload = mutation(
        article.create_from_ticket,
        ArticleCreateFromTicketInput,
        "Make an article of a resolved ticket: its subject is the problem, its resolution the solution.",
        roles=ADMINS,
    )
    article_update: ArticleUpdatePayload = mutation(
        article.update, ArticleUpdateInput, "Edit, publish or withdraw an article.", roles=ADMINS
    )
