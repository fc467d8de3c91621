import { audit as english } from "./en/audit.ts";
import { language } from "./language.ts";

export const audit = language === "fr" ? (await import("./fr/audit.ts")).audit : english;
