import { assertEquals } from "../../shared/testing.ts";
import { visible } from "./visible.ts";

const range = (count: number, top: number) => {
  const { from, to } = visible(count, 50, top, 1_000);
  return [from, to];
};

Deno.test("a short list is in the document as a whole", () => {
  assertEquals(range(0, 200), [0, 0]);
  assertEquals(range(20, 200), [0, 20]);
});

Deno.test("of a long list the rows in sight are, and some above and below", () => {
  assertEquals(range(10_000, 200), [0, 28]);
  assertEquals(range(10_000, -250_000), [4_988, 5_032]);
  assertEquals(range(10_000, -499_500), [9_978, 10_000]);
});

Deno.test("a list that has become short while it was scrolled shows its end", () => {
  assertEquals(range(30, -100_000), [10, 30]);
});
