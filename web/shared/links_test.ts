import { assertEquals } from "./testing.ts";
import { call, directions, mailTo, pieces } from "./links.ts";

function links(text: string): string[] {
  return pieces(text).flatMap(({ text, href }) => href === null ? [] : [text]);
}

Deno.test("addresses of pages and of mail become links", () => {
  assertEquals(pieces("See https://example.com/a, or ask ann@example.com."), [
    { text: "See ", href: null },
    { text: "https://example.com/a", href: "https://example.com/a" },
    { text: ", or ask ", href: null },
    { text: "ann@example.com", href: "mailto:ann@example.com" },
    { text: ".", href: null },
  ]);
});

Deno.test("a link ends before the punctuation of its sentence, but keeps its own brackets", () => {
  assertEquals(links("(https://example.com/a_(b)) https://example.com/c!?"), [
    "https://example.com/a_(b)",
    "https://example.com/c",
  ]);
});

Deno.test("nothing but http, https and mail becomes a link", () => {
  for (const text of ["javascript:alert(1)", "data:text/html,x", "//example.com", "file:///etc", "ftp://a.example"]) {
    assertEquals(links(text), []);
  }
});

Deno.test("a link does not contain what changes the direction of a text", () => {
  assertEquals(links("https://example.com/\u202egpj.exe"), ["https://example.com/"]);
});

Deno.test("whatever is written, the pieces are the text", () => {
  const texts = [
    "",
    "<script>alert(1)</script>",
    "http://",
    "https://[",
    "a@b",
    "@@",
    "x".repeat(5_000),
    "ا http://a.b",
  ];
  for (const text of texts) assertEquals(pieces(text).map((piece) => piece.text).join(""), text);
});

Deno.test("a very long text is split in a moment", () => {
  const start = performance.now();
  for (const part of ["a", "a@", "http://", "a.", ".", ")", "(", "a-"]) pieces(part.repeat(20_000 / part.length));
  if (performance.now() - start > 5_000) throw new Error("takes too long");
});

Deno.test("an address cannot add recipients, nor a number anything but digits", () => {
  assertEquals(mailTo("a@example.com?bcc=b@example.com"), "mailto:a@example.com%3Fbcc%3Db@example.com");
  assertEquals([call("+1 (613) 555-1234"), call("*#06#;x"), call("none")], ["tel:+16135551234", "tel:06", null]);
  assertEquals(directions("1 Main & Co").endsWith("destination=1%20Main%20%26%20Co"), true);
});
