/** Rows of a list that are selected, to do the same to each of them, with a result for each. */

import { type Signal, useSignal } from "@preact/signals";
import { records as texts } from "../../texts/records.ts";

export type Selected = Signal<ReadonlySet<string>>;

export function useSelected(): Selected {
  return useSignal<ReadonlySet<string>>(new Set());
}

export function SelectRow({ id, selected, label }: { id: string; selected: Selected; label: string }) {
  return (
    <label class="select-row">
      <input
        type="checkbox"
        aria-label={label}
        checked={selected.value.has(id)}
        onChange={(event) => {
          const ids = new Set(selected.value);
          if (event.currentTarget.checked) ids.add(id);
          else ids.delete(id);
          selected.value = ids;
        }}
      />
    </label>
  );
}

interface SelectionProps<Row> {
  /** The rows that can be selected. */
  rows: readonly Row[];
  selected: Selected;
  nameOf: (row: Row) => string;
  /** The button's text. */
  action: string;
  /** What is asked before it is done; nothing by default. */
  question?: (number: number) => string;
  /** Does it to one, and returns why that was not possible, or null. */
  act: (row: Row) => Promise<string | null>;
}

/** Does something to the selected rows, one after the other. Those for which it was not possible stay selected. */
export function Selection<Row extends { id: string }>(
  { rows, selected, nameOf, action, question, act }: SelectionProps<Row>,
) {
  const busy = useSignal(false);
  const done = useSignal<readonly { id: string; name: string; problem: string | null }[]>([]);
  const chosen = rows.filter(({ id }) => selected.value.has(id));

  async function actOnAll() {
    if (busy.value || (question !== undefined && !confirm(question(chosen.length)))) return;
    busy.value = true;
    const results = [];
    for (const row of chosen) results.push({ id: row.id, name: nameOf(row), problem: await act(row) });
    done.value = results;
    selected.value = new Set(results.filter(({ problem }) => problem !== null).map(({ id }) => id));
    busy.value = false;
  }

  const failed = done.value.filter(({ problem }) => problem !== null);
  const succeeded = done.value.length - failed.length;
  return (
    <div class="selection">
      {rows.length > 0 && (
        <div class="actions" aria-busy={busy}>
          <button
            type="button"
            class="button"
            onClick={() => selected.value = new Set(rows.map(({ id }) => id))}
          >
            {texts.selectAll(rows.length)}
          </button>
          <b role="status">{chosen.length > 0 && texts.selected(chosen.length)}</b>
          {chosen.length > 0 && (
            <>
              <button type="button" class="button primary" disabled={busy.value} onClick={() => void actOnAll()}>
                {action}
              </button>
              <button type="button" class="link" onClick={() => selected.value = new Set()}>
                {texts.clearSelection}
              </button>
            </>
          )}
        </div>
      )}
      <div aria-live="polite">
        {succeeded > 0 && <p>{texts.succeeded(succeeded)}</p>}
        {failed.length > 0 && <p class="error">{texts.failed(failed.length)}</p>}
        <ul>{failed.map(({ id, name, problem }) => <li key={id}>{name}: {problem}</li>)}</ul>
      </div>
    </div>
  );
}
