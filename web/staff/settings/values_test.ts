import { assertEquals } from "../../shared/testing.ts";
import { addressesIn, noticesOf, numberIn } from "./values.ts";

Deno.test("addresses are read from lines and lists", () => {
  assertEquals(addressesIn(" ann@x.example\n\nbob@x.example, cem@x.example;\r\n"), [
    "ann@x.example",
    "bob@x.example",
    "cem@x.example",
  ]);
  assertEquals(addressesIn(" \n"), []);
});

Deno.test("a number is whole, not negative, and not too great", () => {
  assertEquals(["0", " 90 ", "3650"].map((text) => numberIn(text, 3_650)), [0, 90, 3_650]);
  assertEquals(["", "-1", "1.5", "1e3", "3651", "99999999999"].map((text) => numberIn(text, 3_650)), [
    null,
    null,
    null,
    null,
    null,
    null,
  ]);
});

Deno.test("only the switches that were changed are sent", () => {
  assertEquals(noticesOf({ "CREATED email": false, "RESOLVED push": true, "CREATED push": true }), [
    { kind: "CREATED", email: false, push: true },
    { kind: "RESOLVED", push: true },
  ]);
});
