import { execute, newKey } from "../../shared/client.ts";
import { messageOf } from "../../shared/errors.ts";
import { persistently } from "../../shared/saving.ts";
import { DeliveryAgain, type DeliveryWithTicketFragment } from "../operations.ts";

const STATES_SENT_AGAIN: readonly DeliveryWithTicketFragment["state"][] = ["DEAD", "HELD", "DROPPED"];

/** After which a delivery that is on the way is read again. */
export const READ_AGAIN_MILLISECONDS = 2_000;

export function canBeSentAgain({ state }: Pick<DeliveryWithTicketFragment, "state">): boolean {
  return STATES_SENT_AGAIN.includes(state);
}

export interface SentAgain {
  /** The delivery as it is now; null if it does not exist, or if that is not known. */
  delivery: DeliveryWithTicketFragment | null;
  /** Why it is not sent again, or null. */
  problem: string | null;
}

/** Queues a delivery again, although it was given up, held or dropped. */
export async function sendAgain(deliveryId: string): Promise<SentAgain> {
  const input = { deliveryId, idempotencyKey: newKey() };
  try {
    const { deliveryRetry } = await persistently(() => execute(DeliveryAgain, { input }));
    const { delivery, userErrors } = deliveryRetry;
    return { delivery, problem: userErrors.length === 0 ? null : userErrors.map(({ message }) => message).join(" ") };
  } catch (error) {
    return { delivery: null, problem: messageOf(error) };
  }
}
