/** The technicians whom the filter and the assignment offer. */

import { signal } from "@preact/signals";
import { execute } from "../../shared/client.ts";
import { persistently } from "../../shared/saving.ts";
import { TicketListTechnicians, type TicketListTechniciansQuery } from "../operations.ts";

export type Technician = TicketListTechniciansQuery["technicians"]["nodes"][number];

const MOST_PAGES = 20;

/** By their names; the inactive ones still have tickets by which to filter. */
export const technicians = signal<readonly Technician[]>([]);

/** Reads them all. Without them the page works, but for the two dropdowns. */
export async function readTechnicians(): Promise<void> {
  const found: Technician[] = [];
  let after: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { technicians: read }: TicketListTechniciansQuery = await persistently(() =>
      execute(TicketListTechnicians, { after })
    );
    found.push(...read.nodes);
    after = read.pageInfo.endCursor;
    if (!read.pageInfo.hasNextPage) break;
  }
  technicians.value = found.sort((one, other) => one.name.localeCompare(other.name));
}
