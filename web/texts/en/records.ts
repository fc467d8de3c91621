import { count } from "../language.ts";

export const records = {
  search: "Search",
  more: "Show more",
  none: "Nothing found",
  otherWords: "Try other words.",
  save: "Save",
  saved: "Saved",
  missing: "It does not exist any more",
  tickets: (number: number) => count(number, "ticket", "tickets"),
  theirs: (value: string) => `A colleague has changed this meanwhile: ${value}. If you save, yours replaces it.`,
  on: "on",
  off: "off",
  empty: "nothing",
  customers: {
    title: "Customers",
    new: "New customer",
    add: "Add the customer",
    searchHint: "Name, e-mail or account number",
    total: (number: number) => count(number, "customer", "customers"),
    onFile: "On file",
    name: "Name",
    email: "Email",
    phone: "Phone",
    accountNumber: "Account number",
    properties: "Properties",
    addProperty: "Add a property",
    address: "Address",
    accessNotes: "Access notes",
    erased: "This customer's data were erased.",
  },
  properties: {
    title: "Properties",
    searchHint: "Address or account number",
    total: (number: number) => count(number, "property", "properties"),
    added: "A property is added on its customer's page.",
    of: "A property of",
    directions: "Directions",
    accessNotesHint: "Where the key is, whom to call, which dog: technicians see it, customers do not.",
  },
  erasure: {
    title: "Erase this customer's personal data",
    what: "For a customer who has asked for it. This cannot be undone:",
    steps: `The name, e-mail address, phone and account number are replaced by placeholders.
So are the addresses and account numbers of their properties; the access notes are deleted.
Their tickets stay, but the contact details are replaced there too, and wherever else they are written: in notes, mails, articles and the audit trail.
All files on their tickets are deleted within two days.
They cannot sign in any more.
First names by themselves, nicknames and misspellings are not recognised: change such texts before. Mail that was sent, and backups, are not reached.
A customer with open tickets cannot be erased. Resolve or close them first.`,
    confirm: (accountNumber: string) => `To confirm, type the account number ${accountNumber}`,
    different: (accountNumber: string) => `This is not the account number. Type ${accountNumber}.`,
    erase: "Erase for good",
    look: "See how far the erasure is",
    done: "Everything has been erased.",
    left: (number: number) =>
      `The server goes on erasing: ${count(number, "ticket is", "tickets are")} left, then the rest is searched.`,
  },
  articles: {
    title: "Knowledge Base",
    new: "New article",
    add: "Add the article",
    searchHint: "What the article is about",
    total: (number: number) => count(number, "article", "articles"),
    problem: "Problem",
    solution: "Solution",
    publish: "Published: customers and the chatbot find it",
    published: "Published",
    draft: "Not published",
    source: "From ticket",
  },
};
