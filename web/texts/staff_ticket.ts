import { staffTicket as english } from "./en/staff_ticket.ts";
import { language } from "./language.ts";

export const staffTicket = language === "fr" ? (await import("./fr/staff_ticket.ts")).staffTicket : english;
