import { records as english } from "./en/records.ts";
import { language } from "./language.ts";

export const records = language === "fr" ? (await import("./fr/records.ts")).records : english;
