/** A technician: what is on file, their workload, whether they have access, and where they are signed in. */

import "./people.css";
import "../records/records.css";
import { useSignal } from "@preact/signals";
import { useLocation, useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { people as texts } from "../../texts/people.ts";
import { records as recordTexts } from "../../texts/records.ts";
import { ticketWords } from "../../texts/ticket_words.ts";
import {
  TechnicianAdd,
  TechnicianFollow,
  TechnicianPage,
  type TechnicianPageQuery,
  TechnicianSave,
} from "../operations.ts";
import { followChanges } from "../records/following.ts";
import { OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm } from "../records/record_form.tsx";
import { followTickets } from "../records/tickets.tsx";
import { Page } from "../shell/page.tsx";
import { Activity } from "./activity.tsx";
import { SessionsOf } from "./sessions.tsx";

type Technician = Extract<TechnicianPageQuery["node"], { __typename: "Technician" }>;

interface Values {
  name: string;
  email: string;
  phone: string;
}

const FIELDS: readonly FieldOf<Values>[] = [
  { name: "name", label: texts.name },
  { name: "email", label: texts.email, hint: texts.emailHint },
  { name: "phone", label: texts.phone },
];

export default function TechnicianDetails() {
  const { id } = useRoute().params as { id: string };
  return id === "new" ? <NewTechnician /> : <TechnicianOf key={id} id={id} />;
}

function NewTechnician() {
  const { route } = useLocation();
  const made = useSignal<string | null>(null);
  return (
    <Page title={texts.technicians.new}>
      <section class="card">
        <RecordForm<Values>
          name="new technician"
          initial={{ name: "", email: "", phone: "" }}
          fields={FIELDS}
          button={texts.technicians.add}
          save={async (values, idempotencyKey) => {
            const input = { ...values, phone: values.phone || null, idempotencyKey };
            const { technicianCreate } = await execute(TechnicianAdd, { input });
            made.value = technicianCreate.technician?.id ?? null;
            return technicianCreate;
          }}
          saved={() => route(`/technicians/${made.value}`)}
        />
      </section>
    </Page>
  );
}

function TechnicianOf({ id }: { id: string }) {
  return (
    <OpenRecord<Technician>
      title={texts.technicians.title}
      read={async () => {
        const { node } = await execute(TechnicianPage, { id });
        return node?.__typename === "Technician" ? node : null;
      }}
      follow={(changed) => [
        followChanges(
          TechnicianFollow,
          ({ technicianChanged: change }) => change.__typename !== "TechnicianChange" || change.technicianId === id,
          changed,
        ),
        followTickets({ assignee: { technicianId: id } }, changed),
      ]}
    >
      {(technician, reload) => <Details technician={technician} reload={reload} />}
    </OpenRecord>
  );
}

function Details({ technician, reload }: { technician: Technician; reload: () => void }) {
  const note = useSignal("");
  const { id, name, email, phone, active, openTicketCount } = technician;
  return (
    <Page title={name}>
      <section class="card" aria-labelledby="person-on-file">
        <h2 id="person-on-file">{texts.onFile}</h2>
        <RecordForm<Values>
          name={`technician ${id}`}
          initial={{ name, email, phone: phone ?? "" }}
          fields={FIELDS}
          button={recordTexts.save}
          save={async (_, idempotencyKey, changes) => {
            const phone = changes.phone === undefined ? {} : { phone: changes.phone || null };
            const input = { ...changes, ...phone, technicianId: id, idempotencyKey };
            return (await execute(TechnicianSave, { input })).technicianUpdate;
          }}
          saved={() => {
            note.value = recordTexts.saved;
            reload();
          }}
          note={note.value}
        />
      </section>
      <Workload technician={technician} />
      <Activity
        active={active}
        words={texts.technicians}
        deactivateText={texts.technicians.deactivateText(openTicketCount)}
        question={texts.technicians.deactivateQuestion(name)}
        set={async (active, idempotencyKey) =>
          (await execute(TechnicianSave, { input: { technicianId: id, active, idempotencyKey } })).technicianUpdate}
        done={reload}
      />
      {active && <SessionsOf technicianId={id} title={texts.signedIn} />}
    </Page>
  );
}

function Workload({ technician: { id, open, inProgress } }: { technician: Technician }) {
  const statuses = [["OPEN", open.totalCount], ["IN_PROGRESS", inProgress.totalCount]] as const;
  const some = statuses.filter(([_, number]) => number > 0);
  return (
    <section class="card" aria-labelledby="technician-workload">
      <h2 id="technician-workload">{texts.technicians.workload}</h2>
      {some.length === 0 ? <p>{texts.technicians.idle}</p> : (
        <p class="workload-links">
          {some.map(([status, number]) => (
            <a key={status} href={`/tickets?status=${status.toLowerCase()}&assignee=${id}`}>
              {texts.technicians.inStatus(number, ticketWords.status[status])}
            </a>
          ))}
        </p>
      )}
    </section>
  );
}
