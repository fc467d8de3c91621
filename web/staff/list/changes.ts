/** Changes that are made from the list: to all selected tickets, with a result for each, or to one, shown at once. */

import { signal } from "@preact/signals";
import { execute, newKey } from "../../shared/client.ts";
import { persistently } from "../../shared/saving.ts";
import { staffList as texts } from "../../texts/staff_list.ts";
import { TicketListChange, type TicketsBulkUpdateInput } from "../operations.ts";
import type { Change, Row, TicketListStore } from "./store.ts";

export type Wanted = Omit<TicketsBulkUpdateInput, "ticketIds" | "idempotencyKey">;

/** What became of one ticket: `problem` is why it was not changed, or null. */
export interface Result {
  id: string;
  reference: string;
  problem: string | null;
}

const AT_ONCE = 100;

/** Why a quick change was taken back. */
export const takenBack = signal<string | null>(null);

/** Changes the tickets, given as their references by their ids, and returns a result for each. A ticket whose outcome
 * cannot be known is not among those that were changed. */
export async function changeAll(
  tickets: ReadonlyMap<string, string>,
  wanted: Wanted,
  store: TicketListStore,
): Promise<Result[]> {
  const results: Result[] = [];
  const ids = [...tickets.keys()];
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const some = ids.slice(from, from + AT_ONCE);
    const problems = await changeSome(some, wanted, store);
    results.push(...some.map((id) => ({ id, reference: tickets.get(id)!, problem: problems.get(id) ?? null })));
  }
  return results;
}

/** Changes one ticket, and shows it as changed before the server has answered. */
export async function changeQuickly(ticket: Row, change: Change, store: TicketListStore): Promise<void> {
  takenBack.value = null;
  store.expect(ticket.id, change);
  const problem = (await changeSome([ticket.id], change, store)).get(ticket.id);
  if (problem === undefined) return;
  store.revert(ticket.id);
  takenBack.value = texts.takenBack(ticket.reference, problem);
}

/** Returns the problems by the ids of the tickets that have one. */
async function changeSome(
  ticketIds: readonly string[],
  wanted: Wanted,
  store: TicketListStore,
): Promise<Map<string, string>> {
  const input = { ...wanted, ticketIds: [...ticketIds], idempotencyKey: newKey() };
  try {
    const { ticketsBulkUpdate: answer } = await persistently(() => execute(TicketListChange, { input }));
    store.replace(answer.results.flatMap(({ ticket }) => ticket ?? []));
    if (answer.userErrors.length > 0) return forAll(ticketIds, messages(answer.userErrors));
    const failed = answer.results.filter(({ userErrors }) => userErrors.length > 0);
    return new Map(failed.map(({ ticketId, userErrors }) => [ticketId, messages(userErrors)]));
  } catch (error) {
    return forAll(ticketIds, (error as Error).message);
  }
}

function forAll(ids: readonly string[], problem: string): Map<string, string> {
  return new Map(ids.map((id) => [id, problem]));
}

function messages(errors: readonly { message: string }[]): string {
  return errors.map(({ message }) => message).join(" ");
}
