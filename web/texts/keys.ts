import { keys as english } from "./en/keys.ts";
import { language } from "./language.ts";

export const keys = language === "fr" ? (await import("./fr/keys.ts")).keys : english;
