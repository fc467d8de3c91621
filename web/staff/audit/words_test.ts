import { assertEquals } from "../../shared/testing.ts";
import { inWords } from "./words.ts";

const plain = (change: Parameters<typeof inWords>[0]) => inWords(change).replaceAll(/[\u2068\u2069]/g, "");

Deno.test("a change says from what to what, in words", () => {
  assertEquals(
    plain({ field: "email", before: "a@b.test", after: "c@d.test" }),
    "Email: from “a@b.test” to “c@d.test”",
  );
  assertEquals(plain({ field: "active", before: "true", after: "false" }), "Active: from yes to no");
  assertEquals(plain({ field: "phone", before: null, after: "613" }), "Phone: “613”");
  assertEquals(plain({ field: "phone", before: "613", after: null }), "Phone: “613” was removed");
  assertEquals(plain({ field: "notYetKnown", before: null, after: "1" }), "notYetKnown: “1”");
});
