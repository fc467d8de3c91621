import { people as english } from "./en/people.ts";
import { language } from "./language.ts";

export const people = language === "fr" ? (await import("./fr/people.ts")).people : english;
