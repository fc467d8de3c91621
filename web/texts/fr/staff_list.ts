import type { staffList as english } from "../en/staff_list.ts";
import { count, type Translated } from "../language.ts";

export const staffList: Translated<typeof english> = {
  title: "Billets",
  total: (number) => count(number, "billet", "billets"),
  columns: {
    reference: "Référence",
    subject: "Sujet",
    customer: "Client",
    priority: "Priorité",
    status: "État",
    created: "Date",
  },
};
