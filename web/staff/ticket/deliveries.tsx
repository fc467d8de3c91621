/** Who was notified about a ticket, and what became of it. */

import { useSignal } from "@preact/signals";
import { staffTicket as texts } from "../../texts/staff_ticket.ts";
import { Time } from "../../shared/time.tsx";
import { type Delivery, messageOf, type TicketStore } from "./store.ts";

const AGAIN: Delivery["state"][] = ["DEAD", "HELD", "DROPPED"];

export function Deliveries({ store }: { store: TicketStore }) {
  const deliveries = store.deliveries.value;
  return (
    <details class="card">
      <summary>
        <h2>{texts.deliveries.title}</h2>
      </summary>
      {deliveries.length === 0 && <p class="hint">{texts.deliveries.none}</p>}
      <ul class="deliveries" aria-live="polite">
        {deliveries.map((delivery) => <DeliveryItem key={delivery.id} store={store} delivery={delivery} />)}
      </ul>
    </details>
  );
}

function DeliveryItem({ store, delivery }: { store: TicketStore; delivery: Delivery }) {
  const busy = useSignal(false);
  const error = useSignal<string | null>(null);
  const kind = texts.deliveries.kinds[delivery.kind];
  const recipient = delivery.recipient ?? texts.deliveries.channels[delivery.channel];
  const retry = async () => {
    if (busy.value) return;
    busy.value = true;
    try {
      const [problem] = await store.retry(delivery.id);
      error.value = problem?.message ?? null;
    } catch (failure) {
      error.value = messageOf(failure);
    }
    busy.value = false;
  };
  return (
    <li class={`delivery delivery-${delivery.state.toLowerCase()}`}>
      <strong>{kind}</strong> · <bdi>{recipient}</bdi> · {texts.deliveries.audiences[delivery.audience]}
      <br />
      {texts.deliveries.states[delivery.state]}{" "}
      <span class="hint">
        <Time at={delivery.finishedAt ?? delivery.createdAt} />
      </span>
      {delivery.said !== null && <p class="hint">{delivery.said}</p>}
      {AGAIN.includes(delivery.state) && (
        <button
          type="button"
          class="button"
          aria-label={texts.deliveries.retryOf(kind, recipient)}
          aria-disabled={busy.value}
          onClick={() => void retry()}
        >
          {texts.deliveries.retry}
        </button>
      )}
      {error.value !== null && <p class="error" role="alert">{error.value}</p>}
    </li>
  );
}
