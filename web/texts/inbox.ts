import { inbox as english } from "./en/inbox.ts";
import { language } from "./language.ts";

export const inbox = language === "fr" ? (await import("./fr/inbox.ts")).inbox : english;
