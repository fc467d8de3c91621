/** The language of the console: what the person has chosen, or else the first that the browser asks for. */

export const LANGUAGES = ["en", "fr"] as const;
export type Language = typeof LANGUAGES[number];

const CHOICE = "callout.language";

function chosen(): Language {
  const wanted = [localStorage.getItem(CHOICE) ?? "", ...navigator.languages];
  for (const tag of wanted) {
    const found = LANGUAGES.find((one) => tag.toLowerCase().startsWith(one));
    if (found !== undefined) return found;
  }
  return "en";
}

export const language: Language = typeof document === "undefined" ? "en" : chosen();

/** The tag for `Intl`: Canada's, whose dates and phone numbers these are. */
export const locale = language === "fr" ? "fr-CA" : "en-CA";

/** Changes the language, and loads the page in it. */
export function choose(wanted: Language): void {
  localStorage.setItem(CHOICE, wanted);
  location.reload();
}

const rules = new Intl.PluralRules(locale);
const numbers = new Intl.NumberFormat(locale);

/** The number as it is written in the language. */
export function numberOf(number: number): string {
  return numbers.format(number);
}

/** The form of a text that fits the number: `count(2, "ticket", "tickets")` is “2 tickets”. */
export function count(number: number, one: string, other: string): string {
  return `${numbers.format(number)} ${rules.select(number) === "one" ? one : other}`;
}

/** The shape of a catalogue, for its translation: the same keys, with other texts. */
export type Translated<Catalogue> = {
  [Key in keyof Catalogue]: Catalogue[Key] extends string ? string
    : Catalogue[Key] extends (...given: infer Given) => string ? (...given: Given) => string
    : Translated<Catalogue[Key]>;
};
