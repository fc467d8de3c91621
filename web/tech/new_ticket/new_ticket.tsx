/** A ticket for whoever is at the door: for a customer who was looked up, or for an address that was typed. It needs a
 * connection; what is typed is kept until it was sent. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { Field, Options, useErrorFocus } from "../../design/field.tsx";
import { execute, newKey } from "../../shared/client.ts";
import { useDraft } from "../../shared/drafts.ts";
import { errorsByField, type FieldErrors } from "../../shared/field_errors.ts";
import { persistently } from "../../shared/saving.ts";
import { tech as texts } from "../../texts/tech.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import { me } from "../me.ts";
import {
  TechLookUp,
  type TechLookUpMutation,
  TechTicketCreate,
  type TicketCategory,
  type TicketPriority,
} from "../operations.ts";
import { Page } from "../page.tsx";

type Customer = NonNullable<TechLookUpMutation["customerLookUp"]["customer"]>;

const EMPTY = {
  customer: null as Customer | null,
  propertyId: "",
  name: "",
  email: "",
  phone: "",
  subject: "",
  description: "",
  category: "GENERAL" as TicketCategory,
  priority: "MEDIUM" as TicketPriority,
  isMine: true,
};
type Typed = typeof EMPTY;
type Name = "name" | "email" | "phone" | "subject" | "description" | "propertyId";

const NAMES: readonly Name[] = ["name", "email", "phone", "subject", "description", "propertyId"];

export function NewTicket() {
  const { route } = useLocation();
  const draft = useDraft<Typed>("tech ticket", EMPTY);
  const errors = useSignal<FieldErrors<Name>>({});
  const sending = useSignal(false);
  const waits = useSignal(false);
  const form = useRef<HTMLFormElement>(null);
  useErrorFocus(form, errors.value);
  if (draft === null) return <Page title={texts.new.title} />;
  const typed = draft.value.value;
  const set = (change: Partial<Typed>) => draft.change({ ...typed, ...change });

  async function send(event: Event) {
    event.preventDefault();
    if (sending.value) return;
    const needed: Name[] = typed.customer === null
      ? ["name", "email", "subject", "description"]
      : ["subject", "description"];
    const missing = needed.filter((name) => typed[name].trim() === "");
    errors.value = Object.fromEntries(missing.map((name) => [name, texts.new.required]));
    if (missing.length > 0) return;
    sending.value = true;
    const input = { ...inputOf(typed), idempotencyKey: draft!.key };
    try {
      const answer = await persistently(() => execute(TechTicketCreate, { input }), (waiting) => waits.value = waiting);
      const { ticket, userErrors } = answer.ticketCreate;
      errors.value = errorsByField(userErrors, NAMES);
      if (ticket === null) return;
      draft!.discard();
      route(`/tech/tickets/${ticket.reference}`);
    } catch (error) {
      errors.value = { "": (error as Error).message };
    } finally {
      sending.value = false;
    }
  }

  const line = (name: "name" | "email" | "phone" | "subject", given: Record<string, unknown>) => (
    <Field label={texts.new[name]} error={errors.value[name]} required={name !== "phone"}>
      {(control) => (
        <input
          {...control}
          {...given}
          value={typed[name]}
          onInput={(event) => set({ [name]: event.currentTarget.value })}
        />
      )}
    </Field>
  );
  return (
    <Page title={texts.new.title}>
      <LookUp found={(customer) => set({ customer, propertyId: customer.properties[0]?.propertyId ?? "" })} />
      <form ref={form} class="form" onSubmit={send} noValidate>
        {typed.customer === null
          ? (
            <>
              {line("name", { maxLength: 200, autoComplete: "off" })}
              {line("email", { type: "email", maxLength: 254, autoComplete: "off" })}
              {line("phone", { type: "tel", maxLength: 40, autoComplete: "off" })}
            </>
          )
          : (
            <Chosen
              customer={typed.customer}
              propertyId={typed.propertyId}
              error={errors.value.propertyId}
              choose={(propertyId) => set({ propertyId })}
              clear={() => set({ customer: null, propertyId: "" })}
            />
          )}
        {line("subject", { maxLength: 200 })}
        <Field label={texts.new.description} error={errors.value.description} required>
          {(control) => (
            <textarea
              {...control}
              rows={5}
              maxLength={20_000}
              value={typed.description}
              onInput={(event) => set({ description: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label={texts.new.category}>
          {(control) => (
            <select
              {...control}
              onChange={(event) => set({ category: event.currentTarget.value as TicketCategory })}
            >
              <Options options={optionsOf(ticketWords.category)} value={typed.category} />
            </select>
          )}
        </Field>
        <Field label={texts.new.priority}>
          {(control) => (
            <select
              {...control}
              onChange={(event) => set({ priority: event.currentTarget.value as TicketPriority })}
            >
              <Options options={optionsOf(ticketWords.priority)} value={typed.priority} />
            </select>
          )}
        </Field>
        <label class="check">
          <input
            type="checkbox"
            checked={typed.isMine}
            onChange={(event) => set({ isMine: event.currentTarget.checked })}
          />
          {texts.new.isMine}
        </label>
        {errors.value[""] && <p class="error" role="alert">{errors.value[""]}</p>}
        <p role="status">{waits.value && texts.new.waits}</p>
        <button type="submit" class="button primary" disabled={sending.value}>{texts.new.create}</button>
      </form>
    </Page>
  );
}

function inputOf({ customer, propertyId, name, email, phone, isMine, ...rest }: Typed) {
  const whose = customer === null
    ? { contact: { name, email, phone: phone || null } }
    : { customerId: customer.customerId, propertyId: propertyId || null };
  return { ...rest, ...whose, technicianId: isMine ? me.value!.id : null };
}

function optionsOf(words: Record<string, string>) {
  return Object.entries(words).map(([value, label]) => ({ value, label }));
}

/** Finds a customer by exactly what they say: an account number, an e-mail address or a phone number. */
function LookUp({ found }: { found: (customer: Customer) => void }) {
  const said = useSignal("");
  const answer = useSignal("");
  const busy = useSignal(false);

  async function look(event: Event) {
    event.preventDefault();
    const text = said.value.trim();
    if (text === "" || busy.value) return;
    busy.value = true;
    answer.value = "";
    const by = text.includes("@")
      ? { email: text }
      : /^[+()\d\s.-]{7,}$/.test(text)
      ? { phone: text }
      : { accountNumber: text };
    try {
      const input = { ...by, idempotencyKey: newKey() };
      const { customer, userErrors } = (await execute(TechLookUp, { input })).customerLookUp;
      const others = userErrors.filter(({ code }) => code !== "NOT_FOUND");
      answer.value = customer !== null
        ? texts.new.found(customer.name)
        : others.map(({ message }) => message).join(" ") || texts.new.nobody;
      if (customer !== null) found(customer);
    } catch (error) {
      answer.value = (error as Error).message;
    } finally {
      busy.value = false;
    }
  }

  return (
    <form class="form card" onSubmit={look} role="search">
      <Field label={texts.new.lookUp} hint={texts.new.lookUpHint}>
        {(control) => (
          <input
            {...control}
            value={said}
            maxLength={254}
            onInput={(event) => said.value = event.currentTarget.value}
          />
        )}
      </Field>
      <button type="submit" class="button" disabled={busy.value}>{texts.new.look}</button>
      <p role="status">{answer}</p>
    </form>
  );
}

interface ChosenProps {
  customer: Customer;
  propertyId: string;
  error: string | undefined;
  choose: (propertyId: string) => void;
  clear: () => void;
}

function Chosen({ customer, propertyId, error, choose, clear }: ChosenProps) {
  const properties = customer.properties.map((one) => ({ value: one.propertyId, label: one.address }));
  return (
    <>
      <p>
        <b dir="auto">{customer.name}</b> <button type="button" class="link" onClick={clear}>{texts.new.change}</button>
      </p>
      {properties.length > 0 && (
        <Field label={texts.new.property} error={error}>
          {(control) => (
            <select {...control} onChange={(event) => choose(event.currentTarget.value)}>
              <Options options={[{ value: "", label: texts.new.noProperty }, ...properties]} value={propertyId} />
            </select>
          )}
        </Field>
      )}
    </>
  );
}
