import { assertEquals } from "../../shared/testing.ts";
import { grouped, inOrder, nextSteps } from "./order.ts";

const ticket = (id: string, state: "OFFERED" | "ON_SITE" | "ACCEPTED" | "LEFT") => ({ id, assignment: { state } });

Deno.test("what waits for an answer comes first, then where one is, then what is next", () => {
  const groups = grouped([
    ticket("a", "LEFT"),
    ticket("b", "ACCEPTED"),
    ticket("c", "OFFERED"),
    ticket("d", "ON_SITE"),
    ticket("e", "OFFERED"),
    { id: "f", assignment: null },
  ]);
  assertEquals([...groups].map(([group, tickets]) => `${group} ${tickets.map(({ id }) => id).join("")}`), [
    "ANSWER ce",
    "GOING d",
    "NEXT b",
    "AFTER af",
  ]);
});

Deno.test("the usual step is offered first, and none after the last", () => {
  assertEquals(nextSteps("OFFERED"), ["ACCEPTED", "DECLINED"]);
  assertEquals(nextSteps("ACCEPTED")[0], "EN_ROUTE");
  assertEquals(nextSteps("LEFT"), []);
});

Deno.test("the most urgent ticket comes first, and among equals the one that has waited longest", () => {
  const offered = (id: string, priority: string, offeredAt: string) => ({ id, priority, assignment: { offeredAt } });
  const tickets = [
    offered("a", "LOW", "2026-11-01T08:00:00Z"),
    offered("b", "URGENT", "2026-11-02T08:00:00Z"),
    offered("c", "URGENT", "2026-11-01T08:00:00Z"),
    { id: "d", priority: "MEDIUM", assignment: null },
    offered("e", "HIGH", "2026-11-03T08:00:00Z"),
  ];
  assertEquals(inOrder(tickets).map(({ id }) => id), ["c", "b", "e", "d", "a"]);
});
