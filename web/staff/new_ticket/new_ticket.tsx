/** The form that creates a ticket. */

import "../ticket/look.css";
import "./new_ticket.css";
import { useComputed, useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { useEffect, useRef } from "preact/hooks";
import { type Control, Field, type Option, Options, useErrorFocus } from "../../design/field.tsx";
import { execute } from "../../shared/client.ts";
import { type Draft, useDraft } from "../../shared/drafts.ts";
import { errorsByField } from "../../shared/field_errors.ts";
import { persistently } from "../../shared/saving.ts";
import { staffNewTicket as texts } from "../../texts/staff_new_ticket.ts";
import { ticketWords as words } from "../../texts/ticket_words.ts";
import { NewTicketCreate, NewTicketProperties, type TicketCategory, type TicketPriority } from "../operations.ts";
import { optionsOf, readTechnicians, technicianOptions } from "../ticket/live_fields.tsx";
import { messageOf } from "../ticket/store.ts";
import { Page } from "../shell/page.tsx";
import { CustomerSearch } from "./customer_search.tsx";
import {
  EMPTY,
  type Errors,
  errorsLeft,
  errorsOf,
  FIELDS,
  type Form,
  inputOf,
  withCustomer,
  withoutCustomer,
} from "./form.ts";

export default function NewTicket() {
  const draft = useDraft("new-ticket", EMPTY);
  useEffect(() => void readTechnicians().catch(() => {}), []);
  return (
    <Page title={texts.title}>
      <div class="new-ticket">{draft !== null && <NewTicketForm draft={draft} />}</div>
    </Page>
  );
}

function NewTicketForm({ draft }: { draft: Draft<Form> }) {
  const { route } = useLocation();
  const errors = useSignal<Errors>({});
  const checked = useSignal(EMPTY);
  const state = useSignal<"IDLE" | "BUSY" | "WAITING">("IDLE");
  const earlier = useSignal<string | null>(null);
  const restored = useSignal(draft.restored);
  const element = useRef<HTMLFormElement>(null);
  const form = draft.value.value;
  const change = (changes: Partial<Form>) => draft.change({ ...draft.value.peek(), ...changes });

  useErrorFocus(element, errors.value);
  const create = async () => {
    const input = inputOf(draft.value.peek(), draft.key);
    change({ sent: input });
    const waiting = (waits: boolean) => state.value = waits ? "WAITING" : "BUSY";
    const { ticketCreate } = await persistently(() => execute(NewTicketCreate, { input }), waiting);
    return ticketCreate;
  };
  const submit = async () => {
    if (state.value !== "IDLE") return;
    checked.value = draft.value.peek();
    errors.value = errorsOf(checked.value, texts.errors);
    if (Object.keys(errors.value).length > 0) return;
    state.value = "BUSY";
    const before = draft.value.peek().sent;
    try {
      const { ticket, userErrors } = await create();
      if (ticket !== null) {
        draft.discard();
        return route(`/tickets/${ticket.reference}`);
      }
      if (before !== null && userErrors.some(({ code }) => code === "IDEMPOTENCY_CONFLICT")) {
        earlier.value = await referenceOf(before);
        const typed = draft.value.peek();
        draft.discard();
        change({ ...typed, sent: null });
      } else {
        change({ sent: null });
        errors.value = errorsByField(userErrors, FIELDS);
      }
    } catch (error) {
      errors.value = { "": texts.failed(messageOf(error)) };
    }
    state.value = "IDLE";
  };

  const left = errorsLeft(errors.value, checked.value, form);
  const wrong = FIELDS.filter((name) => left[name] !== undefined).length;
  const text =
    (name: "name" | "email" | "phone" | "subject", mode: "text" | "email" | "tel" = "text") => (control: Control) => (
      <input
        {...control}
        type="text"
        inputMode={mode}
        dir="auto"
        autoComplete="off"
        value={form[name]}
        onInput={(event) => change({ [name]: event.currentTarget.value })}
      />
    );
  return (
    <form
      ref={element}
      noValidate
      aria-busy={state.value !== "IDLE"}
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {restored.value && (
        <p class="notice" role="status">
          {texts.restored}{" "}
          <button
            type="button"
            class="button quiet"
            onClick={() => {
              draft.discard();
              restored.value = false;
            }}
          >
            {texts.discard}
          </button>
        </p>
      )}
      {!draft.kept.value && <p class="notice notice-warning" role="status">{texts.tooLong}</p>}
      {earlier.value !== null && (
        <p class="notice notice-warning" role="alert">
          {texts.earlier(earlier.value)} <a href={`/tickets/${earlier.value}`}>{texts.open(earlier.value)}</a>
        </p>
      )}
      <div role="alert">
        {wrong > 0 && <p class="error">{texts.wrong(wrong)}</p>}
        {left[""] !== undefined && <p class="error">{left[""]}</p>}
      </div>
      <fieldset disabled={state.value !== "IDLE"}>
        <CustomerChoice draft={draft} error={left.customerId} />
        {form.customer !== null && (
          <PropertyChoice
            key={form.customer.id}
            customerId={form.customer.id}
            value={form.propertyId}
            change={(propertyId) => change({ propertyId })}
            error={left.propertyId}
          />
        )}
        <Row name="name">
          <Field label={texts.name.label} hint={texts.name.hint} error={left.name} required>
            {text("name")}
          </Field>
        </Row>
        <Row name="email">
          <Field label={texts.email.label} hint={texts.email.hint} error={left.email} required>
            {text("email", "email")}
          </Field>
        </Row>
        <Row name="phone">
          <Field label={texts.phone.label} hint={texts.phone.hint} error={left.phone} optional={texts.optional}>
            {text("phone", "tel")}
          </Field>
        </Row>
        <Row name="subject">
          <Field label={texts.subject.label} hint={texts.subject.hint} error={left.subject} required>
            {text("subject")}
          </Field>
        </Row>
        <Row name="description">
          <Field
            label={texts.description.label}
            hint={texts.description.hint}
            error={left.description}
            required
          >
            {(control) => (
              <textarea
                {...control}
                rows={6}
                dir="auto"
                value={form.description}
                onInput={(event) => change({ description: event.currentTarget.value })}
              />
            )}
          </Field>
        </Row>
        <Choice
          name="category"
          label={texts.category.label}
          error={left.category}
          options={optionsOf(words.category)}
          value={form.category}
          change={(value) => change({ category: value as TicketCategory })}
        />
        <Choice
          name="priority"
          label={texts.priority.label}
          hint={words.priorityHelp[form.priority]}
          error={left.priority}
          options={optionsOf(words.priority)}
          value={form.priority}
          change={(value) => change({ priority: value as TicketPriority })}
        />
        <Choice
          name="technicianId"
          label={texts.technician.label}
          error={left.technicianId}
          options={technicianOptions(null)}
          value={form.technicianId}
          change={(technicianId) => change({ technicianId })}
        />
      </fieldset>
      <button type="submit" class="button primary" aria-disabled={state.value !== "IDLE"}>
        {state.value === "IDLE" ? texts.create : texts.creating}
      </button>
      <p role="status" class="warning">{state.value === "WAITING" && texts.waiting}</p>
    </form>
  );
}

/** The reference of the ticket that this input has created before. */
async function referenceOf(input: NonNullable<Form["sent"]>): Promise<string | null> {
  const { ticketCreate } = await persistently(() => execute(NewTicketCreate, { input }));
  return ticketCreate.ticket?.reference ?? null;
}

function Row({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return <div class={`row row-${name}`}>{children}</div>;
}

function Choice({ name, label, hint, error, options, value, change }: {
  name: string;
  label: string;
  hint?: string;
  error: string | undefined;
  options: readonly Option[];
  value: string;
  change: (value: string) => void;
}) {
  return (
    <Row name={name}>
      <Field label={label} hint={hint} error={error}>
        {(control) => (
          <select {...control} value={value} onChange={(event) => change(event.currentTarget.value)}>
            <Options options={options} value={value} />
          </select>
        )}
      </Field>
    </Row>
  );
}

function CustomerChoice({ draft, error }: { draft: Draft<Form>; error: string | undefined }) {
  const { customer } = draft.value.value;
  const changing = useSignal(false);
  const changeButton = useRef<HTMLButtonElement>(null);
  const chosen = useSignal(false);
  useEffect(() => {
    if (chosen.value) changeButton.current?.focus();
  }, [customer?.id]);
  if (customer === null) {
    return (
      <Row name="customerId">
        <CustomerSearch
          error={error}
          focus={changing.value}
          choose={(found) => {
            chosen.value = true;
            draft.change(withCustomer(draft.value.peek(), found));
          }}
        />
      </Row>
    );
  }
  return (
    <div
      class={error === undefined ? "row chosen-customer" : "row chosen-customer field-wrong"}
      role="group"
      aria-label={texts.customer.chosen}
    >
      <p>
        <strong>
          <bdi>{customer.name}</bdi>
        </strong>
        <br />
        <span class="hint">
          <bdi>{customer.email}</bdi> · {customer.accountNumber}
        </span>
        {error !== undefined && <span class="error">{error}</span>}
      </p>
      <button
        ref={changeButton}
        type="button"
        class="button"
        onClick={() => {
          changing.value = true;
          draft.change(withoutCustomer(draft.value.peek()));
        }}
      >
        {texts.customer.change}
      </button>
    </div>
  );
}

const MOST_PAGES = 10;

function PropertyChoice({ customerId, value, change, error }: {
  customerId: string;
  value: string;
  change: (propertyId: string) => void;
  error: string | undefined;
}) {
  const properties = useSignal<readonly Option[]>([]);
  useEffect(() => {
    void propertiesOf(customerId).then((found) => properties.value = found).catch(() => {});
  }, [customerId]);
  const options = useComputed(() => [{ value: "", label: texts.property.none }, ...properties.value]);
  if (properties.value.length === 0) return null;
  return (
    <Choice
      name="propertyId"
      label={texts.property.label}
      error={error}
      options={options.value}
      value={value}
      change={change}
    />
  );
}

/** The customer's properties, of up to 1,000. */
async function propertiesOf(customerId: string): Promise<Option[]> {
  const found: Option[] = [];
  let after: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { properties }: Awaited<ReturnType<typeof readProperties>> = await readProperties(customerId, after);
    found.push(...properties.nodes.map((one) => ({ value: one.id, label: `${one.address} (${one.accountNumber})` })));
    if (!properties.pageInfo.hasNextPage) break;
    after = properties.pageInfo.endCursor;
  }
  return found;
}

function readProperties(customerId: string, after: string | null) {
  return execute(NewTicketProperties, { customerId, after });
}
