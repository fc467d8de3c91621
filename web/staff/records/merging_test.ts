import { assertEquals } from "../../shared/testing.ts";
import { differing, merged } from "./merging.ts";

const INITIAL = { name: "Elm", phone: "555", email: "desk@elm.example" };
const TYPED = { values: { ...INITIAL, name: "Elm Dental", phone: "556" }, initial: INITIAL };
const NOW = { name: "Elm", phone: "557", email: "hello@elm.example" };

Deno.test("what the person has changed stays, and all else becomes the colleague's", () => {
  const found = merged(TYPED, NOW);
  assertEquals(found.values, { name: "Elm Dental", phone: "556", email: "hello@elm.example" });
  assertEquals(differing(found.values, found.initial), { name: "Elm Dental", phone: "556" });
});
