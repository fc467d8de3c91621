/** A customer: what is on file about them, their properties, and their tickets. */

import "../records/records.css";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { StatusBadge } from "../../shared/badges.tsx";
import { execute } from "../../shared/client.ts";
import { persistently } from "../../shared/saving.ts";
import { Time } from "../../shared/time.tsx";
import { records as texts } from "../../texts/records.ts";
import { CustomerAdd, CustomerPage, type CustomerPageQuery, CustomerPropertyAdd, CustomerSave } from "../operations.ts";
import { type FieldOf, RecordForm } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";

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
  const customer = useSignal<Customer | null | undefined>(undefined);
  const failed = useSignal<string | null>(null);
  const note = useSignal("");

  async function load() {
    try {
      const { node } = await persistently(() => execute(CustomerPage, { id }));
      customer.value = node?.__typename === "Customer" ? node : null;
    } catch (error) {
      failed.value = (error as Error).message;
    }
  }

  useEffect(() => void load(), []);
  if (failed.value !== null) {
    return (
      <Page title={texts.customers.title}>
        <p class="error" role="alert">{failed}</p>
      </Page>
    );
  }
  if (customer.value === undefined) return <Page title={texts.customers.title}>{null}</Page>;
  if (customer.value === null) return <Page title={texts.missing}>{null}</Page>;
  const { name, email, phone, accountNumber, erasedAt, properties, tickets } = customer.value;
  return (
    <Page title={name}>
      {erasedAt !== null ? <p class="notice">{texts.customers.erased}</p> : (
        <section class="card">
          <h2>{texts.customers.onFile}</h2>
          <RecordForm<Values>
            key={`${name} ${email} ${phone} ${accountNumber}`}
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
              void load();
            }}
            note={note.value}
          />
        </section>
      )}
      <section class="card">
        <h2>{texts.customers.properties}</h2>
        <ul class="records">
          {properties.nodes.map((property) => (
            <li key={property.id} class="record">
              <span dir="auto">{property.address}</span>
              <span dir="auto">{property.accessNotes}</span>
              <span class="hint">{property.accountNumber}</span>
            </li>
          ))}
        </ul>
        {erasedAt === null && <NewProperty customerId={id} added={() => void load()} />}
      </section>
      <section class="card">
        <h2>{texts.customers.tickets(tickets.totalCount)}</h2>
        <ul class="records">
          {tickets.nodes.map((ticket) => (
            <li key={ticket.id}>
              <a href={`/tickets/${ticket.reference}`}>
                <b dir="auto">{ticket.subject}</b>
                <StatusBadge status={ticket.status} />
                <span class="hint">
                  <Time at={ticket.createdAt} />
                </span>
              </a>
            </li>
          ))}
        </ul>
      </section>
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
