import { staffList as english } from "./en/staff_list.ts";
import { language } from "./language.ts";

export const staffList = language === "fr" ? (await import("./fr/staff_list.ts")).staffList : english;
