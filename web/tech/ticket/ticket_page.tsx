/** A ticket, as the technician who works on it needs it: where, whom to call, what is to be done, and what was done. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useRoute } from "preact-iso";
import { PriorityBadge, StatusBadge } from "../../shared/badges.tsx";
import { execute, ownUrl } from "../../shared/client.ts";
import { useDraft } from "../../shared/drafts.ts";
import { LinkedText } from "../../shared/linked_text.tsx";
import { call, directions, mailTo } from "../../shared/links.ts";
import { Time } from "../../shared/time.tsx";
import { tech as texts } from "../../texts/tech.ts";
import { act, attach, online, queue, type Ticket, tickets } from "../device/device.ts";
import { type Note, withQueue } from "../device/queue.ts";
import { me } from "../me.ts";
import { TechFiles, type TechFilesQuery, TechTicketPage } from "../operations.ts";
import { Page } from "../page.tsx";
import { Entries, ticketOf } from "../waiting/entries.tsx";
import { Steps } from "./steps.tsx";

export function TicketPage() {
  const { reference } = useRoute().params as { reference: string };
  return <TicketOf key={reference} reference={reference} />;
}

/** A ticket that is on the phone, or else as the server has it: one that is resolved is still the technician's. */
function TicketOf({ reference }: { reference: string }) {
  const asked = useSignal<Ticket | null | undefined>(undefined);
  const error = useSignal<string | null>(null);
  const kept = tickets.value?.find((ticket) => ticket.reference === reference);
  const isKept = kept !== undefined;
  const sent = queue.value.length;
  useEffect(() => {
    if (isKept || tickets.value === null || !online.value) return;
    execute(TechTicketPage, { by: { reference } }).then(
      ({ ticket }) => asked.value = ticket,
      (reason: Error) => error.value = reason.message,
    );
  }, [isKept, tickets.value === null, online.value, sent]);

  const ticket = kept ?? (asked.value ? withQueue([asked.value], queue.value)[0] : asked.value);
  const unseen = kept?.assignment?.seenAt === null && !isSeen(kept.assignment.id) ? kept.assignment.id : undefined;
  useEffect(() => {
    if (unseen !== undefined) act("assignment", { assignmentId: unseen, to: "SEEN" }).catch(() => {});
  }, [unseen]);

  if (ticket) return <Shown ticket={ticket} />;
  if (ticket === undefined && (online.value || tickets.value === null)) {
    return (
      <Page title={reference}>
        {error.value === null ? <div class="skeleton" aria-hidden="true" /> : <p class="error" role="alert">{error}</p>}
      </Page>
    );
  }
  return (
    <Page title={ticket === null ? texts.gone : reference}>
      <p>{ticket === null ? texts.goneText : texts.notOnPhone}</p>
      <p>
        <a class="button" href="/tech">{texts.back}</a>
      </p>
    </Page>
  );
}

/** Whether the queue says so already: the server may have refused it, and would again. */
function isSeen(assignmentId: string): boolean {
  return queue.value.some(({ command: { assignment } }) =>
    assignment?.assignmentId === assignmentId && assignment.to === "SEEN"
  );
}

function Shown({ ticket }: { ticket: Ticket }) {
  const { assignment, resolution, status } = ticket;
  return (
    <Page title={ticket.subject} back>
      <p class="facts-line">
        {ticket.reference} <PriorityBadge priority={ticket.priority} /> <StatusBadge status={status} />
        {assignment !== null && <span class="badge">{texts.states[assignment.state]}</span>}
      </p>
      <Entries entries={queue.value.filter((entry) => entry.result !== null && ticketOf(entry)?.id === ticket.id)} />
      {assignment !== null && (status === "OPEN" || status === "IN_PROGRESS") && <Steps assignment={assignment} />}
      <Where ticket={ticket} />
      <section class="card">
        <h2>{texts.description}</h2>
        <LinkedText text={ticket.description} />
      </section>
      {ticket.chat !== null && <Chat messages={ticket.chat} />}
      <Photos ticket={ticket} />
      <Notes ticket={ticket} />
      {resolution === null ? <Resolve ticket={ticket} /> : (
        <section class="card">
          <h2>{texts.resolved}</h2>
          <LinkedText text={resolution} />
        </section>
      )}
    </Page>
  );
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
      {property !== null && <AccessNote propertyId={property.id} />}
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

function AccessNote({ propertyId }: { propertyId: string }) {
  const draft = useDraft(`tech access ${propertyId}`, { body: "" });
  const { error, run } = useQueued();
  if (draft === null) return null;

  async function add(event: Event) {
    event.preventDefault();
    const { body } = draft!.value.value;
    if (body.trim() === "") return;
    await run(async () => {
      await act("propertyAccessNote", { propertyId, body });
      draft!.discard();
    });
  }

  return (
    <details>
      <summary>{texts.accessNote}</summary>
      <form class="form" onSubmit={add}>
        <textarea
          rows={2}
          required
          maxLength={1_000}
          aria-label={texts.accessNote}
          value={draft.value.value.body}
          onInput={(event) => draft.change({ body: event.currentTarget.value })}
        />
        {error !== null && <p class="error" role="alert">{error}</p>}
        <button type="submit" class="button">{texts.addAccessNote}</button>
      </form>
    </details>
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

type Links = NonNullable<TechFilesQuery["ticket"]>["attachments"]["nodes"][number];

/** The files, those of this phone's queue too. Links to files last for minutes only, so they are asked for anew. */
function Photos({ ticket }: { ticket: Ticket }) {
  const input = useRef<HTMLInputElement>(null);
  const links = useSignal<ReadonlyMap<string, Links>>(new Map());
  const error = useSignal<string | null>(null);
  const files = ticket.attachments.nodes;
  const states = files.map(({ id, state }) => `${id} ${state}`).join();
  useEffect(() => {
    if (files.length === 0 || !online.value) return;
    execute(TechFiles, { by: { id: ticket.id } }).then(
      ({ ticket }) => links.value = new Map(ticket?.attachments.nodes.map((file) => [file.id, file])),
      () => {}, // the names stay
    );
  }, [states, online.value]);

  async function add(chosen: readonly File[]) {
    try {
      for (const file of chosen) await attach(file, { ticketId: ticket.id, internalOnly: true });
      error.value = null;
    } catch (failure) {
      error.value = (failure as Error).message;
    }
  }

  const waiting = queue.value.filter(({ command, result, uploadUrl }) =>
    result === null && !uploadUrl && command.attachment?.ticketId === ticket.id
  );
  return (
    <section class="card">
      <h2>{texts.photos}</h2>
      <ul class="photos" aria-live="polite">
        {files.map(({ id, name, state }) => (
          <li key={id}>
            <FileLink name={name} state={state} links={links.value.get(id)} />
          </li>
        ))}
        {waiting.map(({ key, command }) => (
          <li key={key} class="hint">
            <bdi>{String(command.attachment!.name)}</bdi> · {texts.waits}
          </li>
        ))}
      </ul>
      {error.value !== null && <p class="error" role="alert">{error}</p>}
      <button type="button" class="button" onClick={() => input.current!.click()}>{texts.takePhoto}</button>
      <input
        ref={input}
        type="file"
        accept="image/*"
        capture="environment"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          void add([...currentTarget.files ?? []]);
          currentTarget.value = "";
        }}
      />
    </section>
  );
}

function FileLink({ name, state, links }: { name: string; state: string; links: Links | undefined }) {
  if (!links?.url) {
    return (
      <span class="hint">
        <bdi>{name}</bdi> {state !== "READY" && `· ${state === "UPLOADING" ? texts.uploads : texts.isChecked}`}
      </span>
    );
  }
  return (
    <a href={ownUrl(links.url)} target="_blank" rel="noopener">
      {links.thumbnailUrl === null ? name : <img src={ownUrl(links.thumbnailUrl)} alt={name} loading="lazy" />}
    </a>
  );
}

/** Runs what a form does, once if it is tapped twice, and has the error if it could not be kept on the phone. */
function useQueued(): { error: string | null; run: (work: () => Promise<void>) => Promise<void> } {
  const error = useSignal<string | null>(null);
  const runs = useRef(false);
  async function run(work: () => Promise<void>) {
    if (runs.current) return;
    runs.current = true;
    try {
      await work();
      error.value = null;
    } catch (failure) {
      error.value = (failure as Error).message;
    } finally {
      runs.current = false;
    }
  }
  return { error: error.value, run };
}

function Notes({ ticket }: { ticket: Ticket }) {
  const draft = useDraft(`tech note ${ticket.id}`, { body: "", internalOnly: true });
  const { error, run } = useQueued();
  const earlier = ticket.notes.totalCount - ticket.notes.nodes.length;

  async function add(event: Event) {
    event.preventDefault();
    const given = draft!.value.value;
    if (given.body.trim() === "") return;
    await run(async () => {
      await act("note", { ticketId: ticket.id, ...given });
      draft!.discard();
    });
  }

  return (
    <section class="card">
      <h2>{texts.notes}</h2>
      {earlier > 0 && <p class="hint">{texts.earlierNotes(earlier)}</p>}
      <ol class="notes" aria-live="polite">
        {ticket.notes.nodes.map((note) => <NoteItem key={note.id} note={note} />)}
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
          {error !== null && <p class="error" role="alert">{error}</p>}
          <button type="submit" class="button">{texts.addNote}</button>
        </form>
      )}
    </section>
  );
}

function NoteItem({ note }: { note: Note }) {
  return (
    <li class="note" data-internal={note.internalOnly}>
      <p class="hint">
        <b>
          <bdi>{note.waits ? me.value!.name : note.author.name}</bdi>
        </b>{" "}
        <Time at={note.occurredAt ?? note.createdAt} /> · {note.internalOnly ? texts.internal : texts.public}
        {note.waits && ` · ${texts.waits}`}
      </p>
      <LinkedText text={note.body} />
    </li>
  );
}

function Resolve({ ticket }: { ticket: Ticket }) {
  const draft = useDraft(`tech resolution ${ticket.id}`, { resolution: "" });
  const { error, run } = useQueued();
  if (draft === null || !ticket.allowedStatuses.includes("RESOLVED")) return null;

  async function resolve(event: Event) {
    event.preventDefault();
    const { resolution } = draft!.value.value;
    if (resolution.trim() === "") return;
    await run(async () => {
      await act("resolve", { ticketId: ticket.id, resolution, baseVersion: ticket.version });
      draft!.discard();
    });
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
      {error !== null && <p class="error" role="alert">{error}</p>}
      <button type="submit" class="button primary">{texts.markResolved}</button>
    </form>
  );
}
