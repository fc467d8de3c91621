/** A webhook: how it fares, what can be done with it, and each attempt to deliver. */

import "./webhooks.css";
import { useSignal } from "@preact/signals";
import { useLocation, useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { numberOf } from "../../texts/language.ts";
import { records as recordTexts } from "../../texts/records.ts";
import { webhooks as texts } from "../../texts/webhooks.ts";
import { SecretOnce } from "../keys/secret_once.tsx";
import {
  WebhookContinue,
  WebhookPage,
  type WebhookPageQuery,
  WebhookRemove,
  WebhookRotate,
  WebhookSave,
  WebhookSendBack,
  WebhookTry,
} from "../operations.ts";
import { Action } from "../records/action.tsx";
import { Fact, OpenRecord, TimeFact } from "../records/open_record.tsx";
import { RecordForm } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";
import { Attempts } from "./attempts.tsx";
import { FIELDS, WebhookBadge, type WebhookValues } from "./parts.tsx";

type Webhook = Extract<WebhookPageQuery["node"], { __typename: "Webhook" }>;

interface WebhookProps {
  webhook: Webhook;
  reload: () => void;
}

export default function WebhookDetails() {
  const { id } = useRoute().params as { id: string };
  return (
    <OpenRecord
      key={id}
      title={texts.title}
      read={async () => {
        const { node } = await execute(WebhookPage, { id });
        return node?.__typename === "Webhook" ? node : null;
      }}
    >
      {(webhook, reload) => <OpenWebhook webhook={webhook} reload={reload} />}
    </OpenRecord>
  );
}

function OpenWebhook({ webhook, reload }: WebhookProps) {
  const { route } = useLocation();
  const attempted = useSignal(0);
  const again = () => {
    attempted.value++;
    reload();
  };
  return (
    <Page title={webhook.url}>
      <section class="card">
        <Facts webhook={webhook} />
        <Actions webhook={webhook} reload={again} />
      </section>
      <section class="card">
        <h2>{texts.deliveries}</h2>
        <Attempts key={attempted.value} id={webhook.id} sentBack={reload} />
      </section>
      <Change webhook={webhook} reload={reload} />
      <Secret id={webhook.id} />
      <SendBack id={webhook.id} reload={again} />
      <p class="actions">
        <Action
          danger
          question={texts.removeQuestion(webhook.url)}
          act={async (idempotencyKey) => {
            const input = { webhookId: webhook.id, idempotencyKey };
            return (await execute(WebhookRemove, { input })).webhookDelete;
          }}
          done={() => route("/keys/webhooks")}
        >
          {texts.remove}
        </Action>
      </p>
    </Page>
  );
}

function Facts({ webhook }: { webhook: Webhook }) {
  const { suspension, suspendedSaid, failures, acknowledgedAt, authorName } = webhook;
  return (
    <dl class="facts">
      <Fact name={texts.state}>
        <WebhookBadge webhook={webhook} />
      </Fact>
      <Fact name={texts.suspension}>
        {suspension === null ? null : (
          <>
            {texts.suspensions[suspension]} <span class="hint" dir="auto">{suspendedSaid}</span>
          </>
        )}
      </Fact>
      <TimeFact name={texts.suspendedAt} at={webhook.suspendedAt} />
      <Fact name={texts.failures}>{failures === 0 ? null : numberOf(failures)}</Fact>
      <TimeFact name={texts.failingSince} at={webhook.failingSince} />
      <TimeFact name={texts.nextAttemptAt} at={webhook.nextAttemptAt} />
      <Fact name={texts.acknowledgedAt}>
        {acknowledgedAt === null ? texts.notYet : <Time at={acknowledgedAt} />}
      </Fact>
      <Fact name={texts.author}>
        <bdi>{authorName}</bdi>
      </Fact>
      <TimeFact name={texts.createdAt} at={webhook.createdAt} />
      <TimeFact name={texts.updatedAt} at={webhook.updatedAt} />
    </dl>
  );
}

function Actions({ webhook: { id, state, failures }, reload }: WebhookProps) {
  const said = useSignal("");
  return (
    <p class="actions">
      <Action
        act={async (idempotencyKey) => {
          const input = { webhookId: id, idempotencyKey };
          const { webhookTest } = await execute(WebhookTry, { input });
          const { delivery } = webhookTest;
          if (delivery !== null) said.value = texts.tested(delivery.said, delivery.milliseconds);
          return webhookTest;
        }}
        done={reload}
      >
        {texts.test}
      </Action>
      {(state === "SUSPENDED" || failures > 0) && (
        <Action
          act={async (idempotencyKey) => {
            const input = { webhookId: id, idempotencyKey };
            return (await execute(WebhookContinue, { input })).webhookResume;
          }}
          done={reload}
        >
          {state === "SUSPENDED" ? texts.resume : texts.tryNow}
        </Action>
      )}
      <span role="status" dir="auto">{said}</span>
    </p>
  );
}

function Change({ webhook: { id, url, document, variables }, reload }: WebhookProps) {
  const note = useSignal("");
  return (
    <details class="card webhook-form">
      <summary>{texts.change}</summary>
      <RecordForm<WebhookValues>
        name={`webhook ${id}`}
        initial={{ url, document, variables }}
        fields={FIELDS}
        button={recordTexts.save}
        save={async (_, idempotencyKey, changes) =>
          (await execute(WebhookSave, { input: { ...changes, webhookId: id, idempotencyKey } })).webhookUpdate}
        saved={() => {
          note.value = recordTexts.saved;
          reload();
        }}
        note={note.value}
      />
    </details>
  );
}

/** Another secret, shown once; how long the previous one is valid besides it is chosen. */
function Secret({ id }: { id: string }) {
  const made = useSignal<string | null | undefined>(undefined);
  const shown = useSignal(false);
  if (shown.value && made.value === null) return <p class="notice notice-warning" role="alert">{texts.lost}</p>;
  if (shown.value && made.value !== undefined) {
    return (
      <SecretOnce
        label={texts.secretLabel}
        secret={made.value!}
        warning={texts.secretWarning}
        stored={() => shown.value = false}
      />
    );
  }
  return (
    <details class="card">
      <summary>{texts.secret}</summary>
      <RecordForm<{ overlapHours: string }>
        name={`secret of ${id}`}
        initial={{ overlapHours: "24" }}
        fields={[{
          name: "overlapHours",
          label: texts.overlap,
          kind: "choice",
          options: (["24", "0"] as const).map((value) => ({ value, label: texts.overlaps[value] })),
        }]}
        button={texts.rotate}
        save={async ({ overlapHours }, idempotencyKey) => {
          const input = { webhookId: id, overlapHours: Number(overlapHours), idempotencyKey };
          const { webhookRotateSecret } = await execute(WebhookRotate, { input });
          made.value = webhookRotateSecret.secret;
          return webhookRotateSecret;
        }}
        saved={() => shown.value = true}
      />
    </details>
  );
}

function SendBack({ id, reload }: { id: string; reload: () => void }) {
  const note = useSignal("");
  return (
    <details class="card">
      <summary>{texts.replayTitle}</summary>
      <RecordForm<{ after: string }>
        name={`send back ${id}`}
        initial={{ after: "" }}
        fields={[{ name: "after", label: texts.after, hint: texts.afterHint }]}
        button={texts.replayFrom}
        save={async ({ after }, idempotencyKey) => {
          const input = { webhookId: id, after: after.trim(), idempotencyKey };
          return (await execute(WebhookSendBack, { input })).webhookReplay;
        }}
        saved={() => {
          note.value = texts.replayed;
          reload();
        }}
        note={note.value}
      />
    </details>
  );
}
