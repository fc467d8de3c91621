/** Mail that has come in: at first what was kept aside, for a person to decide about. */

import "./inbox.css";
import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { inbox as texts } from "../../texts/inbox.ts";
import { InboxPage, type InboxRowFragment } from "../operations.ts";
import { choice, type ListFilter, only } from "../records/filters.tsx";
import { RecordList } from "../records/record_list.tsx";
import { type Selected, Selection, SelectRow, useSelected } from "../records/selection.tsx";
import { Page } from "../shell/page.tsx";
import { discard, waits } from "./review.ts";

const { DUPLICATE: _, ...outcomes } = texts.outcomes; // a message that came before is not stored again

const FILTERS: readonly ListFilter[] = [
  choice({ name: "outcome", label: texts.outcome, all: texts.all, initial: "KEPT_ASIDE" }, outcomes),
];

export default function MessageList() {
  const selected = useSelected();
  return (
    <Page title={texts.title} wide>
      <RecordList<InboxRowFragment>
        path="/inbox"
        filters={FILTERS}
        total={texts.total}
        none={texts.none}
        noneText={texts.noneText}
        read={async (_, after, { outcome }) =>
          (await execute(InboxPage, { outcome: only<InboxRowFragment["outcome"]>(outcome), after })).inboundMessages}
        above={(shown) => (
          <Selection
            rows={shown.rows.filter(waits)}
            selected={selected}
            nameOf={({ subject }) => subject ?? texts.noSubject}
            action={texts.discardSelected}
            question={texts.discardAll}
            act={async ({ id }) => {
              const { message, problem } = await discard(id);
              if (message !== null) shown.replace([message]);
              return problem;
            }}
          />
        )}
        row={(message) => <MessageRow message={message} selected={selected} />}
      />
    </Page>
  );
}

function MessageRow({ message, selected }: { message: InboxRowFragment; selected: Selected }) {
  const { id, fromName, fromAddress, subject, outcome, reason, ticket, receivedAt } = message;
  return (
    <div class="message-row">
      <span>
        {waits(message) && <SelectRow id={id} selected={selected} label={texts.select(subject ?? texts.noSubject)} />}
      </span>
      <span>
        <bdi>{fromName ?? fromAddress ?? texts.noSender}</bdi>
        {fromName !== null && fromAddress !== null && (
          <>
            <br />
            <bdi class="hint">{fromAddress}</bdi>
          </>
        )}
      </span>
      <span>
        <a href={`/inbox/${id}`}>
          <bdi>{subject ?? texts.noSubject}</bdi>
        </a>
        {reason !== null && <p class="hint">{reason}</p>}
      </span>
      <span>
        <span class="badge">{texts.outcomes[outcome]}</span>{" "}
        {ticket !== null && <a class="reference" href={`/tickets/${ticket.reference}`}>{ticket.reference}</a>}
      </span>
      <span class="hint">
        <Time at={receivedAt} />
      </span>
    </div>
  );
}
