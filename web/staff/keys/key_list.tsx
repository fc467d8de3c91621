import "./keys.css";
import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { keys as texts } from "../../texts/keys.ts";
import { KeyListPage, type KeyRowFragment } from "../operations.ts";
import { RecordList } from "../records/record_list.tsx";
import { Page } from "../shell/page.tsx";
import { KeyTabs } from "./tabs.tsx";

export default function KeyList() {
  return (
    <Page title={texts.title} action={<a class="button primary" href="/keys/new">{texts.new}</a>}>
      <KeyTabs current="/keys" />
      <RecordList<KeyRowFragment>
        path="/keys"
        total={texts.total}
        none={texts.none}
        noneText={texts.noneText}
        read={async (_, after) => (await execute(KeyListPage, { after })).apiKeys}
        row={(key) => (
          <a href={`/keys/${key.id}`}>
            <span>
              <b dir="auto">{key.name}</b> <code class="hint">{key.prefix}…</code>
            </span>
            <span>
              <KeyState apiKey={key} />{" "}
              <span class="hint">{key.scope === null ? texts.everything : texts.scopeNames[key.scope]}</span>
            </span>
            <span class="hint">
              {texts.lastUsedAt}: {key.lastUsedAt === null ? texts.unused : <Time at={key.lastUsedAt} />}
            </span>
          </a>
        )}
      />
    </Page>
  );
}

export function KeyState({ apiKey: { revokedAt, expiresAt } }: { apiKey: KeyRowFragment }) {
  if (revokedAt !== null) return <span class="badge">{texts.revoked}</span>;
  if (expiresAt !== null && Date.parse(expiresAt) <= Date.now()) return <span class="badge">{texts.expired}</span>;
  return <span class="badge good">{texts.active}</span>;
}
