/** Two people who change the same at the same time. */

/** The fields that the person has changed and a colleague has set to something else meanwhile. `initial` is what the
 * person began with, `now` what is saved. */
export function overtaken<Values extends object>(
  values: Values,
  initial: Values,
  now: Values,
): (keyof Values & string)[] {
  const names = Object.keys(values) as (keyof Values & string)[];
  return names.filter((name) =>
    values[name] !== initial[name] && now[name] !== initial[name] && now[name] !== values[name]
  );
}
