import { ticketWords as english } from "./en/ticket_words.ts";
import { language } from "./language.ts";

export const ticketWords = language === "fr" ? (await import("./fr/ticket_words.ts")).ticketWords : english;
