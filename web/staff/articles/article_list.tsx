import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { records as texts } from "../../texts/records.ts";
import { ArticleListPage } from "../operations.ts";
import { RecordList } from "../records/record_list.tsx";
import { Page } from "../shell/page.tsx";

export default function ArticleList() {
  const action = <a class="button primary" href="/articles/new">{texts.articles.new}</a>;
  return (
    <Page title={texts.articles.title} action={action}>
      <RecordList
        path="/articles"
        hint={texts.articles.searchHint}
        total={texts.articles.total}
        none={texts.articles.none}
        noneText={texts.articles.noneText}
        read={async (search, after) => (await execute(ArticleListPage, { search, after })).articles}
        row={({ id, problem, published, updatedAt }) => (
          <a href={`/articles/${id}`}>
            <b dir="auto">{problem}</b>
            <span>{published ? texts.articles.published : texts.articles.draft}</span>
            <span class="hint">
              <Time at={updatedAt} />
            </span>
          </a>
        )}
      />
    </Page>
  );
}
