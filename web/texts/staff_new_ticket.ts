import { staffNewTicket as english } from "./en/staff_new_ticket.ts";
import { language } from "./language.ts";

export const staffNewTicket = language === "fr" ? (await import("./fr/staff_new_ticket.ts")).staffNewTicket : english;
