"""Knowledge base articles: the type, its list, and the mutations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import ARTICLE, ARTICLES, TICKET
from db.enums import ADMINS, CHATBOTS, ArticleMatch
from db.limits import EXCERPT_WORDS, PROBLEM_MAX, SEARCH_MAX, SOLUTION_MAX
from resolvers import article
from schema.common import Connection, Edge, ExcerptPiece, Node, Payload
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


@strawberry.type(description="A known problem and its solution, in the knowledge base.")
class Article(Node):
    id: strawberry.ID = global_id(ARTICLE, "The article's id.")
    problem: str = column("problem", "The problem, in one line.")
    solution: str = column("solution", "The solution to the problem.")
    published: bool = column("published", "Whether customers and the chatbot can see the article.")
    source_ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET,
        "source_ticket_id",
        "The ticket that the article was created from; null if there is none or you cannot see it.",
    )
    created_at: datetime = column("created_at", "When the article was created.")
    updated_at: datetime = column("updated_at", "When the article was last updated.")


@strawberry.type(description="An article in a list, with its cursor.")
class ArticleEdge(Edge):
    node: Article = part("The article.")
    match: ArticleMatch | None = column(
        article.search_match, "How the article matches the search; null without a search."
    )
    score: float | None = column(
        article.score,
        "How well the article matches the search: 0.5 to 1 if it has all of the words, 0.25 to 0.5 if it has enough of "
        "them as they are typed, and less if only corrected ones are enough. It is comparable within one search. Null "
        "without a search.",
    )
    excerpt: list[ExcerptPiece] | None = items(
        article.excerpt,
        f"The passage of the problem and solution that matches the search best, at most {EXCERPT_WORDS} words; null "
        "without a search.",
        most=2 * EXCERPT_WORDS + 1,
        present=article.is_searched,
    )


@strawberry.type(description="A page of articles.")
class ArticleConnection(Connection):
    nodes: list[Article] = part("The articles on this page.")
    edges: list[ArticleEdge] = part("The articles on this page, with their cursors.")


@strawberry.type
class ArticleQueries:
    articles: ArticleConnection = connection(
        ARTICLE,
        ARTICLES,
        "The articles that you can see: most relevant first with a search, otherwise newest first.",
        arguments=[
            argument(
                "search",
                str | None,
                f"Words to find in the problem or the solution, in any inflected form; at most {SEARCH_MAX} "
                'characters. As in search engines, `or`, "a phrase" and -excluded words are supported. If no article '
                "contains all of the words, the search finds those with most of what the words say: rare words count "
                "more, and words that fit any question hardly. A word that no article has is corrected. A question "
                "about something else finds nothing.",
            ),
            argument(
                "published",
                bool | None,
                "Whether to list the published articles or, with false, the unpublished ones; by default, both.",
            ),
        ],
        scopes=CHATBOTS,
    )


@strawberry.input(description="The article to create.")
class ArticleCreateInput:
    problem: str = given(f"The problem; one line, at most {PROBLEM_MAX} characters.")
    solution: str = given(f"The solution, at most {SOLUTION_MAX:,} characters.")
    published: bool | None = optional("Whether customers and the chatbot can see the article; false by default.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The ticket to create an article from.")
class ArticleCreateFromTicketInput:
    ticket_id: strawberry.ID = given("The ticket's id. The ticket must have a resolution.")
    published: bool | None = optional("Whether customers and the chatbot can see the article; false by default.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="The changes to an article. Fields that are left out keep their values.")
class ArticleUpdateInput:
    article_id: strawberry.ID = given("The article's id.")
    problem: str | None = optional(f"The problem; one line, at most {PROBLEM_MAX} characters.")
    solution: str | None = optional(f"The solution, at most {SOLUTION_MAX:,} characters.")
    published: bool | None = optional("Whether customers and the chatbot can see the article.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The article that a mutation created or changed, and the errors.")
class ArticlePayload(Payload):
    article: Article | None = one(ARTICLE, "object_id", "The article as it is now; null if the mutation failed.")


@strawberry.type(description="The result of creating an article.")
class ArticleCreatePayload(ArticlePayload): ...


@strawberry.type(description="The result of creating an article from a ticket.")
class ArticleCreateFromTicketPayload(ArticlePayload): ...


@strawberry.type(description="The result of updating an article.")
class ArticleUpdatePayload(ArticlePayload): ...


@strawberry.type
class ArticleMutations:
    article_create: ArticleCreatePayload = mutation(
        article.create, ArticleCreateInput, "Creates an article.", roles=ADMINS
    )
    article_create_from_ticket: ArticleCreateFromTicketPayload = mutation(
        article.create_from_ticket,
        ArticleCreateFromTicketInput,
        "Creates an article from a resolved ticket. The ticket's subject becomes the problem, its resolution the "
        "solution. If the ticket has become an article before, returns that one as it is.",
        roles=ADMINS,
    )
    article_update: ArticleUpdatePayload = mutation(
        article.update, ArticleUpdateInput, "Updates, publishes or unpublishes an article.", roles=ADMINS
    )
