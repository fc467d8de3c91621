"""Knowledge base articles: the type, its list, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ARTICLE, ARTICLES, TICKET
from db.enums import ADMINS, ArticleMatch
from db.limits import EXCERPT_WORDS
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

documented(ArticleMatch)


@strawberry.type(description="A known problem and how it is solved.")
class Article(Node):
    id: strawberry.ID = global_id(ARTICLE)
    problem: str = column("problem", "What was wrong.")
    solution: str = column("solution", "What helps.")
    published: bool = column("published", "Whether customers and the chatbot see it.")
    source_ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET, "source_ticket_id", "The ticket it was made from."
    )
    created_at: datetime = column("created_at", "When it was written.")
    updated_at: datetime = column("updated_at", "When it was last edited.")


@strawberry.type(description="A piece of an excerpt: plain text. The pieces put together are the passage.")
class ExcerptPiece:
    text: str = column("text", "The text, blanks and line breaks included.")
    matched: bool = column("matched", "Whether it is a word that was found.")


@strawberry.type(description="An article's place in a list.")
class ArticleEdge(Edge):
    node: Article = part("The article.")
    match: ArticleMatch | None = column(
        article.search_match, "How it matches what is searched for; null if nothing is."
    )
    excerpt: list[ExcerptPiece] | None = items(
        article.excerpt,
        f"A passage of up to {EXCERPT_WORDS} words around what is searched for, from the problem and the solution "
        "that follows it; null if nothing is searched for.",
        most=2 * EXCERPT_WORDS + 1,
        present=article.is_searched,
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
    article: Article | None = one(ARTICLE, "object_id", "The article as it is now.")


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
