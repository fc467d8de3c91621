/** A page of a ticket that is read anew after each change. */

import { live } from "../../shared/live.ts";
import { PortalTicketFollow } from "../operations.ts";

/** Calls `changed` after each change of the ticket, and when the ticket is out of sight, until the returned function is
 * called. */
export function followTicket(id: string, changed: () => Promise<void>): () => void {
  let after: string | undefined;
  const following = live(
    PortalTicketFollow,
    () => (after === undefined ? { id } : { id, after }),
    ({ ticketFollow }) => {
      if (!("cursor" in ticketFollow)) return;
      const first = after === undefined;
      after = ticketFollow.cursor;
      // What has happened between the page's query and the first message is not sent.
      if (ticketFollow.__typename !== "StreamReady" || first) void changed();
    },
  );
  const stop = following.state.subscribe((state) => {
    if (state === "FAILED") void changed();
  });
  return () => {
    stop();
    following.close();
  };
}
