/** A new request, with photos. What is typed is kept until it has been sent. */

import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { useRef } from "preact/hooks";
import { Field, useErrorFocus } from "../../design/field.tsx";
import { execute } from "../../shared/client.ts";
import { useDraft } from "../../shared/drafts.ts";
import { errorsByField, type FieldErrors } from "../../shared/field_errors.ts";
import { portal as texts } from "../../texts/portal.ts";
import { FilePicker } from "../form.tsx";
import { me, propertiesOfMine } from "../me.ts";
import { PortalTicketCreate, type TicketCategory } from "../operations.ts";
import { Page } from "../page.tsx";
import { uploads } from "../uploads.ts";

interface Typed {
  propertyId: string;
  category: TicketCategory;
  subject: string;
  description: string;
}

const FIELDS = ["propertyId", "category", "subject", "description"] as const;

export function NewTicket() {
  const { query, route } = useLocation();
  const properties = propertiesOfMine();
  const chosen = properties.find(({ id }) => id === query.property) ?? (properties.length === 1 ? properties[0] : null);
  const draft = useDraft<Typed>("portal ticket", {
    propertyId: chosen?.id ?? "",
    category: "GENERAL",
    subject: "",
    description: "",
  });
  const files = useSignal<readonly File[]>([]);
  const errors = useSignal<FieldErrors>({});
  const sending = useSignal(false);
  const form = useRef<HTMLFormElement>(null);
  useErrorFocus(form, errors.value);
  if (draft === null) return <Page title={texts.new.title}>{null}</Page>;
  const typed = draft.value.value;
  const set = (change: Partial<Typed>) => draft.change({ ...typed, ...change });

  async function send(event: Event) {
    event.preventDefault();
    if (sending.value) return;
    errors.value = {};
    for (const name of ["subject", "description"] as const) {
      if (typed[name].trim() === "") errors.value = { ...errors.value, [name]: texts.new.required };
    }
    if (Object.keys(errors.value).length > 0) return;
    sending.value = true;
    try {
      const { propertyId, ...rest } = typed;
      const input = { ...rest, propertyId: propertyId || null, idempotencyKey: draft!.key };
      const { ticket, userErrors } = (await execute(PortalTicketCreate, { input })).ticketCreate;
      if (ticket === null) {
        errors.value = errorsByField(userErrors, FIELDS);
        return;
      }
      draft!.discard();
      uploads.add(files.value, { ticketId: ticket.id });
      route(`/portal/tickets/${ticket.reference}`);
    } catch (error) {
      errors.value = { "": (error as Error).message };
    } finally {
      sending.value = false;
    }
  }

  return (
    <Page title={texts.new.title}>
      <form ref={form} class="form" onSubmit={send} noValidate>
        {properties.length > 0 && (
          <Field
            label={texts.new.property}
            error={errors.value.propertyId}
          >
            {(given) => (
              <select
                {...given}
                value={typed.propertyId}
                onChange={(e) => set({ propertyId: e.currentTarget.value })}
              >
                <option value="">{texts.new.noProperty}</option>
                {properties.map(({ id, address, accountNumber }) => (
                  <option key={id} value={id}>{`${address} (${accountNumber})`}</option>
                ))}
              </select>
            )}
          </Field>
        )}
        <Field
          label={texts.new.category}
          error={errors.value.category}
        >
          {(given) => (
            <select
              {...given}
              value={typed.category}
              onChange={(e) => set({ category: e.currentTarget.value as TicketCategory })}
            >
              {Object.entries(texts.category).map(([value, name]) => <option key={value} value={value}>{name}</option>)}
            </select>
          )}
        </Field>
        <Field
          label={texts.new.subject}
          hint={texts.new.subjectHint}
          error={errors.value.subject}
        >
          {(given) => (
            <input
              {...given}
              required
              maxLength={200}
              value={typed.subject}
              onInput={(e) => set({ subject: e.currentTarget.value })}
            />
          )}
        </Field>
        <Field
          label={texts.new.description}
          hint={texts.new.descriptionHint}
          error={errors.value.description}
        >
          {(given) => (
            <textarea
              {...given}
              required
              rows={7}
              maxLength={20_000}
              value={typed.description}
              onInput={(e) => set({ description: e.currentTarget.value })}
            />
          )}
        </Field>
        <FilePicker label={texts.new.photos} files={files.value} onChange={(chosen) => files.value = chosen} />
        {errors.value[""] && <p class="error" role="alert">{errors.value[""]}</p>}
        <p>
          <button type="submit" class="button primary" disabled={sending.value || me.value === null}>
            {texts.new.send}
          </button>
        </p>
      </form>
    </Page>
  );
}
