import { webhooks as english } from "./en/webhooks.ts";
import { language } from "./language.ts";

export const webhooks = language === "fr" ? (await import("./fr/webhooks.ts")).webhooks : english;
