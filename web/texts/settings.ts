import { settings as english } from "./en/settings.ts";
import { language } from "./language.ts";

export const settings = language === "fr" ? (await import("./fr/settings.ts")).settings : english;
