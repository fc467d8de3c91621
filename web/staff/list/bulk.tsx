/** What is done to all selected tickets at once, with a result for each. */

import { useSignal } from "@preact/signals";
import { execute, newKey } from "../../shared/client.ts";
import { staffList as texts } from "../../texts/staff_list.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import { TicketListBulk, type TicketPriority, type TicketsBulkUpdateInput, type TicketStatus } from "../operations.ts";
import type { Technician } from "./ticket_list.tsx";
import { PRIORITIES, UNASSIGNED } from "./view.ts";

interface BulkBarProps {
  ids: readonly string[];
  technicians: readonly Technician[];
  /** Called with the ids of the tickets that were not changed, and with what has been done. */
  done: (failed: readonly string[], said: string) => void;
  clear: () => void;
}

interface Failure {
  id: string;
  reference: string;
  message: string;
}

const STATUSES = ["OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED"] as const satisfies readonly TicketStatus[];

export function BulkBar({ ids, technicians, done, clear }: BulkBarProps) {
  const failures = useSignal<readonly Failure[]>([]);
  const said = useSignal("");
  const busy = useSignal(false);
  const resolving = useSignal<string | null>(null);

  async function change(change: Partial<TicketsBulkUpdateInput>) {
    busy.value = true;
    try {
      const input = { ...change, ticketIds: [...ids], idempotencyKey: newKey() };
      const { results, userErrors } = (await execute(TicketListBulk, { input })).ticketsBulkUpdate;
      const failed = results.filter((result) => result.userErrors.length > 0);
      failures.value = failed.map(({ ticketId, ticket, userErrors }) => ({
        id: ticketId,
        reference: ticket?.reference ?? ticketId,
        message: userErrors.map(({ message }) => message).join(" "),
      }));
      said.value = userErrors.map(({ message }) => message).join(" ");
      if (results.length > 0) {
        resolving.value = null;
        done(failed.map(({ ticketId }) => ticketId), texts.changed(results.length - failed.length));
      }
    } catch (error) {
      said.value = (error as Error).message;
    } finally {
      busy.value = false;
    }
  }

  const choose = (apply: (value: string) => void) => (event: { currentTarget: HTMLSelectElement }) => {
    const { value } = event.currentTarget;
    event.currentTarget.value = "";
    if (value !== "") apply(value);
  };
  const setStatus = (status: string) => {
    if (status === "RESOLVED") resolving.value = "";
    else void change({ status: status as TicketStatus });
  };
  return (
    <section class="bulk" aria-label={texts.selection}>
      <b>{texts.selected(ids.length)}</b>
      <select aria-label={texts.setStatus} disabled={busy.value} onChange={choose(setStatus)}>
        <option value="">{texts.setStatus}</option>
        {STATUSES.map((value) => <option key={value} value={value}>{ticketWords.status[value]}</option>)}
      </select>
      <select
        aria-label={texts.setPriority}
        disabled={busy.value}
        onChange={choose((priority) => void change({ priority: priority as TicketPriority }))}
      >
        <option value="">{texts.setPriority}</option>
        {PRIORITIES.map((value) => <option key={value} value={value}>{ticketWords.priority[value]}</option>)}
      </select>
      <select
        aria-label={texts.assign}
        disabled={busy.value}
        onChange={choose((id) => void change({ technicianId: id === UNASSIGNED ? null : id }))}
      >
        <option value="">{texts.assign}</option>
        <option value={UNASSIGNED}>{ticketWords.unassigned}</option>
        {technicians.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
      </select>
      <button type="button" class="link" onClick={clear}>{texts.clearSelection}</button>
      {said.value !== "" && <span class="error" role="alert">{said}</span>}
      {resolving.value !== null && (
        <form
          class="bulk-resolution"
          onSubmit={(event) => {
            event.preventDefault();
            void change({ status: "RESOLVED", resolution: resolving.value });
          }}
        >
          <label class="field">
            <span>{texts.resolution}</span>
            <textarea
              rows={2}
              required
              value={resolving.value}
              onInput={(event) => resolving.value = event.currentTarget.value}
            />
          </label>
          <button type="submit" class="button primary" disabled={busy.value}>{texts.apply}</button>
          <button type="button" class="button" onClick={() => resolving.value = null}>{texts.cancel}</button>
        </form>
      )}
      {failures.value.length > 0 && (
        <div class="bulk-failures" role="alert">
          <p>{texts.notChanged(failures.value.length)}</p>
          <ul>{failures.value.map(({ id, reference, message }) => <li key={id}>{reference}: {message}</li>)}</ul>
        </div>
      )}
    </section>
  );
}
