/** An admin: what is on file, whether they have access, and where they are signed in. */

import "./people.css";
import "../records/records.css";
import { useSignal } from "@preact/signals";
import { useLocation, useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { people as texts } from "../../texts/people.ts";
import { records as recordTexts } from "../../texts/records.ts";
import { AdminAdd, AdminFollow, AdminPage, type AdminRowFragment, AdminSave } from "../operations.ts";
import { followChanges } from "../records/following.ts";
import { OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";
import { viewer } from "../viewer.ts";
import { Activity } from "./activity.tsx";
import { SessionsOf } from "./sessions.tsx";

interface Values {
  name: string;
  email: string;
}

const FIELDS: readonly FieldOf<Values>[] = [
  { name: "name", label: texts.name },
  { name: "email", label: texts.email, hint: texts.emailHint },
];

export default function AdminDetails() {
  const { id } = useRoute().params as { id: string };
  return id === "new" ? <NewAdmin /> : <AdminOf key={id} id={id} />;
}

function NewAdmin() {
  const { route } = useLocation();
  const made = useSignal<string | null>(null);
  return (
    <Page title={texts.admins.new}>
      <section class="card">
        <RecordForm<Values>
          name="new admin"
          initial={{ name: "", email: "" }}
          fields={FIELDS}
          button={texts.admins.add}
          save={async (values, idempotencyKey) => {
            const { adminCreate } = await execute(AdminAdd, { input: { ...values, idempotencyKey } });
            made.value = adminCreate.admin?.id ?? null;
            return adminCreate;
          }}
          saved={() => route(`/admins/${made.value}`)}
        />
      </section>
    </Page>
  );
}

function AdminOf({ id }: { id: string }) {
  return (
    <OpenRecord<AdminRowFragment>
      title={texts.admins.title}
      read={async () => {
        const { node } = await execute(AdminPage, { id });
        return node?.__typename === "Admin" ? node : null;
      }}
      follow={(changed) => [followChanges(AdminFollow, () => true, changed)]}
    >
      {(admin, reload) => <Details admin={admin} reload={reload} />}
    </OpenRecord>
  );
}

function Details({ admin, reload }: { admin: AdminRowFragment; reload: () => void }) {
  const note = useSignal("");
  const { id, name, email, active } = admin;
  const isSelf = viewer.value?.id === id;
  return (
    <Page title={name}>
      <section class="card" aria-labelledby="person-on-file">
        <h2 id="person-on-file">{texts.onFile}</h2>
        <RecordForm<Values>
          name={`admin ${id}`}
          initial={{ name, email }}
          fields={FIELDS}
          button={recordTexts.save}
          save={async (_, idempotencyKey, changes) =>
            (await execute(AdminSave, { input: { ...changes, adminId: id, idempotencyKey } })).adminUpdate}
          saved={() => {
            note.value = recordTexts.saved;
            reload();
          }}
          note={note.value}
        />
      </section>
      <Activity
        active={active}
        words={texts.admins}
        deactivateText={isSelf ? texts.admins.deactivateYourself : texts.admins.deactivateText}
        question={texts.admins.deactivateQuestion(name)}
        set={async (active, idempotencyKey) =>
          (await execute(AdminSave, { input: { adminId: id, active, idempotencyKey } })).adminUpdate}
        done={reload}
      />
      {active && <SessionsOf adminId={id} title={isSelf ? texts.sessions.title : texts.signedIn} />}
    </Page>
  );
}
