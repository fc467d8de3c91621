/** A customer: what is on file about them, their properties, and their tickets. */

import "../records/records.css";
import { useSignal } from "@preact/signals";
import { useLocation, useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { records as texts } from "../../texts/records.ts";
import {
  CustomerAdd,
  CustomerFollow,
  CustomerFurtherProperties,
  CustomerPage,
  type CustomerPageQuery,
  CustomerPropertyAdd,
  CustomerSave,
  PropertyFollow,
} from "../operations.ts";
import { Further } from "../records/further.tsx";
import { followChanges } from "../records/following.ts";
import { OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm } from "../records/record_form.tsx";
import { followTickets, RecordTickets } from "../records/tickets.tsx";
import { Page } from "../shell/page.tsx";
import { Erasure } from "./erasure.tsx";

type Customer = Extract<CustomerPageQuery["node"], { __typename: "Customer" }>;

interface Values {
  name: string;
  email: string;
  phone: string;
  accountNumber: string;
}

const FIELDS: readonly FieldOf<Values>[] = [
  { name: "name", label: texts.customers.name },
  { name: "email", label: texts.customers.email },
  { name: "phone", label: texts.customers.phone },
  { name: "accountNumber", label: texts.customers.accountNumber },
];

export default function CustomerDetails() {
  const { id } = useRoute().params as { id: string };
  return id === "new" ? <NewCustomer /> : <CustomerOf key={id} id={id} />;
}

function NewCustomer() {
  const { route } = useLocation();
  const made = useSignal<string | null>(null);
  return (
    <Page title={texts.customers.new}>
      <RecordForm<Values>
        name="new customer"
        initial={{ name: "", email: "", phone: "", accountNumber: "" }}
        fields={FIELDS}
        button={texts.customers.add}
        save={async (values, idempotencyKey) => {
          const input = { ...values, phone: values.phone || null, idempotencyKey };
          const { customerCreate } = await execute(CustomerAdd, { input });
          made.value = customerCreate.customer?.id ?? null;
          return customerCreate;
        }}
        saved={() => route(`/customers/${made.value}`)}
      />
    </Page>
  );
}

function CustomerOf({ id }: { id: string }) {
  return (
    <OpenRecord<Customer>
      title={texts.customers.title}
      read={async () => {
        const { node } = await execute(CustomerPage, { id });
        return node?.__typename === "Customer" ? node : null;
      }}
      follow={(changed) => [
        followChanges(
          CustomerFollow,
          ({ customerChanged: change }) => change.__typename !== "CustomerChange" || change.customerId === id,
          changed,
        ),
        followChanges(
          PropertyFollow,
          ({ propertyChanged: change }) =>
            change.__typename !== "PropertyChange" || change.property === null || change.property.customer.id === id,
          changed,
        ),
        followTickets({ customerId: id }, changed),
      ]}
    >
      {(customer, reload) => <Details customer={customer} reload={reload} />}
    </OpenRecord>
  );
}

function Details({ customer, reload }: { customer: Customer; reload: () => void }) {
  const note = useSignal("");
  const { id, name, email, phone, accountNumber, erasedAt, properties, tickets } = customer;
  return (
    <Page title={name}>
      {erasedAt !== null ? <p class="notice">{texts.customers.erased}</p> : (
        <section class="card">
          <h2>{texts.customers.onFile}</h2>
          <RecordForm<Values>
            name={`customer ${id}`}
            initial={{ name, email, phone: phone ?? "", accountNumber }}
            fields={FIELDS}
            button={texts.save}
            save={async (_, idempotencyKey, changes) => {
              const phone = changes.phone === undefined ? {} : { phone: changes.phone || null };
              const input = { ...changes, ...phone, customerId: id, idempotencyKey };
              return (await execute(CustomerSave, { input })).customerUpdate;
            }}
            saved={() => {
              note.value = texts.saved;
              reload();
            }}
            note={note.value}
          />
        </section>
      )}
      <section class="card">
        <h2>{texts.customers.properties}</h2>
        <Further
          first={properties}
          read={async (after) => (await execute(CustomerFurtherProperties, { id, after })).properties}
          row={(property) => (
            <a href={`/properties/${property.id}`}>
              <b dir="auto">{property.address}</b>
              <span dir="auto">{property.accessNotes}</span>
              <span class="hint">{property.accountNumber}</span>
            </a>
          )}
        />
        {erasedAt === null && <NewProperty customerId={id} added={reload} />}
      </section>
      <RecordTickets first={tickets} filter={{ customerId: id }} />
      <Erasure customer={customer} erased={reload} />
    </Page>
  );
}

function NewProperty({ customerId, added }: { customerId: string; added: () => void }) {
  return (
    <details>
      <summary>{texts.customers.addProperty}</summary>
      <RecordForm<{ address: string; accountNumber: string; accessNotes: string }>
        name={`new property ${customerId}`}
        initial={{ address: "", accountNumber: "", accessNotes: "" }}
        fields={[
          { name: "address", label: texts.customers.address },
          { name: "accountNumber", label: texts.customers.accountNumber },
          { name: "accessNotes", label: texts.customers.accessNotes, kind: "text" },
        ]}
        button={texts.customers.addProperty}
        save={async (values, idempotencyKey) => {
          const input = { ...values, accessNotes: values.accessNotes || null, customerId, idempotencyKey };
          return (await execute(CustomerPropertyAdd, { input })).propertyCreate;
        }}
        saved={added}
      />
    </details>
  );
}
