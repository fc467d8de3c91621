import { errorsByField } from "./field_errors.ts";
import { assertEquals } from "./testing.ts";

Deno.test("the server's errors stand at their fields, or else at the form", () => {
  assertEquals(
    errorsByField([
      { field: ["input", "contact", "email"], message: "No address." },
      { field: ["input", "email"], message: "Too long." },
      { field: ["input"], message: "One." },
      { field: ["input", "idempotencyKey"], message: "Two." },
      { field: [], message: "Three." },
    ], ["name", "email"]),
    { email: "No address. Too long.", "": "One. Two. Three." },
  );
});
