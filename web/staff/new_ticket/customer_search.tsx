/** The search for a customer as one types, a combobox with a list of matches. */

import { useSignal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";
import { Field } from "../../design/field.tsx";
import { execute } from "../../shared/client.ts";
import { staffNewTicket as texts } from "../../texts/staff_new_ticket.ts";
import { NewTicketCustomers } from "../operations.ts";
import type { Customer } from "./form.ts";

const TYPING_MILLISECONDS = 150;

export function CustomerSearch({ choose, error, focus }: {
  choose: (customer: Customer) => void;
  error: string | undefined;
  /** Whether the field takes the focus when it appears. */
  focus: boolean;
}) {
  const list = useId();
  const input = useRef<HTMLInputElement>(null);
  const typed = useSignal("");
  const found = useSignal<readonly Customer[]>([]);
  const state = useSignal<"IDLE" | "SEARCHING" | "FOUND" | "FAILED">("IDLE");
  const active = useSignal(-1);
  const open = state.value === "FOUND" && found.value.length > 0;
  const nothing = state.value === "FAILED" || (state.value === "FOUND" && !open); // the rest can be seen
  useEffect(() => {
    if (focus) input.current!.focus();
  }, []);
  useEffect(() => {
    const search = typed.value.trim();
    if (search === "") {
      state.value = "IDLE";
      return;
    }
    const control = new AbortController();
    const timer = setTimeout(async () => {
      state.value = "SEARCHING";
      try {
        const { customers } = await execute(NewTicketCustomers, { search: search.slice(0, 200) }, control.signal);
        found.value = customers.nodes;
        state.value = "FOUND";
      } catch {
        if (!control.signal.aborted) state.value = "FAILED";
      }
    }, TYPING_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [typed.value]);
  const press = (event: KeyboardEvent) => {
    const count = found.value.length;
    if (event.key === "Enter") event.preventDefault(); // it chooses, and does not send the form
    if (event.key === "Escape") state.value = "IDLE";
    if (!open) return;
    if (event.key === "ArrowDown") active.value = (active.value + 1) % count;
    else if (event.key === "ArrowUp") active.value = (active.value + count - (active.value === -1 ? 0 : 1)) % count;
    else if (event.key === "Enter" && active.value !== -1) choose(found.value[active.value]!);
    else if (event.key === "Enter" && count === 1) choose(found.value[0]!);
    else return;
    event.preventDefault();
  };
  return (
    <Field label={texts.customer.label} hint={texts.customer.hint} error={error} optional={texts.optional}>
      {({ "aria-required": _, ...control }) => (
        <div class="combobox">
          <input
            {...control}
            ref={input}
            type="text"
            list={undefined}
            role="combobox"
            autoComplete="off"
            spellcheck={false}
            maxLength={200}
            aria-autocomplete="list"
            aria-expanded={open}
            aria-controls={list}
            aria-activedescendant={open && active.value !== -1 ? `${list}-${active.value}` : undefined}
            value={typed.value}
            onInput={(event) => {
              active.value = -1;
              typed.value = event.currentTarget.value;
            }}
            onKeyDown={press}
            onBlur={() => state.value = "IDLE"}
          />
          <ul id={list} role="listbox" class="combobox-list" aria-label={texts.customer.label} hidden={!open}>
            {found.value.map((customer, index) => (
              <li
                key={customer.id}
                id={`${list}-${index}`}
                role="option"
                aria-selected={index === active.value}
                onMouseDown={(event) => event.preventDefault()}
                onClick={() => choose(customer)}
              >
                <bdi>{customer.name}</bdi>
                <span class="hint">
                  <bdi>{customer.email}</bdi> · {customer.accountNumber}
                </span>
              </li>
            ))}
          </ul>
          <p class={nothing ? "hint" : "visually-hidden"} role="status">{stateText(state.value, found.value.length)}</p>
        </div>
      )}
    </Field>
  );
}

function stateText(state: "IDLE" | "SEARCHING" | "FOUND" | "FAILED", found: number): string {
  if (state === "SEARCHING") return texts.customer.searching;
  if (state === "FAILED") return texts.customer.failed;
  if (state === "FOUND") return found === 0 ? texts.customer.none : texts.customer.found(found);
  return "";
}
