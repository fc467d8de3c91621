import { assertEquals } from "./testing.ts";
import css from "../design/tokens.css" with { type: "text" };

/** The colours of a token, in the light and in the dark theme. */
function colours(name: string): [string, string] {
  const found = css.match(new RegExp(`--color-${name}: light-dark\\((#\\w{6}), (#\\w{6})\\)`))!;
  return [found[1]!, found[2]!];
}

/** The contrast of two colours, from 1 to 21, as WCAG 2 defines it. */
function contrast(one: string, other: string): number {
  const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (lighter + 0.05) / (darker + 0.05);
}

function luminance(colour: string): number {
  const parts = [1, 3, 5].map((index) => parseInt(colour.slice(index, index + 2), 16) / 255);
  const [red, green, blue] = parts.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

Deno.test("the borders of fields can be seen on all that is behind them", () => {
  const weak = ["page", "surface", "raised"].flatMap((behind) =>
    [0, 1].filter((theme) => contrast(colours("line-strong")[theme]!, colours(behind)[theme]!) < 3).map((theme) =>
      `${behind} ${theme}`
    )
  );
  assertEquals(weak, []);
});
