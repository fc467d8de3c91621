/** The status and the priority of a ticket, each as a word with a sign: colour alone says nothing. */

import { ticketWords } from "../texts/ticket_words.ts";

type Status = keyof typeof ticketWords.status;
type Priority = keyof typeof ticketWords.priority;

const STATUS_SIGNS: Record<Status, string> = { OPEN: "○", IN_PROGRESS: "◐", RESOLVED: "●", CLOSED: "✕" };
const PRIORITY_SIGNS: Record<Priority, string> = { LOW: "↓", MEDIUM: "–", HIGH: "↑", URGENT: "‼" };

export function StatusBadge({ status }: { status: Status }) {
  return (
    <span class="badge" data-status={status}>
      <span aria-hidden="true">{STATUS_SIGNS[status]}</span> {ticketWords.status[status]}
    </span>
  );
}

export function PriorityBadge({ priority }: { priority: Priority }) {
  return (
    <span class="badge" data-priority={priority}>
      <span aria-hidden="true">{PRIORITY_SIGNS[priority]}</span> {ticketWords.priority[priority]}
    </span>
  );
}
