/** What an admin can decide about mail that was kept. */

import { execute, newKey } from "../../shared/client.ts";
import { messageOf } from "../../shared/errors.ts";
import { persistently } from "../../shared/saving.ts";
import { InboxDiscard, type InboxRowFragment } from "../operations.ts";

/** Whether a decision is still to be made. */
export function waits({ outcome }: Pick<InboxRowFragment, "outcome">): boolean {
  return outcome === "KEPT_ASIDE" || outcome === "IGNORED";
}

interface Discarded {
  /** The message as it is now; null if it does not exist, or if that is not known. */
  message: InboxRowFragment | null;
  /** Why it was not discarded, or null. */
  problem: string | null;
}

export async function discard(inboundMessageId: string): Promise<Discarded> {
  const input = { inboundMessageId, idempotencyKey: newKey() };
  try {
    const { inboundMessageDiscard } = await persistently(() => execute(InboxDiscard, { input }));
    const { inboundMessage, userErrors } = inboundMessageDiscard;
    const problem = userErrors.length === 0 ? null : userErrors.map(({ message }) => message).join(" ");
    return { message: inboundMessage, problem };
  } catch (error) {
    return { message: null, problem: messageOf(error) };
  }
}
