/** An article of the knowledge base: the problem, the solution, and whether customers and the chatbot find it. */

import "../records/records.css";
import { useSignal } from "@preact/signals";
import { useLocation, useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { records as texts } from "../../texts/records.ts";
import { ArticleAdd, ArticleFollow, ArticlePage, type ArticlePageQuery, ArticleSave } from "../operations.ts";
import { followChanges } from "../records/following.ts";
import { OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";

type Article = Extract<ArticlePageQuery["node"], { __typename: "Article" }>;

interface Values {
  problem: string;
  solution: string;
  published: boolean;
}

const FIELDS: readonly FieldOf<Values>[] = [
  { name: "problem", label: texts.articles.problem },
  { name: "solution", label: texts.articles.solution, kind: "text" },
  { name: "published", label: texts.articles.publish, kind: "check" },
];

export default function ArticleDetails() {
  const { id } = useRoute().params as { id: string };
  return id === "new" ? <NewArticle /> : <ArticleOf key={id} id={id} />;
}

function NewArticle() {
  const { route } = useLocation();
  const made = useSignal<string | null>(null);
  return (
    <Page title={texts.articles.new}>
      <RecordForm<Values>
        name="new article"
        initial={{ problem: "", solution: "", published: false }}
        fields={FIELDS}
        button={texts.articles.add}
        save={async (values, idempotencyKey) => {
          const { articleCreate } = await execute(ArticleAdd, { input: { ...values, idempotencyKey } });
          made.value = articleCreate.article?.id ?? null;
          return articleCreate;
        }}
        saved={() => route(`/articles/${made.value}`)}
      />
    </Page>
  );
}

function ArticleOf({ id }: { id: string }) {
  return (
    <OpenRecord<Article>
      title={texts.articles.title}
      read={async () => {
        const { node } = await execute(ArticlePage, { id });
        return node?.__typename === "Article" ? node : null;
      }}
      follow={(changed) => [
        followChanges(
          ArticleFollow,
          ({ articleChanged: change }) => change.__typename !== "ArticleChange" || change.articleId === id,
          changed,
        ),
      ]}
    >
      {(article, reload) => <Details article={article} reload={reload} />}
    </OpenRecord>
  );
}

function Details({ article, reload }: { article: Article; reload: () => void }) {
  const note = useSignal("");
  const { id, problem, solution, published, sourceTicket } = article;
  return (
    <Page title={problem}>
      {sourceTicket !== null && (
        <p class="hint">
          {texts.articles.source} <a href={`/tickets/${sourceTicket.reference}`}>{sourceTicket.reference}</a>{" "}
          <bdi>{sourceTicket.subject}</bdi>
        </p>
      )}
      <section class="card">
        <RecordForm<Values>
          name={`article ${id}`}
          initial={{ problem, solution, published }}
          fields={FIELDS}
          button={texts.save}
          save={async (_, idempotencyKey, changes) =>
            (await execute(ArticleSave, { input: { ...changes, articleId: id, idempotencyKey } })).articleUpdate}
          saved={() => {
            note.value = texts.saved;
            reload();
          }}
          note={note.value}
        />
      </section>
    </Page>
  );
}
