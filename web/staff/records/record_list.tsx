/** A list of objects that are found by words: the search is in the address, and further pages come at the end. */

import "./records.css";
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { persistently } from "../../shared/saving.ts";
import { records as texts } from "../../texts/records.ts";

export interface RecordPage<Row> {
  totalCount: number;
  nodes: Row[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

interface RecordListProps<Row> {
  path: string;
  hint: string;
  read: (search: string | null, after: string | null) => Promise<RecordPage<Row>>;
  row: (row: Row) => ComponentChildren;
  total: (number: number) => string;
}

export function RecordList<Row extends { id: string }>({ path, hint, read, row, total }: RecordListProps<Row>) {
  const { query, route } = useLocation();
  const search = (query.q ?? "").trim();
  const typed = useSignal(search);
  const pages = useSignal<readonly RecordPage<Row>[] | null>(null);
  const failed = useSignal<string | null>(null);

  async function load(after: string | null, before: readonly RecordPage<Row>[], wanted: () => boolean) {
    try {
      const page = await persistently(() => read(search || null, after));
      if (wanted()) pages.value = [...before, page];
      failed.value = null;
    } catch (error) {
      failed.value = (error as Error).message;
    }
  }

  useEffect(() => {
    let wanted = true;
    typed.value = search;
    pages.value = null;
    void load(null, [], () => wanted);
    return () => wanted = false;
  }, [search]);

  const last = pages.value?.at(-1);
  return (
    <>
      <form
        class="filters"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          const words = typed.value.trim();
          route(words === "" ? path : `${path}?q=${encodeURIComponent(words)}`);
        }}
      >
        <label class="search">
          <span class="visually-hidden">{texts.search}</span>
          <input
            type="search"
            maxLength={200}
            placeholder={hint}
            value={typed}
            onInput={(event) => typed.value = event.currentTarget.value}
          />
        </label>
        <button type="submit" class="button">{texts.search}</button>
      </form>
      <p class="hint" aria-live="polite">{last === undefined ? "" : total(last.totalCount)}</p>
      {failed.value !== null && <p class="error" role="alert">{failed}</p>}
      {pages.value === null && failed.value === null && <div class="skeleton" aria-hidden="true" />}
      {last?.totalCount === 0 && (
        <div class="empty">
          <p class="empty-title">{texts.none}</p>
          {search !== "" && <p>{texts.otherWords}</p>}
        </div>
      )}
      {last !== undefined && last.totalCount > 0 && (
        <ul class="records">
          {pages.value!.flatMap(({ nodes }) => nodes).map((one) => <li key={one.id}>{row(one)}</li>)}
        </ul>
      )}
      {last?.pageInfo.hasNextPage && (
        <p>
          <button
            type="button"
            class="button"
            onClick={() => {
              const shown = pages.value!;
              void load(last.pageInfo.endCursor, shown, () => pages.value === shown);
            }}
          >
            {texts.more}
          </button>
        </p>
      )}
    </>
  );
}
