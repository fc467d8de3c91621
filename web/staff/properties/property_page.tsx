/** A property: its address and how to get in, whose it is, and its tickets. */

import "../records/records.css";
import { useSignal } from "@preact/signals";
import { useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { directions } from "../../shared/links.ts";
import { records as texts } from "../../texts/records.ts";
import { PropertyFollow, PropertyPage, type PropertyPageQuery, PropertySave } from "../operations.ts";
import { followChanges } from "../records/following.ts";
import { OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm } from "../records/record_form.tsx";
import { followTickets, RecordTickets } from "../records/tickets.tsx";
import { Page } from "../shell/page.tsx";

type Property = Extract<PropertyPageQuery["node"], { __typename: "Property" }>;

interface Values {
  address: string;
  accountNumber: string;
  accessNotes: string;
}

export const FIELDS: readonly FieldOf<Values>[] = [
  { name: "address", label: texts.customers.address },
  { name: "accountNumber", label: texts.customers.accountNumber },
  { name: "accessNotes", label: texts.customers.accessNotes, kind: "text", hint: texts.properties.accessNotesHint },
];

export default function PropertyDetails() {
  const { id } = useRoute().params as { id: string };
  return <PropertyOf key={id} id={id} />;
}

function PropertyOf({ id }: { id: string }) {
  return (
    <OpenRecord<Property>
      title={texts.properties.title}
      read={async () => {
        const { node } = await execute(PropertyPage, { id });
        return node?.__typename === "Property" ? node : null;
      }}
      follow={(changed) => [
        followChanges(
          PropertyFollow,
          ({ propertyChanged: change }) => change.__typename !== "PropertyChange" || change.propertyId === id,
          changed,
        ),
        followTickets({ propertyId: id }, changed),
      ]}
    >
      {(property, reload) => <Details property={property} reload={reload} />}
    </OpenRecord>
  );
}

function Details({ property, reload }: { property: Property; reload: () => void }) {
  const note = useSignal("");
  const { id, address, accountNumber, accessNotes, customer, tickets } = property;
  return (
    <Page title={address}>
      <p class="hint">
        {texts.properties.of}{" "}
        <a href={`/customers/${customer.id}`}>
          <bdi>{customer.name}</bdi>
        </a>
        {customer.erasedAt === null && (
          <>
            {" · "}
            <a href={directions(address)} target="_blank" rel="noopener noreferrer">{texts.properties.directions}</a>
          </>
        )}
      </p>
      {customer.erasedAt !== null ? <p class="notice">{texts.customers.erased}</p> : (
        <section class="card">
          <RecordForm<Values>
            name={`property ${id}`}
            initial={{ address, accountNumber, accessNotes: accessNotes ?? "" }}
            fields={FIELDS}
            button={texts.save}
            save={async (_, idempotencyKey, changes) => {
              const notes = changes.accessNotes === undefined ? {} : { accessNotes: changes.accessNotes || null };
              const input = { ...changes, ...notes, propertyId: id, idempotencyKey };
              return (await execute(PropertySave, { input })).propertyUpdate;
            }}
            saved={() => {
              note.value = texts.saved;
              reload();
            }}
            note={note.value}
          />
        </section>
      )}
      <RecordTickets first={tickets} filter={{ propertyId: id }} />
    </Page>
  );
}
