/** Filters of a list: what is chosen stands in the address. */

import { records as texts } from "../../texts/records.ts";

/** A filter, by the name of its parameter in the address. `initial` is what holds while the address says nothing; the
 * address says `all` for none. */
export type ListFilter =
  | { name: string; label: string; kind: "choice"; all: string; options: readonly Option[]; initial?: string }
  | { name: string; label: string; kind: "line" | "day" };

type Option = readonly [value: string, label: string];

/** A dropdown of a field's values, in the order of their labels. */
export function choice<Value extends string>(
  filter: { name: string; label: string; all: string; initial?: Value },
  labels: Readonly<Record<Value, string>>,
): ListFilter {
  return { ...filter, kind: "choice", options: Object.entries(labels) as [Value, string][] };
}

/** A chosen value as filters of the API have it: a list with it alone, or null. */
export function only<Value extends string>(value: string | undefined): Value[] | null {
  return value === undefined ? null : [value as Value];
}

/** What is chosen, by the names of the filters; those that let everything through are absent. */
export type Chosen = Readonly<Record<string, string>>;

const ALL = "all";
const DAY = /^\d{4}-\d\d-\d\d$/;

/** What the address chooses. What is unknown there is as if it were absent. */
export function chosenIn(query: Readonly<Record<string, string>>, filters: readonly ListFilter[]): Chosen {
  const chosen: Record<string, string> = {};
  for (const filter of filters) {
    const value = valueOf(filter, query[filter.name]);
    if (value !== undefined) chosen[filter.name] = value;
  }
  return chosen;
}

function valueOf(filter: ListFilter, given: string | undefined): string | undefined {
  if (filter.kind === "choice") {
    if (given === ALL) return undefined;
    return filter.options.find(([value]) => value === given?.toUpperCase())?.[0] ?? filter.initial;
  }
  if (filter.kind === "day") return given !== undefined && DAY.test(given) ? given : undefined;
  return given?.trim().slice(0, 200) || undefined;
}

/** The address of a list with these words and filters, without what holds anyway. */
export function listAddress(path: string, search: string, filters: readonly ListFilter[], chosen: Chosen): string {
  const query = new URLSearchParams();
  if (search !== "") query.set("q", search);
  for (const filter of filters) {
    const value = chosen[filter.name];
    const initial = filter.kind === "choice" ? filter.initial : undefined;
    if (value === initial) continue;
    query.set(filter.name, value === undefined ? ALL : filter.kind === "choice" ? value.toLowerCase() : value);
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

interface FiltersProps {
  filters: readonly ListFilter[];
  chosen: Chosen;
  choose: (chosen: Chosen) => void;
}

export function Filters({ filters, chosen, choose }: FiltersProps) {
  const set = (name: string, value: string) => {
    const { [name]: _, ...others } = chosen;
    choose(value === "" ? others : { ...others, [name]: value });
  };
  return (
    <>
      {filters.map((filter) => (
        <FilterControl
          key={filter.name}
          filter={filter}
          value={chosen[filter.name]}
          set={(value) => set(filter.name, value)}
        />
      ))}
    </>
  );
}

function FilterControl({ filter, value, set }: {
  filter: ListFilter;
  value: string | undefined;
  set: (value: string) => void;
}) {
  if (filter.kind === "choice") {
    return (
      <Choice
        label={filter.label}
        all={filter.all}
        value={value ?? null}
        options={filter.options}
        choose={(chosen) => set(chosen ?? "")}
      />
    );
  }
  const changed = (event: { currentTarget: HTMLInputElement }) => set(event.currentTarget.value.trim());
  if (filter.kind === "day") {
    return (
      <label class="filter-day">
        {filter.label} <input type="date" value={value ?? ""} data-chosen={value !== undefined} onChange={changed} />
      </label>
    );
  }
  return (
    <input
      class="filter-line"
      aria-label={filter.label}
      placeholder={filter.label}
      maxLength={200}
      value={value ?? ""}
      data-chosen={value !== undefined}
      onChange={changed}
    />
  );
}

interface ChoiceProps {
  label: string;
  all: string;
  value: string | null;
  options: readonly Option[];
  choose: (value: string | null) => void;
}

export function Choice({ label, all, value, options, choose }: ChoiceProps) {
  return (
    <select
      aria-label={label}
      value={value ?? ""}
      data-chosen={value !== null}
      onChange={(event) => choose(event.currentTarget.value || null)}
    >
      <option value="">{all}</option>
      {options.map(([key, name]) => <option key={key} value={key}>{name}</option>)}
    </select>
  );
}

/** Leads to the list without filters. */
export function ClearFilters({ path }: { path: string }) {
  return <a class="button" href={path}>{texts.clear}</a>;
}
