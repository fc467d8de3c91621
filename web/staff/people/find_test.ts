import { assertEquals } from "../../shared/testing.ts";
import { findPeople, isFound } from "./find.ts";

const RENEE = { name: "Renée Côté", email: "renee@x.example", phone: "(613) 555-0123" };

Deno.test("people are found by words of their name, address or number", () => {
  const found = ["", "cote ren", "X.EXAMPLE", "613-555", "5550123"].map((words) => isFound(RENEE, words));
  assertEquals(found, [true, true, true, true, true]);
  assertEquals(["dev", "cote dev", "999", "-"].map((words) => isFound({ ...RENEE, phone: null }, words)), [
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("all pages are searched", async () => {
  const page = await findPeople("c", (after) =>
    Promise.resolve({
      nodes: [{ id: after ?? "first", name: "Cem", email: "" }],
      pageInfo: { hasNextPage: after === null, endCursor: after === null ? "second" : null },
    }));
  assertEquals(page.nodes.map(({ id }) => id), ["first", "second"]);
  assertEquals(page.totalCount, 2);
});
