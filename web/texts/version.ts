import { version as english } from "./en/version.ts";
import { language } from "./language.ts";

export const version = language === "fr" ? (await import("./fr/version.ts")).version : english;
