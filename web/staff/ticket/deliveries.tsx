/** Who was notified about a ticket, and what became of it. */

import { Time } from "../../shared/time.tsx";
import { deliveries as texts } from "../../texts/deliveries.ts";
import { recipientOf, SendAgain } from "../deliveries/delivery.tsx";
import type { Delivery, TicketStore } from "./store.ts";

export function Deliveries({ store }: { store: TicketStore }) {
  const deliveries = store.deliveries.value;
  return (
    <details class="card">
      <summary>
        <h2>{texts.title}</h2>
      </summary>
      {deliveries.length === 0 && <p class="hint">{texts.none}</p>}
      <ul class="deliveries" aria-live="polite">
        {deliveries.map((delivery) => <DeliveryItem key={delivery.id} store={store} delivery={delivery} />)}
      </ul>
    </details>
  );
}

function DeliveryItem({ store, delivery }: { store: TicketStore; delivery: Delivery }) {
  return (
    <li class={`delivery delivery-${delivery.state.toLowerCase()}`}>
      <strong>{texts.kinds[delivery.kind]}</strong> · <bdi>{recipientOf(delivery)}</bdi> ·{" "}
      {texts.audiences[delivery.audience]}
      <br />
      <a href={`/deliveries/${delivery.id}`}>{texts.states[delivery.state]}</a>{" "}
      <span class="hint">
        <Time at={delivery.finishedAt ?? delivery.createdAt} />
      </span>
      {delivery.said !== null && <p class="hint">{delivery.said}</p>}
      <SendAgain delivery={delivery} send={() => store.retry(delivery.id)} />
    </li>
  );
}
