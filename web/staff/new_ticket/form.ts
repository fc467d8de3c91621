/** The form of a new ticket: what is in it, what is wrong with it, and what is sent. */

import type { FieldErrors } from "../../shared/field_errors.ts";
import type { NewTicketCustomerFragment, TicketCategory, TicketCreateInput, TicketPriority } from "../operations.ts";

export type Customer = NewTicketCustomerFragment;

export interface Form {
  customer: Customer | null;
  propertyId: string;
  name: string;
  email: string;
  phone: string;
  subject: string;
  description: string;
  category: TicketCategory;
  priority: TicketPriority;
  technicianId: string;
  /** What was sent last, if nobody knows yet whether it has arrived. */
  sent: TicketCreateInput | null;
}

export const EMPTY: Form = {
  customer: null,
  propertyId: "",
  name: "",
  email: "",
  phone: "",
  subject: "",
  description: "",
  category: "GENERAL",
  priority: "MEDIUM",
  technicianId: "",
  sent: null,
};

/** The fields in the order of the form; an error elsewhere is the whole form's. */
export const FIELDS = [
  "customerId",
  "propertyId",
  "name",
  "email",
  "phone",
  "subject",
  "description",
  "category",
  "priority",
  "technicianId",
] as const;
export type FieldName = typeof FIELDS[number];
export type Errors = FieldErrors<FieldName>;

/** The most characters of each text. */
export const LENGTHS = { name: 200, email: 254, phone: 40, subject: 200, description: 20_000 } as const;

export interface ErrorTexts {
  required: string;
  email: string;
  tooLong: (most: number) => string;
}

/** What is wrong with the form, all at once, as far as that can be said without the server. */
export function errorsOf(form: Form, texts: ErrorTexts): Errors {
  const errors: Errors = {};
  for (const name of ["name", "email", "subject", "description"] as const) {
    if (form[name].trim() === "") errors[name] = texts.required;
  }
  if (errors.email === undefined && !/^[^\s@]+@[^\s@]+$/.test(form.email.trim())) errors.email = texts.email;
  for (const name of Object.keys(LENGTHS) as (keyof typeof LENGTHS)[]) {
    if ([...form[name]].length > LENGTHS[name]) errors[name] = texts.tooLong(LENGTHS[name]);
  }
  return errors;
}

/** The errors of the fields that are as they were when the form was `checked`; those of others may be mended. */
export function errorsLeft(errors: Errors, checked: Form, form: Form): Errors {
  const left: Errors = { ...errors };
  for (const name of FIELDS) {
    const valueIn = (one: Form) => name === "customerId" ? one.customer?.id : one[name];
    if (valueIn(checked) !== valueIn(form)) delete left[name];
  }
  return left;
}

/** The form with the customer's details, which take the place of what was typed. */
export function withCustomer(form: Form, customer: Customer): Form {
  const { name, email, phone } = customer;
  return { ...form, customer, propertyId: "", name, email, phone: phone ?? "" };
}

/** The form without its customer. Their details go too, but for what was typed over them. */
export function withoutCustomer(form: Form): Form {
  const { customer } = form;
  const kept = (typed: string, filled: string | null | undefined) => typed === (filled ?? "") ? "" : typed;
  return {
    ...form,
    customer: null,
    propertyId: "",
    name: kept(form.name, customer?.name),
    email: kept(form.email, customer?.email),
    phone: kept(form.phone, customer?.phone),
  };
}

export function inputOf(form: Form, idempotencyKey: string): TicketCreateInput {
  const { customer, propertyId, technicianId, category, priority } = form;
  return {
    subject: form.subject.trim(),
    description: form.description.trim(),
    category,
    priority,
    contact: { name: form.name.trim(), email: form.email.trim(), phone: form.phone.trim() || null },
    ...(customer !== null && { customerId: customer.id }),
    ...(propertyId !== "" && { propertyId }),
    ...(technicianId !== "" && { technicianId }),
    idempotencyKey,
  };
}
