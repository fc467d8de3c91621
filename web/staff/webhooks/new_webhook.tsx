/** A new webhook: the subscription that it posts, and the secret that signs its messages, shown once. */

import "./webhooks.css";
import { execute } from "../../shared/client.ts";
import { webhooks as texts } from "../../texts/webhooks.ts";
import { MakingOnce } from "../keys/secret_once.tsx";
import { WebhookAdd } from "../operations.ts";
import { RecordForm } from "../records/record_form.tsx";
import { Page } from "../shell/page.tsx";
import { FIELDS, type WebhookValues } from "./parts.tsx";

/** Something to begin with: all changes of tickets. */
const DOCUMENT = `subscription ($filter: TicketFilter) {
  ticketChanged(filter: $filter) {
    __typename
    ... on TicketChange { change kind ticket { reference subject status } }
    ... on StreamReset { reason }
  }
}`;

export default function NewWebhook() {
  return (
    <Page title={texts.new}>
      <MakingOnce
        label={texts.secretLabel}
        warning={texts.secretWarning}
        lost={texts.lost}
        link={texts.toWebhook}
        form={(made, saved) => (
          <section class="card webhook-form">
            <RecordForm<WebhookValues>
              name="new webhook"
              initial={{ url: "", document: DOCUMENT, variables: "{}" }}
              fields={FIELDS}
              button={texts.add}
              save={async (values, idempotencyKey) => {
                const { webhookCreate } = await execute(WebhookAdd, { input: { ...values, idempotencyKey } });
                const { webhook, secret } = webhookCreate;
                made(webhook && { href: `/keys/webhooks/${webhook.id}`, secret });
                return webhookCreate;
              }}
              saved={saved}
            />
          </section>
        )}
      />
    </Page>
  );
}
