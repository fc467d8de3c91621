/** The dropdowns of a ticket, which save at once. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Field, type Option, Options } from "../../design/field.tsx";
import { execute } from "../../shared/client.ts";
import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { ticketWords as words } from "../../texts/ticket_words.ts";
import { TicketPageTechnicians } from "../operations.ts";
import type { FieldSaver } from "./field_saver.ts";
import { focusResolution } from "./resolution.tsx";
import { statusesOf } from "./rules.ts";
import type { Ticket, TicketStore } from "./store.ts";

const STATUSES = ["OPEN", "IN_PROGRESS", "RESOLVED", "CLOSED"] as const;
const MOST_PAGES = 20;

const technicians = signal<readonly { id: string; name: string }[]>([]);

/** Reads the technicians who can be assigned, of up to 2,000. */
export async function readTechnicians(): Promise<void> {
  const found: { id: string; name: string }[] = [];
  let after: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { technicians: read }: Awaited<ReturnType<typeof readPage>> = await readPage(after);
    found.push(...read.nodes);
    if (!read.pageInfo.hasNextPage) break;
    after = read.pageInfo.endCursor;
  }
  technicians.value = found;
}

function readPage(after: string | null) {
  return execute(TicketPageTechnicians, { after });
}

/** "Unassigned", the technicians who can be assigned, and the one who is, if they cannot be any more. */
export function technicianOptions(current: { id: string; name: string; active: boolean } | null): Option[] {
  const others = technicians.value.filter(({ id }) => id !== current?.id).map(({ id, name }) => ({
    value: id,
    label: name,
  }));
  const own = current === null
    ? []
    : [{ value: current.id, label: current.active ? current.name : texts.inactive(current.name) }];
  const sorted = [...own, ...others].sort((one, other) => one.label.localeCompare(other.label));
  return [{ value: "", label: words.unassigned }, ...sorted];
}

export function optionsOf(labels: Record<string, string>): Option[] {
  return Object.entries(labels).map(([value, label]) => ({ value, label }));
}

export function LiveFields({ store, ticket }: { store: TicketStore; ticket: Ticket }) {
  useEffect(() => void readTechnicians().catch(() => {}), []);
  const { status, priority, category, technician } = store.savers;
  const statuses = statusesOf(STATUSES, ticket.status, ticket.allowedStatuses);
  const setStatus = (wanted: string) => {
    if (wanted !== "RESOLVED" || ticket.status === "RESOLVED") return status.set(wanted);
    status.outcome.value = { kind: "REFUSED", message: texts.needsResolution };
    focusResolution();
  };
  return (
    <section class="card live-fields">
      <LiveField
        store={store}
        saver={status}
        label={texts.status}
        options={statuses.map((value) => ({ value, label: words.status[value] }))}
        set={setStatus}
      />
      <LiveField store={store} saver={priority} label={texts.priority} options={optionsOf(words.priority)} />
      <LiveField
        store={store}
        saver={technician}
        label={texts.assignTo}
        options={technicianOptions(ticket.technician)}
      />
      <LiveField store={store} saver={category} label={texts.category} options={optionsOf(words.category)} />
    </section>
  );
}

function LiveField({ store, saver, label, options, set = (value) => saver.set(value) }: {
  store: TicketStore;
  saver: FieldSaver;
  label: string;
  options: readonly Option[];
  set?: (value: string) => void;
}) {
  const value = saver.value.value;
  const theirs = store.changedBy.value[saver.name];
  const choose = (select: HTMLSelectElement) => {
    set(select.value);
    select.value = saver.value.value;
  };
  return (
    <Field label={label}>
      {(control) => (
        <>
          <select
            {...control}
            name={saver.name}
            class={`value-${value.toLowerCase()}`}
            value={value}
            onChange={(event) => choose(event.currentTarget)}
          >
            <Options options={options} value={value} />
          </select>
          <div class="field-outcome" role="status">
            <Outcome saver={saver} options={options} name={theirs ?? texts.somebody} />
            {theirs !== undefined && saver.outcome.value.kind === "NONE" && texts.changedBy(theirs)}
          </div>
        </>
      )}
    </Field>
  );
}

function Outcome({ saver, options, name }: { saver: FieldSaver; options: readonly Option[]; name: string }) {
  const outcome = saver.outcome.value;
  const labelOf = (value: string) => options.find((one) => one.value === value)?.label ?? value;
  switch (outcome.kind) {
    case "NONE":
      return null;
    case "SAVING":
      return texts.saving;
    case "SAVED":
      return texts.saved;
    case "WAITING":
      return <span class="warning">{texts.waiting}</span>;
    case "REFUSED":
      return <span class="error">{texts.refused(outcome.message)}</span>;
    case "CONFLICT": {
      // The buttons are gone then, so the focus goes to the dropdown.
      const decide = (act: () => void) => {
        document.querySelector<HTMLElement>(`.live-fields [name=${saver.name}]`)?.focus();
        act();
      };
      return (
        <div class="notice notice-warning">
          <p>{texts.conflict(name, labelOf(outcome.theirs), labelOf(outcome.wanted))}</p>
          <button type="button" class="button" onClick={() => decide(() => saver.set(outcome.wanted))}>
            {texts.overwrite(labelOf(outcome.wanted))}
          </button>{" "}
          <button type="button" class="button quiet" onClick={() => decide(() => saver.dismiss())}>{texts.keep}</button>
        </div>
      );
    }
  }
}
