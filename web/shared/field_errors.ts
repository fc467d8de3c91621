/** What the server objects to, at the fields of a form. */

/** An error of a mutation. `field` is the path of an input, such as `input.contact.email`. */
export interface UserError {
  field: readonly string[];
  message: string;
}

/** Messages by the name of their field; "" has what concerns no field of the form. */
export type FieldErrors<Name extends string = string> = Partial<Record<Name | "", string>>;

/** The errors by the last part of their path. Those of fields that the form does not have are joined under "". */
export function errorsByField<Name extends string>(
  errors: readonly UserError[],
  names: readonly Name[],
): FieldErrors<Name> {
  const found: FieldErrors<Name> = {};
  for (const { field, message } of errors) {
    const name = names.find((one) => one === field.at(-1)) ?? "";
    found[name] = found[name] === undefined ? message : `${found[name]} ${message}`;
  }
  return found;
}
