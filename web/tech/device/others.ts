/** What is left on this phone of technicians who are not signed in any more. */

import { databaseOf, openDevice } from "./device.ts";

const KEPT_DAYS = 30; // for as long as the server knows the keys of commands

/** Deletes what others than this technician have on the phone, but for what they have done and not sent in the last 30
 * days: it is sent when they sign in again. */
export async function tidy(technician: string): Promise<void> {
  for (const { name } of await indexedDB.databases()) {
    if (!name?.startsWith(databaseOf("")) || name === databaseOf(technician)) continue;
    const other = await openDevice(name);
    await other.withdraw();
    const { queue } = await other.all();
    const since = new Date(Date.now() - KEPT_DAYS * 86_400_000).toISOString();
    const recent = queue.some(({ command }) =>
      Object.values(command).some(({ occurredAt }) => String(occurredAt) > since)
    );
    await (recent ? other.close() : other.erase());
  }
}
