/** A technician's tickets by what is to be done next. */

import type { AssignmentState } from "../operations.ts";

export const GROUPS = ["ANSWER", "GOING", "NEXT", "AFTER"] as const;
export type Group = typeof GROUPS[number];

const GROUP_OF: Record<AssignmentState, Group> = {
  OFFERED: "ANSWER",
  EN_ROUTE: "GOING",
  ON_SITE: "GOING",
  ACCEPTED: "NEXT",
  LEFT: "AFTER",
  DECLINED: "AFTER",
  SUPERSEDED: "AFTER",
};

const PRIORITIES = ["URGENT", "HIGH", "MEDIUM", "LOW"];

interface Ordered {
  id: string;
  priority: string;
  assignment: { offeredAt: string } | null;
}

/** The most urgent first, and of those the one that has waited longest. */
export function inOrder<Ticket extends Ordered>(tickets: readonly Ticket[]): Ticket[] {
  const keyOf = ({ id, priority, assignment }: Ticket) =>
    [PRIORITIES.indexOf(priority), assignment?.offeredAt ?? "", id] as const;
  return [...tickets].sort((one, other) => {
    const [first, second] = [keyOf(one), keyOf(other)];
    const place = first.findIndex((value, index) => value !== second[index]);
    return place < 0 ? 0 : first[place]! < second[place]! ? -1 : 1;
  });
}

interface Assigned {
  assignment: { state: AssignmentState } | null;
}

/** The tickets in their groups, each in the order in which they came. A ticket without an assignment comes last. */
export function grouped<Ticket extends Assigned>(tickets: readonly Ticket[]): Map<Group, Ticket[]> {
  const found = new Map<Group, Ticket[]>(GROUPS.map((group) => [group, []]));
  for (const ticket of tickets) {
    found.get(ticket.assignment === null ? "AFTER" : GROUP_OF[ticket.assignment.state])!.push(ticket);
  }
  return found;
}

/** The steps that a technician may take next, the most usual one first. */
export function nextSteps(
  state: AssignmentState,
): readonly ("ACCEPTED" | "DECLINED" | "EN_ROUTE" | "ON_SITE" | "LEFT")[] {
  switch (state) {
    case "OFFERED":
      return ["ACCEPTED", "DECLINED"];
    case "ACCEPTED":
      return ["EN_ROUTE", "ON_SITE", "DECLINED"];
    case "EN_ROUTE":
      return ["ON_SITE", "EN_ROUTE", "DECLINED"]; // again, with another time of arrival
    case "ON_SITE":
      return ["LEFT"];
    default:
      return [];
  }
}
