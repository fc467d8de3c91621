/** A message that has come in: what it says, and what becomes of it.
 *
 * Nothing of it is shown but text, and that without links: who wrote it is not known. */

import "./inbox.css";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { messageOf } from "../../shared/errors.ts";
import { persistently } from "../../shared/saving.ts";
import { Time } from "../../shared/time.tsx";
import { inbox as texts } from "../../texts/inbox.ts";
import { locale } from "../../texts/language.ts";
import {
  InboxAccept,
  InboxMessage,
  type InboxMessageQuery,
  InboxSource,
  ShellFind,
  TicketPageId,
} from "../operations.ts";
import { Fact, OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm, type Saved } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";
import { sizeOf } from "../ticket/rules.ts";
import { discard, waits } from "./review.ts";

type Message = Extract<InboxMessageQuery["node"], { __typename: "InboundMessage" }>;

/** `ticketId` has the ticket's reference, as a person writes it. */
interface Acceptance {
  ticketId: string;
  contactEmail: string;
}

const FIELDS: readonly FieldOf<Acceptance>[] = [
  { name: "ticketId", label: texts.acceptTicket, hint: texts.acceptTicketHint, suggest: findTickets },
  { name: "contactEmail", label: texts.contactEmail, hint: texts.contactEmailHint },
];

async function findTickets(words: string, signal: AbortSignal) {
  const { tickets } = await execute(ShellFind, { search: words }, signal);
  return tickets.nodes.map(({ reference, subject, contact }) => ({
    value: reference,
    label: `${subject} · ${contact.name}`,
  }));
}

export default function MessageDetails() {
  const { id } = useRoute().params as { id: string };
  return (
    <OpenRecord
      key={id}
      title={texts.title}
      read={async () => {
        const { node } = await execute(InboxMessage, { id });
        return node?.__typename === "InboundMessage" ? node : null;
      }}
    >
      {(message, reload) => <OpenMessage message={message} reload={reload} />}
    </OpenRecord>
  );
}

function OpenMessage({ message, reload }: { message: Message; reload: () => void }) {
  const { id, subject, text, ticket } = message;
  const note = useSignal("");
  const decided = (becomes: string) => {
    note.value = becomes;
    reload();
  };
  return (
    <Page title={subject ?? texts.noSubject}>
      <div role="status">{note.value !== "" && <p class="notice">{note}</p>}</div>
      <section class="card">
        <Facts message={message} />
      </section>
      <section class="card">
        <h2>{texts.text}</h2>
        {text !== null
          ? <div class="typed" dir="auto">{text}</div>
          : <p class="hint">{ticket === null ? texts.noText : texts.textIsOnTicket}</p>}
        <Source id={id} />
      </section>
      {waits(message) && <Decision message={message} decided={decided} />}
    </Page>
  );
}

function Facts({ message }: { message: Message }) {
  const { fromName, fromAddress, recipients, receivedAt, outcome, reason, ticket, size } = message;
  return (
    <dl class="facts">
      <Fact name={texts.from}>
        <bdi>{fromName}</bdi> <bdi>{fromAddress ?? (fromName === null ? texts.noSender : "")}</bdi>{" "}
        <span class="hint">{texts.unverified}</span>
      </Fact>
      <Fact name={texts.to}>{recipients.length === 0 ? null : <bdi>{recipients.join(", ")}</bdi>}</Fact>
      <Fact name={texts.receivedAt}>
        <Time at={receivedAt} />
      </Fact>
      <Fact name={texts.outcome}>
        <span class="badge">{texts.outcomes[outcome]}</span>
      </Fact>
      <Fact name={texts.reason}>{reason}</Fact>
      <Fact name={texts.ticket}>
        {ticket === null ? null : (
          <>
            <a href={`/tickets/${ticket.reference}`}>{ticket.reference}</a> <bdi>{ticket.subject}</bdi>
          </>
        )}
      </Fact>
      <Fact name={texts.size}>{sizeOf(size, locale)}</Fact>
    </dl>
  );
}

/** Accepting and discarding. Both can be done once: if a colleague was faster, the page shows what they have decided. */
function Decision({ message, decided }: { message: Message; decided: (becomes: string) => void }) {
  const problem = useSignal<string | null>(null);

  async function accept({ ticketId: reference, contactEmail }: Acceptance, idempotencyKey: string): Promise<Saved> {
    const ticketId = await ticketOf(reference.trim());
    if (ticketId === undefined) return { userErrors: [{ field: ["ticketId"], message: texts.noTicket }] };
    const input = {
      inboundMessageId: message.id,
      ticketId,
      contactEmail: contactEmail.trim() || null,
      idempotencyKey,
    };
    const { inboundMessageAccept } = await execute(InboxAccept, { input });
    if (isDecided(inboundMessageAccept)) decided(texts.meanwhile);
    return inboundMessageAccept;
  }

  async function giveUp() {
    if (!confirm(texts.discardQuestion)) return;
    const { message: now, problem: objection } = await discard(message.id);
    problem.value = objection;
    if (objection === null) decided(texts.discarded);
    else if (now !== null && !waits(now)) decided(texts.meanwhile);
  }

  return (
    <>
      <section class="card">
        <h2>{texts.accept}</h2>
        <p class="hint">{texts.acceptHint}</p>
        <RecordForm<Acceptance>
          name={`accept ${message.id}`}
          initial={{ ticketId: "", contactEmail: "" }}
          fields={FIELDS}
          button={texts.accept}
          save={accept}
          saved={() => decided(texts.accepted)}
        />
      </section>
      <p class="actions">
        <button type="button" class="button danger" onClick={() => void giveUp()}>{texts.discard}</button>
        {problem.value !== null && <span class="error" role="alert">{problem}</span>}
      </p>
    </>
  );
}

/** The id of the ticket with a reference; null for none, undefined if there is no such ticket. */
async function ticketOf(reference: string): Promise<string | null | undefined> {
  if (reference === "") return null;
  return (await execute(TicketPageId, { reference })).ticket?.id;
}

function isDecided({ inboundMessage, userErrors }: Saved & { inboundMessage: Pick<Message, "outcome"> | null }) {
  return userErrors.length > 0 && inboundMessage !== null && !waits(inboundMessage);
}

/** The beginning of the message as it arrived, for whoever wants to see its headers. */
function Source({ id }: { id: string }) {
  const source = useSignal<string | null | undefined>(undefined);
  const failed = useSignal<string | null>(null);

  async function read() {
    try {
      const { node } = await persistently(() => execute(InboxSource, { id }));
      const raw = node?.__typename === "InboundMessage" ? node.raw : null;
      source.value = raw === null ? null : textOf(raw);
    } catch (error) {
      failed.value = messageOf(error);
    }
  }

  return (
    <details onToggle={({ currentTarget }) => currentTarget.open && source.value === undefined && void read()}>
      <summary>{texts.source}</summary>
      {failed.value !== null && <p class="error" role="alert">{failed}</p>}
      {source.value === null && <p class="hint">{texts.noSource}</p>}
      {typeof source.value === "string" && <SourceText id={id} text={source.value} />}
    </details>
  );
}

function SourceText({ id, text }: { id: string; text: string }) {
  const url = useSignal("");
  useEffect(() => {
    url.value = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    return () => URL.revokeObjectURL(url.value);
  }, [text]);
  return (
    <>
      <p class="hint">{texts.sourceHint}</p>
      <pre class="source" tabIndex={0}>{text}</pre>
      <p>
        <a class="button" href={url} download={`${id}.txt`}>{texts.save}</a>
      </p>
    </>
  );
}

/** Base64 as text, with a replacement for each byte that is none. */
function textOf(base64: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
}
