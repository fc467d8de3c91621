/** A delivery: to whom a notice goes, how often that was tried, and what the other side said last. */

import "./deliveries.css";
import { useEffect } from "preact/hooks";
import { useRoute } from "preact-iso";
import { execute } from "../../shared/client.ts";
import { deliveries as texts } from "../../texts/deliveries.ts";
import { numberOf } from "../../texts/language.ts";
import { DeliveryPage, type DeliveryWithTicketFragment } from "../operations.ts";
import { Fact, OpenRecord, TimeFact } from "../records/open_record.tsx";
import { Page } from "../shell/page.tsx";
import { recipientOf, SendAgain } from "./delivery.tsx";
import { READ_AGAIN_MILLISECONDS, sendAgain } from "./send_again.ts";

export default function DeliveryDetails() {
  const { id } = useRoute().params as { id: string };
  return (
    <OpenRecord
      key={id}
      title={texts.list}
      read={async () => {
        const { node } = await execute(DeliveryPage, { id });
        return node?.__typename === "Delivery" ? node : null;
      }}
    >
      {(delivery, reload) => <OpenDelivery delivery={delivery} reload={reload} />}
    </OpenRecord>
  );
}

function OpenDelivery({ delivery, reload }: { delivery: DeliveryWithTicketFragment; reload: () => void }) {
  const { kind, channel, audience, state, attempts, said, ticket } = delivery;
  useEffect(() => {
    if (state !== "PENDING") return;
    const timer = setInterval(reload, READ_AGAIN_MILLISECONDS);
    return () => clearInterval(timer);
  }, [state]);
  return (
    <Page title={texts.kinds[kind]}>
      <section class="card" aria-live="polite">
        <dl class="facts">
          <Fact name={texts.state}>
            <span class="delivery-state" data-state={state}>{texts.states[state]}</span>
          </Fact>
          <Fact name={texts.recipient}>
            <bdi>{recipientOf(delivery)}</bdi>
          </Fact>
          <Fact name={texts.channel}>{texts.channels[channel]}</Fact>
          <Fact name={texts.audience}>{texts.audiences[audience]}</Fact>
          <Fact name={texts.ticket}>
            <a href={`/tickets/${ticket.reference}`}>{ticket.reference}</a> <bdi>{ticket.subject}</bdi>
          </Fact>
          <Fact name={texts.attempted}>
            {numberOf(attempts)} <span class="hint">{texts.since}</span>
          </Fact>
          <Fact name={texts.said}>{said === null ? null : <span dir="auto">{said}</span>}</Fact>
          <TimeFact name={texts.createdAt} at={delivery.createdAt} />
          <TimeFact name={texts.nextAttemptAt} at={delivery.nextAttemptAt} />
          <TimeFact name={texts.finishedAt} at={delivery.finishedAt} />
          <TimeFact name={texts.acknowledgedAt} at={delivery.acknowledgedAt} />
        </dl>
        <SendAgain
          delivery={delivery}
          send={async () => {
            const { problem } = await sendAgain(delivery.id);
            reload();
            return problem;
          }}
        />
      </section>
    </Page>
  );
}
