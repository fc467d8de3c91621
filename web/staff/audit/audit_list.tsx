/** The audit trail: who has changed what, when, and from where. */

import "./audit.css";
import { execute } from "../../shared/client.ts";
import { dayAfter, startOfDay, Time } from "../../shared/time.tsx";
import { audit as texts } from "../../texts/audit.ts";
import { type AuditFilter, AuditPage } from "../operations.ts";
import { choice, type Chosen, type ListFilter, only } from "../records/filters.tsx";
import { RecordList } from "../records/record_list.tsx";
import { Page } from "../shell/page.tsx";
import { addressOf, type Entry, inWords, nameOf } from "./words.ts";

const FILTERS: readonly ListFilter[] = [
  choice({ name: "by", label: texts.actorKind, all: texts.allActors }, texts.actorKinds),
  choice({ name: "kind", label: texts.objectKind, all: texts.allObjects }, texts.objects),
  choice({ name: "action", label: texts.action, all: texts.allActions }, texts.actions),
  { name: "actor", label: texts.actorId, kind: "line" },
  { name: "object", label: texts.objectId, kind: "line" },
  { name: "from", label: texts.from, kind: "day" },
  { name: "until", label: texts.until, kind: "day" },
];

export default function AuditList() {
  return (
    <Page title={texts.title} wide>
      <RecordList<Entry>
        path="/audit"
        filters={FILTERS}
        total={texts.total}
        none={texts.none}
        read={async (_, after, chosen) => (await execute(AuditPage, { filter: filterOf(chosen), after })).auditEntries}
        row={(entry) => <EntryRow entry={entry} />}
      />
    </Page>
  );
}

/** The chosen days are the reader's, and the last one counts. */
function filterOf({ by, kind, action, actor, object, from, until }: Chosen): AuditFilter {
  return {
    actorKind: only(by),
    objectKind: only(kind),
    action: only(action),
    actorId: actor ?? null,
    objectId: object ?? null,
    at: {
      from: from === undefined ? null : startOfDay(from),
      until: until === undefined ? null : startOfDay(dayAfter(until)),
    },
  };
}

function EntryRow({ entry }: { entry: Entry }) {
  const { at, action, objectKind, objectId, actor, actorId, client, changes } = entry;
  const name = nameOf(entry);
  const page = addressOf(entry);
  return (
    <article class="entry">
      <p>
        <a href={`/audit?actor=${encodeURIComponent(actorId)}`} title={texts.changesOf(actor.name)}>
          <bdi>{actor.name}</bdi>
        </a>{" "}
        {texts.did(texts.actions[action], texts.objects[objectKind])} {name !== null && <b dir="auto">{name}</b>}{" "}
        <span class="hint">
          <Time at={at} />
          {client !== null && <>{" "}· {texts.client(client)}</>}
        </span>
      </p>
      {changes.length > 0 && (
        <ul class="changes">{changes.map((change) => <li key={change.field}>{inWords(change)}</li>)}</ul>
      )}
      {objectId !== null && (
        <p class="hint entry-links">
          {page !== null && <a href={page}>{texts.showObject}</a>}
          <a href={`/audit?object=${encodeURIComponent(objectId)}`}>{texts.itsChanges}</a>
          <code>{objectId}</code>
        </p>
      )}
    </article>
  );
}
