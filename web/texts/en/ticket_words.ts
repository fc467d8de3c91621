/** The words for what a ticket has. */
export const ticketWords = {
  status: { OPEN: "Open", IN_PROGRESS: "In Progress", RESOLVED: "Resolved", CLOSED: "Closed" },
  priority: { LOW: "Low", MEDIUM: "Medium", HIGH: "High", URGENT: "Urgent" },
  priorityHelp: {
    LOW: "Minor issue, no rush",
    MEDIUM: "Standard priority",
    HIGH: "Needs prompt attention",
    URGENT: "Critical: system down or security breach",
  },
  category: {
    ALARM: "Alarm",
    CCTV: "CCTV",
    ACCESS_CONTROL: "Access Control",
    INTERCOM: "Intercom",
    GENERAL: "General",
  },
  source: {
    ADMIN: "by an admin",
    TECHNICIAN: "by a technician",
    CHATBOT: "by the chatbot",
    EMAIL: "by e-mail",
    CUSTOMER: "by the customer",
  },
  actor: { ADMIN: "Admin", TECHNICIAN: "Technician", CUSTOMER: "Customer", SERVICE: "Service", SYSTEM: "System" },
  unassigned: "Unassigned",
};
