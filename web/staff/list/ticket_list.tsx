/** The list of tickets, which keeps itself up to date. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { subscribe } from "../../shared/client.ts";
import { patched } from "../../shared/window.ts";
import { staffList as texts } from "../../texts/staff_list.ts";
import { TicketList as TicketListDocument, type TicketRowFragment } from "../operations.ts";

const rows = signal<{ node: TicketRowFragment }[]>([]);
const total = signal<number | null>(null);

export function TicketList() {
  useEffect(() =>
    subscribe(TicketListDocument, () => ({ first: 50 }), {
      next: ({ ticketsLive: message }) => {
        if (message.__typename === "WindowSnapshot") rows.value = message.edges;
        else if (message.__typename === "WindowPatch") rows.value = patched(rows.value, message.operations);
        else return;
        total.value = message.totalCount;
      },
      failed: (error) => {
        throw error;
      },
    }), []);
  return (
    <main>
      <h1>{texts.title}</h1>
      <p aria-live="polite">{total.value === null ? "" : texts.total(total.value)}</p>
      <table>
        <thead>
          <tr>{Object.values(texts.columns).map((name) => <th key={name} scope="col">{name}</th>)}</tr>
        </thead>
        <tbody>
          {rows.value.map(({ node }) => (
            <tr key={node.id}>
              <td>{node.reference}</td>
              <td>{node.subject}</td>
              <td>{node.customer?.name ?? node.contact?.name}</td>
              <td>{node.priority}</td>
              <td>{node.status}</td>
              <td>
                <time dateTime={node.createdAt}>{node.createdAt.slice(0, 10)}</time>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </main>
  );
}
