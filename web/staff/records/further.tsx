/** The list in an object's page: its first page comes with the object, further ones when they are asked for. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { persistently } from "../../shared/saving.ts";
import { records as texts } from "../../texts/records.ts";
import type { RecordPage } from "./record_list.tsx";

type Page<Row> = Pick<RecordPage<Row>, "nodes" | "pageInfo">;

interface FurtherProps<Row> {
  first: Page<Row>;
  read: (after: string | null) => Promise<Page<Row>>;
  row: (row: Row) => ComponentChildren;
}

export function Further<Row extends { id: string }>({ first, read, row }: FurtherProps<Row>) {
  const wanted = useSignal(0);
  const further = useSignal<readonly Page<Row>[]>([]);
  const failed = useSignal<string | null>(null);

  async function pages(): Promise<Page<Row>[]> {
    const found: Page<Row>[] = [];
    for (let { pageInfo } = first; found.length < wanted.value && pageInfo.hasNextPage;) {
      const page = await persistently(() => read(pageInfo.endCursor));
      found.push(page);
      pageInfo = page.pageInfo;
    }
    return found;
  }

  useEffect(() => {
    let current = true;
    pages().then((found) => {
      if (!current) return;
      further.value = found;
      failed.value = null;
    }, (error) => failed.value = (error as Error).message);
    return () => {
      current = false;
    };
  }, [first, wanted.value]);

  const last = further.value.at(-1) ?? first;
  const rows = new Map([first, ...further.value].flatMap(({ nodes }) => nodes).map((one) => [one.id, one]));
  return (
    <>
      {rows.size > 0 && <ul class="records">{[...rows.values()].map((one) => <li key={one.id}>{row(one)}</li>)}</ul>}
      {failed.value !== null && <p class="error" role="alert">{failed}</p>}
      {last.pageInfo.hasNextPage && (
        <p>
          <button type="button" class="button" onClick={() => wanted.value = further.value.length + 1}>
            {texts.more}
          </button>
        </p>
      )}
    </>
  );
}
