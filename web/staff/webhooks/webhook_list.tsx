import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { webhooks as texts } from "../../texts/webhooks.ts";
import { KeyTabs } from "../keys/tabs.tsx";
import { WebhookListPage, type WebhookRowFragment } from "../operations.ts";
import { RecordList } from "../records/record_list.tsx";
import { Page } from "../shell/page.tsx";
import { WebhookBadge } from "./parts.tsx";

export default function WebhookList() {
  return (
    <Page title={texts.title} action={<a class="button primary" href="/keys/webhooks/new">{texts.new}</a>}>
      <KeyTabs current="/keys/webhooks" />
      <RecordList<WebhookRowFragment>
        path="/keys/webhooks"
        total={texts.total}
        none={texts.none}
        noneText={texts.noneText}
        read={async (_, after) => (await execute(WebhookListPage, { after })).webhooks}
        row={(webhook) => (
          <a href={`/keys/webhooks/${webhook.id}`}>
            <b>{webhook.url}</b>
            <span>
              <WebhookBadge webhook={webhook} /> <bdi class="hint">{webhook.authorName}</bdi>
            </span>
            <span class="hint">
              {texts.acknowledgedAt}:{" "}
              {webhook.acknowledgedAt === null ? texts.notYet : <Time at={webhook.acknowledgedAt} />}
            </span>
          </a>
        )}
      />
    </Page>
  );
}
