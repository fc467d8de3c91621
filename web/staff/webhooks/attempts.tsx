/** Each attempt to deliver a message of a webhook, the latest first. */

import { useSignal } from "@preact/signals";
import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { webhooks as texts } from "../../texts/webhooks.ts";
import { WebhookAttempts, type WebhookAttemptsQuery, WebhookSendBack } from "../operations.ts";
import { choice, type ListFilter, only } from "../records/filters.tsx";
import { Action } from "../records/action.tsx";
import { RecordList } from "../records/record_list.tsx";

type Attempt = WebhookAttemptsQuery["webhookDeliveries"]["nodes"][number];

const FILTERS: readonly ListFilter[] = [
  choice({ name: "outcome", label: texts.outcome, all: texts.allOutcomes }, texts.outcomes),
  choice({ name: "kind", label: texts.kind, all: texts.allKinds }, texts.kinds),
];

export function Attempts({ id, sentBack }: { id: string; sentBack: () => void }) {
  return (
    <RecordList<Attempt>
      path={`/keys/webhooks/${id}`}
      filters={FILTERS}
      total={texts.attempts}
      none={texts.noAttempts}
      read={async (_, after, { outcome, kind }) => {
        const filter = { webhookId: id, outcome: only<Attempt["outcome"]>(outcome), kind: only<Attempt["kind"]>(kind) };
        return (await execute(WebhookAttempts, { filter, after })).webhookDeliveries;
      }}
      row={(attempt) => <AttemptRow id={id} attempt={attempt} sentBack={sentBack} />}
    />
  );
}

function AttemptRow({ id, attempt, sentBack }: { id: string; attempt: Attempt; sentBack: () => void }) {
  const { kind, outcome, attempt: number, said, cursor, at, milliseconds } = attempt;
  const note = useSignal("");
  return (
    <div class="record">
      <span>
        <span class={outcome === "FAILED" ? "badge bad" : "badge good"}>{texts.outcomes[outcome]}</span>{" "}
        {texts.kinds[kind]} <span class="hint">· {texts.attempt(number)}</span>
      </span>
      <span class="hint attempt-said" dir="auto">{said}</span>
      <span class="hint">
        <Time at={at} /> · {texts.milliseconds(milliseconds)}
      </span>
      {cursor !== null && (
        <span class="attempt-replay">
          <Action
            question={texts.replayQuestion}
            act={async (idempotencyKey) => {
              const input = { webhookId: id, after: cursor, idempotencyKey };
              return (await execute(WebhookSendBack, { input })).webhookReplay;
            }}
            done={() => {
              note.value = texts.replayed;
              sentBack();
            }}
          >
            {texts.replay}
          </Action>{" "}
          <span role="status">{note}</span>
        </span>
      )}
    </div>
  );
}
