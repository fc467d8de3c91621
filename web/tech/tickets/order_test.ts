import { assertEquals } from "../../shared/testing.ts";
import { grouped, nextSteps } from "./order.ts";

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
