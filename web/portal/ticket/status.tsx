/** How far a request has come, in the customer's words. */

import { portal as texts } from "../../texts/portal.ts";
import { locale } from "../../texts/language.ts";
import { me } from "../me.ts";
import type { AssignmentState, TicketStatus } from "../operations.ts";

interface Progress {
  status: TicketStatus;
  technician?: { name: string } | null;
  assignment?: { state: AssignmentState; eta: string | null } | null;
}

export function StatusBadge({ status }: { status: TicketStatus }) {
  return <span class="badge" data-status={status}>{texts.status[status]}</span>;
}

/** Who is coming, and when; nothing unless somebody is. */
export function Visit({ status, technician, assignment }: Progress) {
  if (!assignment || !technician || status === "RESOLVED" || status === "CLOSED") return null;
  const { state, eta } = assignment;
  if (state !== "ACCEPTED" && state !== "EN_ROUTE" && state !== "ON_SITE" && state !== "LEFT") return null;
  return (
    <p class="notice" role="status">
      {texts.visit[state](technician.name)}
      {eta !== null && state !== "LEFT" && state !== "ON_SITE" && (
        <>
          {" "}
          {texts.visit.eta} <time dateTime={eta}>{exact(eta)}</time>.
        </>
      )}
    </p>
  );
}

/** A time as the customer reads it: the day, and the minute. */
export function exact(at: string): string {
  const timeZone = me.value?.timeZone;
  return new Intl.DateTimeFormat(locale, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "numeric",
    minute: "2-digit",
    ...(timeZone === undefined ? {} : { timeZone }),
  }).format(new Date(at));
}

export function When({ at }: { at: string }) {
  return <time class="when" dateTime={at}>{exact(at)}</time>;
}
