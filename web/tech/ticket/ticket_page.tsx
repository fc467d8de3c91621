/** A ticket, as the technician who works on it needs it: where, whom to call, what is to be done, and what was done. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useRoute } from "preact-iso";
import { PriorityBadge, StatusBadge } from "../../shared/badges.tsx";
import { execute, newKey, ownUrl } from "../../shared/client.ts";
import { useDraft } from "../../shared/drafts.ts";
import { FileUploads } from "../../shared/file_uploads.tsx";
import { LinkedText } from "../../shared/linked_text.tsx";
import { call, directions, mailTo } from "../../shared/links.ts";
import { live } from "../../shared/live.ts";
import { persistently } from "../../shared/saving.ts";
import { Time } from "../../shared/time.tsx";
import { tech as texts } from "../../texts/tech.ts";
import {
  TechAdvance,
  TechNoteAdd,
  TechResolve,
  TechTicketFollow,
  TechTicketPage,
  type TechTicketPageQuery,
} from "../operations.ts";
import { Page } from "../page.tsx";
import { arrived, uploads } from "../uploads.ts";
import { Steps } from "./steps.tsx";

type Ticket = NonNullable<TechTicketPageQuery["ticket"]>;

export function TicketPage() {
  const { reference } = useRoute().params as { reference: string };
  return <TicketOf key={reference} reference={reference} />;
}

function TicketOf({ reference }: { reference: string }) {
  const ticket = useSignal<Ticket | null | undefined>(undefined);
  const failed = useSignal<string | null>(null);

  async function load() {
    try {
      ticket.value = (await persistently(() => execute(TechTicketPage, { by: { reference } }))).ticket;
      failed.value = null;
    } catch (error) {
      failed.value = (error as Error).message;
    }
  }

  useEffect(() => void load(), [arrived.value]);
  const unseen = ticket.value?.assignment?.seenAt === null ? ticket.value.assignment.id : undefined;
  useEffect(() => (unseen === undefined ? undefined : void markSeen(unseen)), [unseen]);
  const id = ticket.value?.id;
  useEffect(() => (id === undefined ? undefined : following(id, load)), [id]);

  if (ticket.value === undefined) {
    return <Page title={reference}>{failed.value && <p class="error" role="alert">{failed}</p>}</Page>;
  }
  if (ticket.value === null) {
    return (
      <Page title={texts.gone}>
        <p>{texts.goneText}</p>
        <p>
          <a class="button" href="/tech">{texts.back}</a>
        </p>
      </Page>
    );
  }
  const { assignment, resolution, status } = ticket.value;
  return (
    <Page title={ticket.value.subject}>
      <p class="facts-line">
        {reference} <PriorityBadge priority={ticket.value.priority} /> <StatusBadge status={status} />
        {assignment !== null && <span class="badge">{texts.states[assignment.state]}</span>}
      </p>
      {assignment !== null && (status === "OPEN" || status === "IN_PROGRESS") && (
        <Steps assignment={assignment} changed={load} />
      )}
      <Where ticket={ticket.value} />
      <section class="card">
        <h2>{texts.description}</h2>
        <LinkedText text={ticket.value.description} />
      </section>
      {ticket.value.chat !== null && <Chat messages={ticket.value.chat} />}
      <Photos ticket={ticket.value} />
      <Notes ticket={ticket.value} changed={load} />
      {resolution === null ? <Resolve ticket={ticket.value} changed={load} /> : (
        <section class="card">
          <h2>{texts.resolved}</h2>
          <LinkedText text={resolution} />
        </section>
      )}
      {failed.value !== null && <p class="error" role="alert">{failed}</p>}
    </Page>
  );
}

/** Lets the office know that the technician has opened the ticket. If that fails, the next visit does it. */
async function markSeen(assignmentId: string): Promise<void> {
  const input = { assignmentId, to: "SEEN" as const, idempotencyKey: newKey() };
  await execute(TechAdvance, { input }).catch(() => {});
}

/** Calls `changed` after each change of the ticket, until the returned function is called. */
function following(id: string, changed: () => Promise<void>): () => void {
  let after: string | undefined;
  const begun = live(TechTicketFollow, () => (after === undefined ? { id } : { id, after }), ({ ticketFollow }) => {
    if (!("cursor" in ticketFollow)) return;
    const first = after === undefined;
    after = ticketFollow.cursor;
    // What has happened between the page's query and the first message is not sent.
    if (ticketFollow.__typename !== "StreamReady" || first) void changed();
  });
  return () => begun.close();
}

function Where({ ticket }: { ticket: Ticket }) {
  const { contact, property } = ticket;
  const phone = contact.phone === null ? null : call(contact.phone);
  return (
    <section class="card">
      <h2 dir="auto">{contact.name}</h2>
      {property !== null && <p dir="auto">{property.address}</p>}
      {property?.accessNotes && (
        <div class="access">
          <b>{texts.access}</b>
          <LinkedText text={property.accessNotes} />
        </div>
      )}
      <div class="actions">
        {property !== null && (
          <a class="button" href={directions(property.address)} target="_blank" rel="noopener noreferrer">
            {texts.directions}
          </a>
        )}
        {phone !== null && <a class="button" href={phone}>{texts.call} {contact.phone}</a>}
        <a class="button" href={mailTo(contact.email)}>{texts.write}</a>
      </div>
    </section>
  );
}

function Chat({ messages }: { messages: NonNullable<Ticket["chat"]> }) {
  return (
    <details class="card">
      <summary>{texts.chat}</summary>
      <ol class="notes">
        {messages.map((message, index) => (
          <li key={index} class="note">
            <p class="hint">{message.author} {message.at !== null && <Time at={message.at} />}</p>
            <LinkedText text={message.body} />
          </li>
        ))}
      </ol>
    </details>
  );
}

function Photos({ ticket }: { ticket: Ticket }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <section class="card">
      <h2>{texts.photos}</h2>
      <ul class="photos">
        {ticket.attachments.nodes.map((file) => (
          <li key={file.id}>
            {file.url === null
              ? <span class="hint">{file.name} {texts.waits}</span>
              : (
                <a href={ownUrl(file.url)} target="_blank" rel="noopener">
                  {file.thumbnailUrl === null
                    ? file.name
                    : <img src={ownUrl(file.thumbnailUrl)} alt={file.name} loading="lazy" />}
                </a>
              )}
          </li>
        ))}
      </ul>
      <FileUploads uploads={uploads} />
      <button type="button" class="button" onClick={() => input.current!.click()}>{texts.takePhoto}</button>
      <input
        ref={input}
        type="file"
        accept="image/*"
        capture="environment"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          uploads.add([...currentTarget.files ?? []], { ticketId: ticket.id, internalOnly: true });
          currentTarget.value = "";
        }}
      />
    </section>
  );
}

interface PartProps {
  ticket: Ticket;
  changed: () => Promise<void>;
}

function Notes({ ticket, changed }: PartProps) {
  const draft = useDraft(`tech note ${ticket.id}`, { body: "", internalOnly: true });
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);

  async function add(event: Event) {
    event.preventDefault();
    if (draft === null || busy.value) return;
    busy.value = true;
    const input = {
      ...draft.value.value,
      ticketId: ticket.id,
      occurredAt: new Date().toISOString(),
      idempotencyKey: draft.key,
    };
    try {
      const { note, userErrors } = (await persistently(() => execute(TechNoteAdd, { input }))).noteAdd;
      error.value = userErrors.map(({ message }) => message).join(" ") || null;
      if (note !== null) draft.discard();
      await changed();
    } catch (failure) {
      error.value = (failure as Error).message;
    } finally {
      busy.value = false;
    }
  }

  return (
    <section class="card">
      <h2>{texts.notes}</h2>
      <ol class="notes" aria-live="polite">
        {ticket.notes.nodes.map((note) => (
          <li key={note.id} class="note" data-internal={note.internalOnly}>
            <p class="hint">
              <b>
                <bdi>{note.author.name}</bdi>
              </b>{" "}
              <Time at={note.occurredAt ?? note.createdAt} /> · {note.internalOnly ? texts.internal : texts.public}
            </p>
            <LinkedText text={note.body} />
          </li>
        ))}
      </ol>
      {draft !== null && (
        <form class="form" onSubmit={add}>
          <label class="field">
            <span>{texts.note}</span>
            <textarea
              rows={3}
              required
              maxLength={20_000}
              value={draft.value.value.body}
              onInput={(event) => draft.change({ ...draft.value.value, body: event.currentTarget.value })}
            />
          </label>
          <label class="check">
            <input
              type="checkbox"
              checked={draft.value.value.internalOnly}
              onChange={(event) => draft.change({ ...draft.value.value, internalOnly: event.currentTarget.checked })}
            />
            {texts.internalOnly}
          </label>
          {error.value !== null && <p class="error" role="alert">{error}</p>}
          <button type="submit" class="button" disabled={busy.value}>{texts.addNote}</button>
        </form>
      )}
    </section>
  );
}

function Resolve({ ticket, changed }: PartProps) {
  const draft = useDraft(`tech resolution ${ticket.id}`, { resolution: "" });
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);
  if (draft === null || !ticket.allowedStatuses.includes("RESOLVED")) return null;

  async function resolve(event: Event) {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    const input = {
      ...draft!.value.value,
      ticketId: ticket.id,
      occurredAt: new Date().toISOString(),
      idempotencyKey: draft!.key,
    };
    try {
      const { userErrors } = (await persistently(() => execute(TechResolve, { input }))).ticketResolve;
      error.value = userErrors.map(({ message }) => message).join(" ") || null;
      if (userErrors.length === 0) draft!.discard();
      await changed();
    } catch (failure) {
      error.value = (failure as Error).message;
    } finally {
      busy.value = false;
    }
  }

  return (
    <form class="card form" onSubmit={resolve}>
      <h2>{texts.resolve}</h2>
      <label class="field">
        <span>{texts.resolution}</span>
        <textarea
          rows={3}
          required
          maxLength={20_000}
          value={draft.value.value.resolution}
          onInput={(event) => draft.change({ resolution: event.currentTarget.value })}
        />
      </label>
      {error.value !== null && <p class="error" role="alert">{error}</p>}
      <button type="submit" class="button primary" disabled={busy.value}>{texts.markResolved}</button>
    </form>
  );
}
