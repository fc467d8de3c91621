import { assertEquals } from "../../shared/testing.ts";
import { EMPTY, errorsLeft, errorsOf, inputOf, withCustomer, withoutCustomer } from "./form.ts";

const TEXTS = { required: "required", email: "no address", tooLong: (most: number) => `at most ${most}` };
const ANN = { id: "cus_1", name: "Ann", email: "ann@example.com", phone: null, accountNumber: "A-1" };
const FULL = { ...EMPTY, name: "Bob", email: "bob@example.com", subject: "Beeping", description: "Since last night" };

Deno.test("all that is missing is said at once", () => {
  assertEquals(Object.keys(errorsOf(EMPTY, TEXTS)), ["name", "email", "subject", "description"]);
  assertEquals(errorsOf({ ...FULL, subject: " \n" }, TEXTS), { subject: "required" });
  assertEquals(errorsOf(FULL, TEXTS), {});
});

Deno.test("an address needs its two sides, and texts have a length in characters", () => {
  for (const email of ["bob", "bob@", "@example.com", "a b@example.com"]) {
    assertEquals(errorsOf({ ...FULL, email }, TEXTS), { email: "no address" });
  }
  assertEquals(errorsOf({ ...FULL, subject: "x".repeat(201) }, TEXTS), { subject: "at most 200" });
  assertEquals(errorsOf({ ...FULL, subject: "🔔".repeat(200) }, TEXTS), {});
});

Deno.test("a customer fills the contact in, and takes it along, but not what was typed over it", () => {
  const filled = withCustomer({ ...FULL, phone: "555", propertyId: "prp_1" }, ANN);
  assertEquals([filled.name, filled.email, filled.phone, filled.propertyId], ["Ann", "ann@example.com", "", ""]);
  const emptied = withoutCustomer({ ...filled, phone: "613" });
  assertEquals([emptied.customer, emptied.name, emptied.email, emptied.phone], [null, "", "", "613"]);
});

Deno.test("an error goes when its field is changed, by a customer that was chosen, too", () => {
  const errors = { name: "required", email: "required", subject: "required", "": "all of it" };
  assertEquals(errorsLeft(errors, EMPTY, { ...EMPTY, subject: "x" }), {
    name: "required",
    email: "required",
    "": "all of it",
  });
  assertEquals(errorsLeft(errors, EMPTY, withCustomer(EMPTY, ANN)), { subject: "required", "": "all of it" });
});

Deno.test("what was not chosen is not sent", () => {
  assertEquals(inputOf({ ...FULL, phone: " " }, "key"), {
    subject: "Beeping",
    description: "Since last night",
    category: "GENERAL",
    priority: "MEDIUM",
    contact: { name: "Bob", email: "bob@example.com", phone: null },
    idempotencyKey: "key",
  });
  const chosen = inputOf({ ...withCustomer(FULL, ANN), propertyId: "prp_1", technicianId: "tec_1" }, "key");
  assertEquals([chosen.customerId, chosen.propertyId, chosen.technicianId], ["cus_1", "prp_1", "tec_1"]);
});
