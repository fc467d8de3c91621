/** A list of objects: the search and the filters are in the address, and further pages come at the end. */

import "./records.css";
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { persistently } from "../../shared/saving.ts";
import { records as texts } from "../../texts/records.ts";
import { type Chosen, chosenIn, ClearFilters, Filters, listAddress, type ListFilter } from "./filters.tsx";

export interface RecordPage<Row> {
  totalCount: number;
  nodes: Row[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** The rows that are shown. `replace` shows newer states of some of them. */
export interface ShownRows<Row> {
  rows: readonly Row[];
  replace: (newer: readonly Row[]) => void;
}

interface RecordListProps<Row> {
  path: string;
  /** What the search finds; without it there is none. */
  hint?: string;
  filters?: readonly ListFilter[];
  read: (search: string | null, after: string | null, chosen: Chosen) => Promise<RecordPage<Row>>;
  row: (row: Row, shown: ShownRows<Row>) => ComponentChildren;
  total: (number: number) => string;
  /** What stands in place of an empty list, if nothing was searched for. */
  none?: string;
  /** What will be there, and why. */
  noneText?: string;
  /** What stands above the rows. */
  above?: (shown: ShownRows<Row>) => ComponentChildren;
}

const NO_FILTERS: readonly ListFilter[] = [];

export function RecordList<Row extends { id: string }>(
  { path, hint, filters = NO_FILTERS, read, row, total, none, noneText, above }: RecordListProps<Row>,
) {
  const { query, route } = useLocation();
  const search = hint === undefined ? "" : (query.q ?? "").trim();
  const address = listAddress(path, search, filters, chosenIn(query, filters));
  const chosen = useMemo(() => chosenIn(query, filters), [address]);
  const typed = useSignal(search);
  const pages = useSignal<readonly RecordPage<Row>[] | null>(null);
  const failed = useSignal<string | null>(null);

  const current = useRef(address);
  current.current = address;

  /** Reads the first page, or the one after a cursor, and shows it if the list is still the one that needs it. */
  async function load(after: string | null) {
    const isWanted = () => current.current === address && (pages.value?.at(-1)?.pageInfo.endCursor ?? null) === after;
    try {
      const page = await persistently(() => read(search || null, after, chosen));
      if (!isWanted()) return;
      pages.value = [...pages.value ?? [], page];
      failed.value = null;
    } catch (error) {
      if (isWanted()) failed.value = (error as Error).message;
    }
  }

  useEffect(() => {
    typed.value = search;
    pages.value = null;
    failed.value = null;
    void load(null);
  }, [address]);

  const last = pages.value?.at(-1);
  const shown: ShownRows<Row> = {
    rows: pages.value?.flatMap(({ nodes }) => nodes) ?? [],
    replace: (newer) => {
      const byId = new Map(newer.map((one) => [one.id, one]));
      pages.value = pages.value!.map((page) => ({
        ...page,
        nodes: page.nodes.map((one) => byId.get(one.id) ?? one),
      }));
    },
  };
  const isFiltered = address !== path;
  return (
    <>
      {(hint !== undefined || filters.length > 0) && (
        <form
          class="filters"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            route(listAddress(path, typed.value.trim(), filters, chosen));
          }}
        >
          {hint !== undefined && (
            <>
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
            </>
          )}
          <Filters
            filters={filters}
            chosen={chosen}
            choose={(wanted) => route(listAddress(path, typed.value.trim(), filters, wanted))}
          />
          {filters.length > 0 && isFiltered && <ClearFilters path={path} />}
        </form>
      )}
      <p class="hint" aria-live="polite">{last === undefined ? "" : total(last.totalCount)}</p>
      {failed.value !== null && <p class="error" role="alert">{failed}</p>}
      {pages.value === null && failed.value === null && <div class="skeleton" aria-hidden="true" />}
      {last?.totalCount === 0 && (
        <div class="empty">
          <p class="empty-title">{isFiltered ? texts.none : none ?? texts.none}</p>
          {!isFiltered && noneText !== undefined && <p>{noneText}</p>}
          {isFiltered && <p>{search === "" ? texts.otherFilters : texts.otherWords}</p>}
        </div>
      )}
      {shown.rows.length > 0 && (
        <>
          {above?.(shown)}
          <ul class="records">{shown.rows.map((one) => <li key={one.id}>{row(one, shown)}</li>)}</ul>
        </>
      )}
      {last?.pageInfo.hasNextPage && (
        <p>
          <button
            type="button"
            class="button"
            onClick={() => void load(last.pageInfo.endCursor)}
          >
            {texts.more}
          </button>
        </p>
      )}
    </>
  );
}
