import { portal as english } from "./en/portal.ts";
import { language } from "./language.ts";

export const portal = language === "fr" ? (await import("./fr/portal.ts")).portal : english;
