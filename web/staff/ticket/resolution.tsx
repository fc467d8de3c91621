/** How the ticket was resolved: the field to say so, and afterwards what was said, and its way to the knowledge base. */

import { type Signal, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { Field } from "../../design/field.tsx";
import { type Draft, useDraft } from "../../shared/drafts.ts";
import { LinkedText } from "../../shared/linked_text.tsx";
import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { Time } from "../../shared/time.tsx";
import { isResolved, messageOf, type Ticket, type TicketStore } from "./store.ts";

const FORM = "ticket-resolution";
const TITLE = "ticket-resolution-title";

/** Leads to the field in which a resolution is written. */
export function focusResolution(): void {
  document.querySelector<HTMLTextAreaElement>(`#${FORM} textarea`)?.focus();
}

type Sending = "IDLE" | "BUSY" | "WAITING";

interface FormProps {
  store: TicketStore;
  draft: Draft<string> | null;
  state: Signal<Sending>;
}

export function Resolution({ store, ticket }: { store: TicketStore; ticket: Ticket }) {
  const draft = useDraft(`resolution/${store.reference}`, "");
  const state = useSignal<Sending>("IDLE"); // here, as the form is gone before the draft is
  const resolved = isResolved(ticket);
  if (!resolved && !ticket.allowedStatuses.includes("RESOLVED")) return null;
  return (
    <section class="card" aria-labelledby={TITLE}>
      <h2 id={TITLE} tabIndex={-1}>{texts.resolution.title}</h2>
      {ticket.resolvedAt !== null && (
        <p class="hint">
          {texts.resolution.at} <Time at={ticket.resolvedAt} />
        </p>
      )}
      {ticket.closedAt !== null && (
        <p class="hint">
          {texts.resolution.closedAt} <Time at={ticket.closedAt} />
        </p>
      )}
      {ticket.resolution !== null && <LinkedText text={ticket.resolution} />}
      {resolved && draft !== null && state.value === "IDLE" && <UnsentResolution store={store} draft={draft} />}
      {resolved && ticket.resolution !== null && <KnowledgeBase store={store} ticket={ticket} />}
      {!resolved && <ResolutionForm store={store} draft={draft} state={state} />}
    </section>
  );
}

/** What this person had typed when a colleague resolved the ticket. */
function UnsentResolution({ store, draft }: { store: TicketStore; draft: Draft<string> }) {
  const error = useSignal<string | null>(null);
  const text = draft.value.value;
  if (text.trim() === "") return null;
  const replace = async () => {
    try {
      const [problem] = await store.replaceResolution(text);
      error.value = problem?.message ?? null;
      if (problem === undefined) draft.discard();
    } catch (failure) {
      error.value = messageOf(failure);
    }
  };
  return (
    <div class="notice notice-warning" role="status">
      <p>{texts.resolution.unsent}</p>
      <LinkedText text={text} />
      {error.value !== null && <p class="error">{error.value}</p>}
      <button type="button" class="button" onClick={() => void replace()}>{texts.resolution.useMine}</button>{" "}
      <button type="button" class="button quiet" onClick={() => draft.discard()}>{texts.resolution.discard}</button>
    </div>
  );
}

function ResolutionForm({ store, draft, state }: FormProps) {
  const error = useSignal<string | undefined>(undefined);
  const submit = async () => {
    if (draft === null || state.value !== "IDLE") return;
    error.value = draft.value.value.trim() === "" ? texts.resolution.required : undefined;
    if (error.value !== undefined) return focusResolution();
    state.value = "BUSY";
    try {
      const waiting = (waits: boolean) => state.value = waits ? "WAITING" : "BUSY";
      const [problem] = await store.resolve(draft.value.value, draft.key, waiting);
      error.value = problem?.message;
      if (problem === undefined) {
        draft.discard();
        store.savers.status.dismiss(); // it may say that a resolution is needed
      }
    } catch (failure) {
      error.value = messageOf(failure);
    }
    state.value = "IDLE";
    if (error.value !== undefined) focusResolution();
    else requestAnimationFrame(() => document.getElementById(TITLE)?.focus()); // the form is gone
  };
  return (
    <form
      id={FORM}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Field label={texts.resolution.label} hint={texts.resolution.hint} error={error.value} required>
        {(control) => (
          <textarea
            {...control}
            rows={4}
            dir="auto"
            maxLength={20_000}
            readOnly={draft === null || state.value !== "IDLE"}
            value={draft?.value.value ?? ""}
            onInput={(event) => {
              store.typing();
              draft?.change(event.currentTarget.value);
            }}
          />
        )}
      </Field>
      <button type="submit" class="button primary" aria-disabled={state.value !== "IDLE"}>
        {state.value === "IDLE" ? texts.resolution.submit : texts.resolution.submitting}
      </button>
      <span role="status" class="warning">{state.value === "WAITING" && texts.waiting}</span>
    </form>
  );
}

function KnowledgeBase({ store, ticket }: { store: TicketStore; ticket: Ticket }) {
  const busy = useSignal(false);
  const error = useSignal<string | null>(null);
  const place = useRef<HTMLDivElement>(null);
  const add = async () => {
    if (busy.value) return;
    busy.value = true;
    try {
      const [problem] = await store.addArticle();
      error.value = problem?.message ?? null;
    } catch (failure) {
      error.value = messageOf(failure);
    }
    busy.value = false;
    requestAnimationFrame(() => place.current?.querySelector("a")?.focus()); // the button has become a link
  };
  return (
    <div ref={place} class="knowledge-base" role="status">
      {ticket.article === null
        ? (
          <button type="button" class="button" aria-disabled={busy.value} onClick={() => void add()}>
            {busy.value ? texts.article.adding : texts.article.add}
          </button>
        )
        : (
          <p>
            {ticket.article.published ? texts.article.published : texts.article.draft}{" "}
            <a href={`/articles/${ticket.article.id}`}>{texts.article.edit}</a>
          </p>
        )}
      {error.value !== null && <p class="error">{error.value}</p>}
    </div>
  );
}
