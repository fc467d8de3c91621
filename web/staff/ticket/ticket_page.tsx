/** The page of a ticket: everything about it, live, and everything that staff do with it. */

import "./look.css";
import "./ticket.css";
import { useComputed, useSignal } from "@preact/signals";
import { useRoute } from "preact-iso";
import { useEffect, useMemo } from "preact/hooks";
import { PriorityBadge, StatusBadge } from "../../shared/badges.tsx";
import { connected } from "../../shared/client.ts";
import { LinkedText } from "../../shared/linked_text.tsx";
import { call, directions, mailTo } from "../../shared/links.ts";
import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { ticketWords as words } from "../../texts/ticket_words.ts";
import { type Shortcut, useShortcuts } from "../shell/keys.ts";
import { AssignmentSteps } from "./assignment.tsx";
import { Attachments } from "./attachments.tsx";
import { Deliveries } from "./deliveries.tsx";
import { History } from "./history.tsx";
import { LiveFields } from "./live_fields.tsx";
import { Notes } from "./notes.tsx";
import { Time } from "../../shared/time.tsx";
import { focusResolution, Resolution } from "./resolution.tsx";
import { type Ticket, TicketStore } from "./store.ts";

const focus = (selector: string) => document.querySelector<HTMLElement>(`.ticket-page ${selector}`)?.focus();
const SHORTCUTS: Shortcut[] = [
  { keys: "n", text: texts.keys.note, run: () => focus(".note-form textarea") },
  { keys: "s", text: texts.keys.status, run: () => focus("[name=status]") },
  { keys: "p", text: texts.keys.priority, run: () => focus("[name=priority]") },
  { keys: "a", text: texts.keys.assign, run: () => focus("[name=technician]") },
  { keys: "r", text: texts.keys.resolve, run: focusResolution },
];

export default function TicketPage() {
  const reference = useRoute().params.reference!.toUpperCase();
  const store = useMemo(() => new TicketStore(reference), [reference]);
  useEffect(() => {
    document.title = `${reference} · Callout`;
    void store.open();
    return () => store.close();
  }, [store]);
  useShortcuts(SHORTCUTS);
  return (
    <div class="staff-page wide ticket-page">
      <nav>
        <a href="/tickets">← {texts.back}</a>
      </nav>
      <Contents store={store} />
    </div>
  );
}

function Contents({ store }: { store: TicketStore }) {
  const ticket = store.ticket.value;
  if (store.found.value === "MISSING") return <h1>{texts.missing(store.reference)}</h1>;
  if (ticket === null) return store.failure.value === null ? <Loading /> : <Failure store={store} />;
  return (
    <>
      <Failure store={store} />
      {!connected.value && <p class="notice notice-warning" role="status">{texts.offline}</p>}
      <Header store={store} ticket={ticket} />
      <div class="ticket-columns">
        <section class="card" aria-labelledby="ticket-description">
          <h2 id="ticket-description">{texts.description}</h2>
          {ticket.source === "EMAIL" && ticket.senderVerified !== true && (
            <p class="notice notice-warning">{texts.unverified}</p>
          )}
          <LinkedText text={ticket.description} />
        </section>
        <aside class="ticket-side">
          <LiveFields store={store} ticket={ticket} />
          <Facts store={store} ticket={ticket} />
          <AssignmentSteps store={store} ticket={ticket} />
        </aside>
        <div class="ticket-main">
          <Chat store={store} />
          <Notes store={store} />
          <Attachments store={store} />
          <Resolution store={store} ticket={ticket} />
          <History store={store} />
          <Deliveries store={store} />
        </div>
      </div>
    </>
  );
}

function Failure({ store }: { store: TicketStore }) {
  if (store.failure.value === null) return null;
  return (
    <div class="notice notice-danger" role="alert">
      <p>{texts.failed(store.failure.value)}</p>
      <button type="button" class="button" onClick={() => void store.open()}>{texts.again}</button>
    </div>
  );
}

function Loading() {
  return (
    <div aria-busy="true">
      <p class="visually-hidden" role="status">{texts.loading}</p>
      <div class="skeleton skeleton-title" />
      <div class="skeleton skeleton-block" />
      <div class="skeleton skeleton-block" />
    </div>
  );
}

function Header({ store, ticket }: { store: TicketStore; ticket: Ticket }) {
  return (
    <header class="ticket-header">
      <p class="ticket-reference">
        {ticket.reference} <StatusBadge status={ticket.status} /> <PriorityBadge priority={ticket.priority} />
      </p>
      <h1>
        <bdi>{ticket.subject}</bdi>
      </h1>
      <Presence store={store} />
    </header>
  );
}

function Presence({ store }: { store: TicketStore }) {
  const people = useComputed(() => store.others.value);
  return (
    <div role="status" aria-label={texts.presence.label}>
      <ul class="ticket-presence">
        {people.value.map(({ viewer, state }) => (
          <li key={viewer.id} class={state === "EDITING" ? "presence presence-editing" : "presence"}>
            {state === "EDITING" ? texts.presence.editing(viewer.name) : texts.presence.viewing(viewer.name)}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Facts({ store, ticket }: { store: TicketStore; ticket: Ticket }) {
  const { contact, customer, property } = ticket;
  const phone = contact.phone === null ? null : call(contact.phone);
  return (
    <section class="card">
      <h2>{texts.customer}</h2>
      <address>
        <p>
          <bdi>{customer === null ? contact.name : <a href={`/customers/${customer.id}`}>{contact.name}</a>}</bdi>
        </p>
        <p>
          <a href={mailTo(contact.email)}>{contact.email}</a>
        </p>
        {contact.phone !== null && <p>{phone === null ? contact.phone : <a href={phone}>{contact.phone}</a>}</p>}
      </address>
      {customer !== null && (
        <p class="hint">
          {customer.name !== contact.name && (
            <>
              <bdi>{customer.name}</bdi>
              {" · "}
            </>
          )}
          {texts.accountNumber(customer.accountNumber)}
        </p>
      )}
      {ticket.customerLinked && <p class="hint">{texts.linked}</p>}
      {property !== null && (
        <>
          <h3>{texts.property}</h3>
          <p>
            <bdi>{property.address}</bdi>
          </p>
          <p class="hint">{texts.accountNumber(property.accountNumber)}</p>
          <p>
            <a href={directions(property.address)} target="_blank" rel="noopener noreferrer">{texts.directions}</a>
          </p>
          {property.accessNotes !== null && (
            <>
              <h3>{texts.accessNotes}</h3>
              <LinkedText text={property.accessNotes} />
            </>
          )}
        </>
      )}
      <dl class="facts">
        <dt>{texts.created}</dt>
        <dd>
          <Time at={ticket.createdAt} /> {words.source[ticket.source]}
        </dd>
        <Related
          title={texts.followUpOf}
          references={ticket.followUpOf === null ? [] : [ticket.followUpOf.reference]}
        />
        <Related title={texts.followUps} references={store.followUps.value} />
      </dl>
    </section>
  );
}

function Related({ title, references }: { title: string; references: string[] }) {
  if (references.length === 0) return null;
  return (
    <>
      <dt>{title}</dt>
      {references.map((reference) => (
        <dd key={reference}>
          <a href={`/tickets/${reference}`}>{reference}</a>
        </dd>
      ))}
    </>
  );
}

function Chat({ store }: { store: TicketStore }) {
  const chat = store.chat.value;
  const open = useSignal(true);
  if (chat === null) return null;
  return (
    <details class="card" open={open.value}>
      <summary>
        <h2>{texts.chat}</h2>
      </summary>
      <ol class="chat">
        {chat.map((message, index) => (
          <li key={index} class={message.author === "CUSTOMER" ? "chat-message" : "chat-message chat-ours"}>
            <p class="hint">
              {texts.chatAuthor[message.author]} · <Time at={message.at} />
            </p>
            <LinkedText text={message.body} />
          </li>
        ))}
      </ol>
    </details>
  );
}
