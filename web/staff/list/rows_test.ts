import { assertEquals } from "../../shared/testing.ts";
import { type Edge, shown, withFurther } from "./rows.ts";

const edge = (id: string, subject = ""): Edge<{ id: string; subject: string }> => ({
  cursor: id,
  node: { id, subject },
});
const ids = (edges: readonly Edge<{ id: string }>[]) => edges.map(({ node }) => node.id).join("");

Deno.test("rows follow the window unless they are held", () => {
  const before = shown([edge("a"), edge("b")], null, true);
  const after = shown([edge("c"), edge("b")], before, false);
  assertEquals([ids(after.edges), after.waiting, after.left.size], ["cb", 0, 0]);
});

Deno.test("held rows stay where they are, change in place, and say what waits and what has left", () => {
  const before = shown([edge("a"), edge("b")], null, true);
  const after = shown([edge("c"), edge("b", "new"), edge("d")], before, true);
  assertEquals(ids(after.edges), "ab");
  assertEquals(after.edges[1]!.node.subject, "new");
  assertEquals([after.waiting, [...after.left]], [2, ["a"]]);
  const later = shown([edge("a"), edge("b")], after, true);
  assertEquals([later.waiting, later.left.size], [0, 0]);
});

Deno.test("a ticket that comes up into the window is not shown twice", () => {
  assertEquals(ids(withFurther([edge("a"), edge("c")], [edge("c"), edge("d")])), "acd");
});
