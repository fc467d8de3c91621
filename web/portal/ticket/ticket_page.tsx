/** A request: how far it has come, the conversation, photos, an answer; confirmed or reopened. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useRoute } from "preact-iso";
import { execute, newKey, ownUrl } from "../../shared/client.ts";
import { useDraft } from "../../shared/drafts.ts";
import { errorsByField } from "../../shared/field_errors.ts";
import { portal as texts } from "../../texts/portal.ts";
import { FilePicker, UploadList } from "../form.tsx";
import {
  type PortalAttachmentFragment as Attachment,
  PortalNoteAdd,
  type PortalNoteFragment as Note,
  PortalSetStatus,
  PortalTicketPage,
  type PortalTicketPageQuery,
  type TicketStatus,
} from "../operations.ts";
import { Page } from "../page.tsx";
import { arrived, uploads } from "../uploads.ts";
import { followTicket } from "./following.ts";
import { StatusBadge, Visit, When } from "./status.tsx";

type Ticket = NonNullable<PortalTicketPageQuery["ticket"]>;

/** What is on the page. `ticket` is null if there is none that the customer sees. */
interface Shown {
  ticket: Ticket | null;
  earlier: Note[];
}

export function TicketPage() {
  const { reference } = useRoute().params as { reference: string };
  return <TicketOf key={reference} reference={reference} />;
}

function TicketOf({ reference }: { reference: string }) {
  const shown = useSignal<Shown | null>(null);
  const failed = useSignal<string | null>(null);

  async function load() {
    try {
      const { ticket } = await execute(PortalTicketPage, { by: { reference } });
      shown.value = { ticket, earlier: shown.value?.earlier ?? [] };
      failed.value = null;
    } catch (error) {
      failed.value = (error as Error).message;
    }
  }

  useEffect(() => {
    void load();
  }, [arrived.value]);
  const id = shown.value?.ticket?.id;
  useEffect(() => (id === undefined ? undefined : followTicket(id, load)), [id]);

  if (shown.value === null) {
    return <Page title={reference}>{failed.value && <p class="error" role="alert">{failed}</p>}</Page>;
  }
  const { ticket, earlier } = shown.value;
  if (ticket === null) {
    return (
      <Page title={texts.ticket.gone}>
        <p>{texts.ticket.goneText}</p>
        <p>
          <a class="button" href="/portal">{texts.ticket.back}</a>
        </p>
      </Page>
    );
  }
  return (
    <Page title={ticket.subject} action={<StatusBadge status={ticket.status} />}>
      <p class="hint">
        {ticket.reference} · {texts.category[ticket.category]} · <When at={ticket.createdAt} />
      </p>
      <p>{texts.statusText[ticket.status]}</p>
      <Visit {...ticket} />
      <Decisions ticket={ticket} changed={load} />
      {ticket.resolution !== null && (
        <section class="card resolution">
          <h2>{texts.ticket.resolution}</h2>
          <p class="typed">{ticket.resolution}</p>
        </section>
      )}
      <section class="card">
        <h2>{texts.ticket.description}</h2>
        {ticket.property && <p class="hint">{ticket.property.address}</p>}
        <p class="typed">{ticket.description}</p>
        <Files files={ticket.attachments.nodes.filter(({ note }) => note === null)} />
      </section>
      <Conversation ticket={ticket} earlier={earlier} shown={shown} />
      <UploadList uploads={uploads} />
      <Answer ticket={ticket} sent={load} />
      {failed.value && <p class="error" role="alert">{failed}</p>}
    </Page>
  );
}

function Decisions({ ticket, changed }: { ticket: Ticket; changed: () => Promise<void> }) {
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);

  async function set(status: TicketStatus) {
    busy.value = true;
    try {
      const input = { ticketId: ticket.id, status, idempotencyKey: newKey() };
      const { userErrors } = (await execute(PortalSetStatus, { input })).ticketSetStatus;
      error.value = userErrors.map(({ message }) => message).join(" ") || null;
      await changed();
    } catch (failure) {
      error.value = (failure as Error).message;
    } finally {
      busy.value = false;
    }
  }

  const may = (status: TicketStatus) => status !== ticket.status && ticket.allowedStatuses.includes(status);
  if (!may("CLOSED") && !may("OPEN") && error.value === null) return null;
  return (
    <div class="actions">
      {may("CLOSED") && (
        <button
          type="button"
          class="button primary"
          disabled={busy.value}
          onClick={() => set("CLOSED")}
        >
          {texts.ticket.confirm}
        </button>
      )}
      {may("OPEN") && (
        <button type="button" class="button" disabled={busy.value} onClick={() => set("OPEN")}>
          {texts.ticket.reopen}
        </button>
      )}
      {error.value && <p class="error" role="alert">{error}</p>}
    </div>
  );
}

interface ConversationProps {
  ticket: Ticket;
  earlier: Note[];
  shown: Signal<Shown | null>;
}

function Conversation({ ticket, earlier, shown }: ConversationProps) {
  const { nodes, pageInfo } = ticket.notes;
  const first = earlier.length === 0 ? pageInfo.startCursor : null;
  const before = useSignal<string | null>(null);
  const from = before.value ?? first;
  const more = useSignal(pageInfo.hasPreviousPage);

  async function showEarlier() {
    const by = { reference: ticket.reference };
    const page = (await execute(PortalTicketPage, { by, before: from })).ticket?.notes;
    if (page === undefined || shown.value === null) return;
    before.value = page.pageInfo.startCursor;
    more.value = page.pageInfo.hasPreviousPage;
    shown.value = { ...shown.value, earlier: [...page.nodes, ...shown.value.earlier] };
  }

  const known = new Set(nodes.map(({ id }) => id));
  const all = [...earlier.filter(({ id }) => !known.has(id)), ...nodes];
  if (all.length === 0) return null;
  return (
    <section>
      <h2>{texts.ticket.conversation}</h2>
      {more.value && <button type="button" class="button" onClick={showEarlier}>{texts.ticket.earlier}</button>}
      <ol class="notes" aria-live="polite">
        {all.map((note) => (
          <li key={note.id} class="note" data-own={note.author.kind === "CUSTOMER"}>
            <p class="note-head">
              <b>{note.author.kind === "CUSTOMER" ? texts.ticket.you : note.author.name}</b>{" "}
              <When at={note.createdAt} />
            </p>
            <p class="typed">{note.body}</p>
            <Files files={note.attachments.nodes} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Files({ files }: { files: readonly Attachment[] }) {
  if (files.length === 0) return null;
  return (
    <ul class="photos">
      {files.map((file) => (
        <li key={file.id}>
          {file.state !== "READY" || file.url === null
            ? (
              <span class="hint">
                {file.name} {file.state === "REJECTED" ? texts.ticket.photoRejected : texts.ticket.photoWaits}
              </span>
            )
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
  );
}

function Answer({ ticket, sent }: { ticket: Ticket; sent: () => Promise<void> }) {
  const draft = useDraft<{ body: string }>(`portal answer ${ticket.id}`, { body: "" });
  const files = useSignal<readonly File[]>([]);
  const error = useSignal<string | null>(null);
  const sending = useSignal(false);
  if (draft === null) return null;
  const { body } = draft.value.value;

  async function send(event: Event) {
    event.preventDefault();
    if (sending.value) return;
    sending.value = true;
    try {
      if (body.trim() !== "") {
        const input = { ticketId: ticket.id, body, idempotencyKey: draft!.key };
        const { note, userErrors } = (await execute(PortalNoteAdd, { input })).noteAdd;
        if (note === null) {
          error.value = errorsByField(userErrors, [])[""] ?? null;
          return;
        }
        draft!.discard();
        uploads.add(files.value, { ticketId: ticket.id, noteId: note.id });
      } else {
        uploads.add(files.value, { ticketId: ticket.id });
      }
      files.value = [];
      error.value = null;
      await sent();
    } catch (failure) {
      error.value = (failure as Error).message;
    } finally {
      sending.value = false;
    }
  }

  const reopens = ticket.status === "RESOLVED" || ticket.status === "CLOSED";
  return (
    <form class="card form" onSubmit={send}>
      <label class="field">
        <span>{texts.ticket.answer}</span>
        <textarea
          rows={4}
          maxLength={20_000}
          value={body}
          onInput={(event) => draft.change({ body: event.currentTarget.value })}
        />
      </label>
      <p class="hint">{reopens ? texts.ticket.reopenedByAnswer : texts.ticket.answerHint}</p>
      <FilePicker label={texts.ticket.photos} files={files.value} onChange={(chosen) => files.value = chosen} />
      {error.value && <p class="error" role="alert">{error}</p>}
      <p>
        <button
          type="submit"
          class="button primary"
          disabled={sending.value || (body.trim() === "" && files.value.length === 0)}
        >
          {texts.ticket.send}
        </button>
      </p>
    </form>
  );
}
