/** A form that is open while a colleague changes the same object. */

/** What is in the form, and what was there when the person began. */
export interface Typed<Values> {
  values: Values;
  initial: Values;
}

/** The values that differ from those at the beginning. */
export function differing<Values extends object>(values: Values, initial: Values): Partial<Values> {
  const entries = Object.entries(values).filter(([name, value]) => value !== initial[name as keyof Values]);
  return Object.fromEntries(entries) as Partial<Values>;
}

/** The form with the object as it is now: what the person has changed stays, all else is the colleague's. */
export function merged<Values extends object>({ values, initial }: Typed<Values>, now: Values): Typed<Values> {
  return { values: { ...now, ...differing(values, initial) }, initial: now };
}
