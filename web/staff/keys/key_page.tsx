/** A program's API key: shown once when it is created, changed, and revoked. */

import "./keys.css";
import { useSignal } from "@preact/signals";
import { useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { dayOf, startOfDay, Time } from "../../shared/time.tsx";
import { keys as texts } from "../../texts/keys.ts";
import { records as recordTexts } from "../../texts/records.ts";
import { KeyAdd, KeyPage, KeyRevoke, type KeyRowFragment, KeySave } from "../operations.ts";
import { Action } from "../records/action.tsx";
import { Fact, OpenRecord } from "../records/open_record.tsx";
import { type FieldOf, RecordForm } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";
import { KeyState } from "./key_list.tsx";
import { MakingOnce } from "./secret_once.tsx";

type Scope = keyof typeof texts.scopes;

/** `scope` is empty for a key that was created before there were any; `expiresAt` is a day, or empty. */
interface Values {
  name: string;
  scope: Scope | "";
  expiresAt: string;
}

function fieldsOf(scope: Scope | ""): readonly FieldOf<Values>[] {
  const options = Object.entries(texts.scopes).map(([value, label]) => ({ value, label }));
  return [
    { name: "name", label: texts.name, hint: texts.nameHint },
    {
      name: "scope",
      label: texts.scope,
      kind: "choice",
      options: scope === "" ? [{ value: "", label: texts.everything }, ...options] : options,
    },
    { name: "expiresAt", label: texts.expires, hint: texts.expiresHint, kind: "day" },
  ];
}

/** The input's values, of those that are given. */
function inputOf({ name, scope, expiresAt }: Partial<Values>) {
  return {
    ...(name !== undefined && { name }),
    ...(scope !== undefined && { scope: scope || null }),
    ...(expiresAt !== undefined && { expiresAt: expiresAt === "" ? null : startOfDay(expiresAt) }),
  };
}

export default function KeyDetails() {
  const { id } = useRoute().params as { id: string };
  return id === "new" ? <NewKey /> : <KeyOf key={id} id={id} />;
}

function NewKey() {
  return (
    <Page title={texts.new}>
      <MakingOnce
        label={texts.keyLabel}
        warning={texts.secretWarning}
        lost={texts.lost}
        link={texts.toKey}
        form={(made, saved) => (
          <section class="card">
            <RecordForm<Values>
              name="new API key"
              initial={{ name: "", scope: "CHATBOT", expiresAt: "" }}
              fields={fieldsOf("CHATBOT")}
              button={texts.add}
              save={async (values, idempotencyKey) => {
                const input = { name: values.name, ...inputOf(values), idempotencyKey };
                const { apiKeyCreate } = await execute(KeyAdd, { input });
                const { apiKey, secret } = apiKeyCreate;
                made(apiKey && { href: `/keys/${apiKey.id}`, secret });
                return apiKeyCreate;
              }}
              saved={saved}
            />
          </section>
        )}
      />
    </Page>
  );
}

function KeyOf({ id }: { id: string }) {
  return (
    <OpenRecord
      title={texts.title}
      read={async () => {
        const { node } = await execute(KeyPage, { id });
        return node?.__typename === "ApiKey" ? node : null;
      }}
    >
      {(apiKey, reload) => <OpenKey apiKey={apiKey} reload={reload} />}
    </OpenRecord>
  );
}

function OpenKey({ apiKey, reload }: { apiKey: KeyRowFragment; reload: () => void }) {
  const { id, name, prefix, scope, createdAt, createdBy, expiresAt, lastUsedAt, revokedAt } = apiKey;
  const note = useSignal("");
  const values: Values = { name, scope: scope ?? "", expiresAt: expiresAt === null ? "" : dayOf(expiresAt) };
  return (
    <Page title={name}>
      <section class="card">
        <dl class="facts">
          <dt>{texts.prefix}</dt>
          <dd>
            <code>{prefix}…</code> <KeyState apiKey={apiKey} />
          </dd>
          {revokedAt !== null && (
            <Fact name={texts.scope}>{scope === null ? texts.everything : texts.scopes[scope]}</Fact>
          )}
          <Fact name={texts.createdAt}>
            <Time at={createdAt} />
          </Fact>
          <Fact name={texts.createdBy}>{createdBy === null ? null : <bdi>{createdBy}</bdi>}</Fact>
          <Fact name={texts.lastUsedAt}>{lastUsedAt === null ? texts.unused : <Time at={lastUsedAt} />}</Fact>
          <Fact name={texts.revokedAt}>{revokedAt === null ? null : <Time at={revokedAt} />}</Fact>
        </dl>
      </section>
      {revokedAt === null && (
        <>
          <section class="card">
            <h2>{texts.change}</h2>
            <RecordForm<Values>
              name={`API key ${id}`}
              initial={values}
              fields={fieldsOf(values.scope)}
              button={recordTexts.save}
              save={async (_, idempotencyKey, changes) =>
                (await execute(KeySave, { input: { ...inputOf(changes), apiKeyId: id, idempotencyKey } }))
                  .apiKeyUpdate}
              saved={() => {
                note.value = recordTexts.saved;
                reload();
              }}
              note={note.value}
            />
          </section>
          <p class="actions">
            <Action
              danger
              question={texts.revokeQuestion(name)}
              act={async (idempotencyKey) =>
                (await execute(KeyRevoke, { input: { apiKeyId: id, idempotencyKey } })).apiKeyRevoke}
              done={reload}
            >
              {texts.revoke}
            </Action>
          </p>
        </>
      )}
    </Page>
  );
}
