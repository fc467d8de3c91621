import { assertEquals } from "../../shared/testing.ts";
import { overtaken } from "./overtaken.ts";

Deno.test("a colleague's change counts where the person has changed the same field to something else", () => {
  const initial = { name: "Ann", email: "a@x.example", phone: "1", active: true };
  const values = { name: "Anne", email: "b@x.example", phone: "1", active: false };
  assertEquals(overtaken(values, initial, { name: "Anna", email: "b@x.example", phone: "2", active: true }), ["name"]);
});
