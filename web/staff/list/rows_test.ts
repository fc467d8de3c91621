import { assertEquals } from "../../shared/testing.ts";
import { type Edge, extended, goneWith, held, pushedOut, released, replaced } from "./rows.ts";

interface Node {
  id: string;
  version: number;
}

const edge = (id: string, version = 1): Edge<Node> => ({ cursor: `after ${id}`, node: { id, version } });
const list = (names: string) => [...names].map((name) => edge(name));
const ids = (edges: readonly Edge<Node>[]) => edges.map(({ node }) => node.id).join("");
const NONE = new Set<string>();

Deno.test("rows that nothing holds are the window's own", () => {
  const rows = released(list("cb"));
  assertEquals([ids(rows.edges), rows.end, rows.waiting, rows.left.size], ["cb", "after b", 0, 0]);
  assertEquals(released([]).end, null);
});

Deno.test("held rows stay where they are, change in place, and say what waits and what has left", () => {
  const before = released(list("ab"));
  const after = held(before, [edge("c"), edge("b", 2), edge("d")], new Set(["a"]));
  assertEquals(ids(after.edges), "ab");
  assertEquals(after.edges[1]!.node.version, 2);
  assertEquals([after.waiting, [...after.left]], [2, ["a"]]);
  const later = held(after, list("ab"), NONE);
  assertEquals([later.waiting, later.left.size], [0, 0]);
});

Deno.test("rows that others have pushed out of a full window are still in the list", () => {
  assertEquals([...pushedOut(list("abc"), list("xab"), 3)], ["c"]);
  assertEquals(goneWith(list("abc"), list("xab"), 3), []);
  assertEquals(goneWith(list("abc"), list("xac"), 3), ["b"]);
  assertEquals(goneWith(list("abc"), list("ab"), 3), ["c"]);
  const rows = held(released(list("abc")), list("xab"), new Set(goneWith(list("abc"), list("xab"), 3)));
  assertEquals([ids(rows.edges), rows.left.size, rows.waiting], ["abc", 0, 1]);
});

Deno.test("the next page follows where the last one ended, although its last row has moved away since", () => {
  const rows = extended(released(list("ab")), list("cd"), "after d");
  const moved = held(rows, [{ cursor: "elsewhere", node: { id: "b", version: 2 } }, edge("a")], NONE);
  assertEquals([ids(moved.edges), moved.end], ["abcd", "after d"]);
  const first = held(released(list("ab")), [{ cursor: "elsewhere", node: { id: "b", version: 2 } }, edge("a")], NONE);
  assertEquals(first.end, "after b");
});

Deno.test("a ticket that comes with a further page is not shown twice", () => {
  const rows = extended(released(list("abc")), list("cd"), "after d");
  assertEquals(ids(rows.edges), "abcd");
  assertEquals(extended(rows, [], null).end, "after d");
});

Deno.test("an older state of a ticket that arrives late is not shown", () => {
  const rows = held(released([edge("a", 3)]), [edge("a", 2)], NONE);
  assertEquals(rows.edges[0]!.node.version, 3);
  assertEquals(replaced(rows.edges, [{ id: "a", version: 4 }])[0]!.node.version, 4);
  assertEquals(replaced(rows.edges, [{ id: "b", version: 9 }])[0]!.node.version, 3);
});
