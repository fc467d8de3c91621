/** The notes of a ticket, and the form that adds one. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { Field } from "../../design/field.tsx";
import { useDraft } from "../../shared/drafts.ts";
import { LinkedText } from "../../shared/linked_text.tsx";
import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { ticketWords as words } from "../../texts/ticket_words.ts";
import { FileLinks } from "./attachments.tsx";
import { Time } from "../../shared/time.tsx";
import { messageOf, type Note, type TicketStore } from "./store.ts";

export function Notes({ store }: { store: TicketStore }) {
  const notes = store.notes.value;
  return (
    <section class="card" aria-labelledby="ticket-notes">
      <h2 id="ticket-notes">{texts.notes.title}</h2>
      {store.notesBefore.value !== null && (
        <button
          type="button"
          class="button quiet"
          onClick={() => void store.showEarlierNotes().catch(() => {})}
        >
          {texts.notes.earlier}
        </button>
      )}
      {notes.length === 0 && <p class="hint">{texts.notes.none}</p>}
      <ol class="notes" aria-live="polite" aria-relevant="additions">
        {notes.map((note) => <NoteItem key={note.id} store={store} note={note} />)}
      </ol>
      <NoteForm store={store} />
    </section>
  );
}

function NoteItem({ store, note }: { store: TicketStore; note: Note }) {
  const files = store.attachments.value.filter((one) => one.note?.id === note.id);
  return (
    <li class={note.internalOnly ? "note note-internal" : "note note-public"}>
      <header>
        <strong>
          <bdi>{note.author.name}</bdi>
        </strong>{" "}
        <span class="hint">{words.actor[note.author.kind]}</span>{" "}
        <span class="hint">
          <Time at={note.occurredAt ?? note.createdAt} />
          {note.via === "EMAIL" && ` ${texts.notes.byEmail}`}
          {note.via === "CHATBOT" && ` ${texts.notes.byChatbot}`}
        </span>
        <span class="note-visibility" title={note.internalOnly ? texts.notes.internalHint : texts.notes.publicHelp}>
          {note.internalOnly ? texts.notes.internal : texts.notes.public}
        </span>
      </header>
      {note.via === "EMAIL" && note.senderVerified !== true && <p class="warning">{texts.unverified}</p>}
      <LinkedText text={note.body} />
      {note.quoted !== null && (
        <details>
          <summary>{texts.notes.quoted}</summary>
          <LinkedText text={note.quoted} />
        </details>
      )}
      {files.length > 0 && <FileLinks store={store} files={files} />}
    </li>
  );
}

const EMPTY = { body: "", internalOnly: true };

function NoteForm({ store }: { store: TicketStore }) {
  const draft = useDraft(`note/${store.reference}`, EMPTY);
  const state = useSignal<"IDLE" | "BUSY" | "WAITING">("IDLE");
  const error = useSignal<string | undefined>(undefined);
  const text = useRef<HTMLTextAreaElement>(null);
  const { body, internalOnly } = draft?.value.value ?? EMPTY;
  const submit = async () => {
    if (draft === null || state.value !== "IDLE") return;
    error.value = body.trim() === "" ? texts.notes.required : undefined;
    if (error.value === undefined) {
      state.value = "BUSY";
      try {
        const waiting = (waits: boolean) => state.value = waits ? "WAITING" : "BUSY";
        const [problem] = await store.addNote(body, internalOnly, draft.key, waiting);
        if (problem === undefined) draft.discard();
        else if (problem.code === "IDEMPOTENCY_CONFLICT") {
          draft.discard();
          draft.change({ body, internalOnly });
          error.value = texts.notes.earlierVersion;
        } else error.value = problem.message;
      } catch (failure) {
        error.value = messageOf(failure);
      }
      state.value = "IDLE";
    }
    text.current?.focus();
  };
  return (
    <form
      noValidate
      class={internalOnly ? "note-form note-form-internal" : "note-form"}
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Field label={texts.notes.text} hint={texts.notes.hint} error={error.value} required>
        {(control) => (
          <textarea
            {...control}
            ref={text}
            rows={3}
            dir="auto"
            maxLength={20_000}
            readOnly={draft === null || state.value !== "IDLE"}
            value={body}
            onInput={(event) => {
              store.typing();
              draft?.change({ body: event.currentTarget.value, internalOnly });
            }}
          />
        )}
      </Field>
      <div class="note-actions">
        <label class="checkbox">
          <input
            type="checkbox"
            checked={internalOnly}
            aria-describedby="note-visibility"
            onChange={(event) => draft?.change({ body, internalOnly: event.currentTarget.checked })}
          />
          {texts.notes.internalOnly}
        </label>
        <span id="note-visibility" class={internalOnly ? "hint" : "warning"} role="status">
          {internalOnly ? texts.notes.internalHint : texts.notes.publicHint}
        </span>
        <button type="submit" class="button primary" aria-disabled={state.value !== "IDLE"}>
          {state.value === "IDLE" ? texts.notes.add : texts.notes.adding}
        </button>
      </div>
      <p role="status" class="warning">{state.value === "WAITING" && texts.waiting}</p>
    </form>
  );
}
