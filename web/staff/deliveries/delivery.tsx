/** Parts of a delivery, for its ticket's page and for the pages of deliveries. */

import { useSignal } from "@preact/signals";
import { deliveries as texts } from "../../texts/deliveries.ts";
import type { DeliveryPartFragment } from "../operations.ts";
import { canBeSentAgain } from "./send_again.ts";

export function recipientOf({ recipient, channel }: Pick<DeliveryPartFragment, "recipient" | "channel">): string {
  return recipient ?? texts.channels[channel];
}

interface SendAgainProps {
  delivery: DeliveryPartFragment;
  /** Returns why it is not sent again, or null. */
  send: () => Promise<string | null>;
}

/** The button that sends a delivery again, if that is possible, and why it did not work. */
export function SendAgain({ delivery, send }: SendAgainProps) {
  const busy = useSignal(false);
  const problem = useSignal<string | null>(null);
  const press = async () => {
    if (busy.value) return;
    busy.value = true;
    problem.value = await send();
    busy.value = false;
  };
  return (
    <>
      {canBeSentAgain(delivery) && (
        <button
          type="button"
          class="button"
          aria-label={texts.retryOf(texts.kinds[delivery.kind], recipientOf(delivery))}
          aria-disabled={busy.value}
          onClick={() => void press()}
        >
          {texts.retry}
        </button>
      )}
      {problem.value !== null && <p class="error" role="alert">{problem}</p>}
    </>
  );
}
