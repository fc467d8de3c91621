import { tech as english } from "./en/tech.ts";
import { language } from "./language.ts";

export const tech = language === "fr" ? (await import("./fr/tech.ts")).tech : english;
