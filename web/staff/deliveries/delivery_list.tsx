/** All notices on their way, and what became of each; those that were not sent can be sent again, one or several. */

import "./deliveries.css";
import { useEffect } from "preact/hooks";
import { execute } from "../../shared/client.ts";
import { Time } from "../../shared/time.tsx";
import { deliveries as texts } from "../../texts/deliveries.ts";
import {
  DeliveriesAgain,
  type DeliveryFilter,
  DeliveryListPage,
  type DeliveryWithTicketFragment,
} from "../operations.ts";
import { choice, type Chosen, type ListFilter, only } from "../records/filters.tsx";
import { RecordList, type ShownRows } from "../records/record_list.tsx";
import { type Selected, Selection, SelectRow, useSelected } from "../records/selection.tsx";
import { Page } from "../shell/page.tsx";
import { recipientOf, SendAgain } from "./delivery.tsx";
import { canBeSentAgain, READ_AGAIN_MILLISECONDS, sendAgain } from "./send_again.ts";

type Delivery = DeliveryWithTicketFragment;

const FILTERS: readonly ListFilter[] = [
  choice({ name: "state", label: texts.state, all: texts.allStates }, texts.states),
  choice({ name: "channel", label: texts.channel, all: texts.allChannels }, texts.channels),
  choice({ name: "kind", label: texts.kind, all: texts.allKinds }, texts.kinds),
  { name: "recipient", label: texts.recipient, kind: "line" },
];

const IDS_AT_ONCE = 100;

export default function DeliveryList() {
  const selected = useSelected();
  return (
    <Page title={texts.list} wide>
      <RecordList<Delivery>
        path="/deliveries"
        filters={FILTERS}
        total={texts.total}
        none={texts.noneYet}
        noneText={texts.noneText}
        read={async (_, after, chosen) =>
          (await execute(DeliveryListPage, { filter: filterOf(chosen), after })).deliveries}
        above={(shown) => (
          <>
            <Pending shown={shown} />
            <Selection
              rows={shown.rows.filter(canBeSentAgain)}
              selected={selected}
              nameOf={nameOf}
              action={texts.retrySelected}
              act={({ id }) => sendAndShow(id, shown)}
            />
          </>
        )}
        row={(delivery, shown) => <DeliveryRow delivery={delivery} shown={shown} selected={selected} />}
      />
    </Page>
  );
}

function filterOf({ state, channel, kind, recipient }: Chosen): DeliveryFilter {
  return { state: only(state), channel: only(channel), kind: only(kind), recipient: recipient ?? null };
}

/** Reads deliveries that are on the way again, until they have arrived. */
function Pending({ shown }: { shown: ShownRows<Delivery> }) {
  const ids = shown.rows.filter(({ state }) => state === "PENDING").map(({ id }) => id).slice(0, IDS_AT_ONCE);
  useEffect(() => {
    if (ids.length === 0) return;
    const timer = setInterval(async () => {
      try {
        const { nodes } = await execute(DeliveriesAgain, { ids });
        shown.replace(nodes.flatMap((one) => one?.__typename === "Delivery" ? one : []));
      } catch {
        // They are read again soon.
      }
    }, READ_AGAIN_MILLISECONDS);
    return () => clearInterval(timer);
  }, [ids.join(" ")]);
  return null;
}

function nameOf(delivery: Delivery): string {
  return `${texts.kinds[delivery.kind]} · ${recipientOf(delivery)}`;
}

async function sendAndShow(id: string, shown: ShownRows<Delivery>): Promise<string | null> {
  const { delivery, problem } = await sendAgain(id);
  if (delivery !== null) shown.replace([delivery]);
  return problem;
}

interface DeliveryRowProps {
  delivery: Delivery;
  shown: ShownRows<Delivery>;
  selected: Selected;
}

function DeliveryRow({ delivery, shown, selected }: DeliveryRowProps) {
  const { id, kind, channel, state, attempts, said, ticket, createdAt, finishedAt } = delivery;
  return (
    <div class="delivery-row" data-state={state}>
      <span>
        {canBeSentAgain(delivery) && (
          <SelectRow id={id} selected={selected} label={texts.select(texts.kinds[kind], recipientOf(delivery))} />
        )}
      </span>
      <span>
        <a href={`/deliveries/${id}`}>{texts.kinds[kind]}</a>
        <br />
        <bdi>{recipientOf(delivery)}</bdi>{" "}
        {delivery.recipient !== null && <span class="hint">· {texts.channels[channel]}</span>}
      </span>
      <span>
        <span class="delivery-state" aria-live="polite">{texts.states[state]}</span>{" "}
        <span class="hint">
          {texts.attempts(attempts)} · <Time at={finishedAt ?? createdAt} />
        </span>
        {said !== null && <p class="hint" dir="auto">{said}</p>}
      </span>
      <span>
        <a class="reference" href={`/tickets/${ticket.reference}`}>{ticket.reference}</a>{" "}
        <bdi class="hint">{ticket.subject}</bdi>
      </span>
      <span class="delivery-action">
        <SendAgain delivery={delivery} send={() => sendAndShow(id, shown)} />
      </span>
    </div>
  );
}
