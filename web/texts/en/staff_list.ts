import { count } from "../language.ts";

export const staffList = {
  title: "Tickets",
  total: (number: number) => count(number, "ticket", "tickets"),
  columns: {
    reference: "Reference",
    subject: "Subject",
    customer: "Customer",
    priority: "Priority",
    status: "Status",
    created: "Date",
  },
};
