/** What can be done to all selected tickets at once, and what became of each. */

import { useSignal } from "@preact/signals";
import { staffList as texts } from "../../texts/staff_list.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import type { TicketCategory, TicketPriority, TicketStatus } from "../operations.ts";
import { changeAll, type Result, type Wanted } from "./changes.ts";
import type { TicketListStore } from "./store.ts";
import { technicians } from "./technicians.ts";
import { CATEGORIES, PRIORITIES, STATUSES, UNASSIGNED } from "./view.ts";

interface BulkBarProps {
  /** The references of the selected tickets, by their ids. */
  selected: ReadonlyMap<string, string>;
  /** How many of them are not in the list that is shown. */
  elsewhere: number;
  store: TicketListStore;
  done: (results: readonly Result[]) => void;
  clear: () => void;
}

const MAX_RESOLUTION = 20_000;

export function BulkBar({ selected, elsewhere, store, done, clear }: BulkBarProps) {
  const busy = useSignal(false);
  const resolution = useSignal<string | null>(null);

  async function change(wanted: Wanted) {
    busy.value = true;
    const results = await changeAll(selected, wanted, store);
    busy.value = false;
    if (results.every(({ problem }) => problem === null)) resolution.value = null;
    done(results);
  }

  return (
    <section class="bulk" aria-label={texts.selection} aria-busy={busy}>
      <b role="status">{texts.selected(selected.size)}</b>
      {elsewhere > 0 && <span class="hint">{texts.elsewhere(elsewhere)}</span>}
      <Action
        label={texts.setStatus}
        options={STATUSES.map((value) => [value, ticketWords.status[value]])}
        disabled={busy.value}
        choose={(status) => {
          if (status === "RESOLVED") resolution.value = "";
          else void change({ status: status as TicketStatus });
        }}
      />
      <Action
        label={texts.setPriority}
        options={PRIORITIES.map((value) => [value, ticketWords.priority[value]])}
        disabled={busy.value}
        choose={(priority) => void change({ priority: priority as TicketPriority })}
      />
      <Action
        label={texts.setCategory}
        options={CATEGORIES.map((value) => [value, ticketWords.category[value]])}
        disabled={busy.value}
        choose={(category) => void change({ category: category as TicketCategory })}
      />
      <Action
        label={texts.assign}
        options={[
          [UNASSIGNED, ticketWords.unassigned],
          ...technicians.value.filter(({ active }) => active).map(({ id, name }) => [id, name] as const),
        ]}
        disabled={busy.value}
        choose={(id) => void change({ technicianId: id === UNASSIGNED ? null : id })}
      />
      <button type="button" class="link" onClick={clear}>{texts.clearSelection}</button>
      {resolution.value !== null && (
        <form
          class="bulk-resolution"
          onSubmit={(event) => {
            event.preventDefault();
            void change({ status: "RESOLVED", resolution: resolution.value });
          }}
        >
          <label class="field">
            <span>{texts.resolution}</span>
            <textarea
              ref={focusEmpty}
              rows={2}
              required
              maxLength={MAX_RESOLUTION}
              value={resolution.value}
              onInput={(event) => resolution.value = event.currentTarget.value}
            />
          </label>
          <button type="submit" class="button primary" disabled={busy.value}>{texts.apply}</button>
          <button type="button" class="button" onClick={() => resolution.value = null}>{texts.cancel}</button>
        </form>
      )}
    </section>
  );
}

function focusEmpty(element: HTMLTextAreaElement | null): void {
  if (element?.value === "") element.focus();
}

interface ActionProps {
  label: string;
  options: readonly (readonly [string, string])[];
  disabled: boolean;
  choose: (value: string) => void;
}

/** A dropdown that does what is chosen, and then offers its actions again. */
function Action({ label, options, disabled, choose }: ActionProps) {
  return (
    <select
      aria-label={label}
      disabled={disabled}
      onChange={(event) => {
        const { value } = event.currentTarget;
        event.currentTarget.value = "";
        if (value !== "") choose(value);
      }}
    >
      <option value="">{label}</option>
      {options.map(([value, name]) => <option key={value} value={value}>{name}</option>)}
    </select>
  );
}

interface ResultsProps {
  results: readonly Result[];
  close: () => void;
}

/** What became of each ticket. Those that were not changed come first. */
export function Results({ results, close }: ResultsProps) {
  const failed = results.filter(({ problem }) => problem !== null);
  const changed = results.filter(({ problem }) => problem === null);
  return (
    <section class="bulk-results" aria-label={texts.results}>
      <div role={failed.length > 0 ? "alert" : "status"}>
        {failed.length > 0 && <p class="error">{texts.notChanged(failed.length)}</p>}
        <p>{texts.changed(changed.length)}</p>
      </div>
      <ul>
        {[...failed, ...changed].map(({ id, reference, problem }) => (
          <li key={id} data-failed={problem !== null}>
            <a href={`/tickets/${reference}`}>{reference}</a>: {problem ?? texts.isChanged}
          </li>
        ))}
      </ul>
      <button type="button" class="button" onClick={close}>{texts.close}</button>
    </section>
  );
}
