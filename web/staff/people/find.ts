/** Finds people among all that there are: the company has some dozens of technicians and admins. */

const MOST_PAGES = 20;

interface Page<Person> {
  nodes: Person[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

interface Person {
  name: string;
  email: string;
  phone?: string | null;
}

/** Those whose name, address or number has all of the words, as one page. `read` reads a page of all. */
export async function findPeople<Found extends Person>(
  search: string | null,
  read: (after: string | null) => Promise<Page<Found>>,
): Promise<Page<Found> & { totalCount: number }> {
  const found: Found[] = [];
  let after: string | null = null;
  for (let number = 0; number < MOST_PAGES; number++) {
    const page: Page<Found> = await read(after);
    found.push(...page.nodes.filter((person) => isFound(person, search ?? "")));
    after = page.pageInfo.endCursor;
    if (!page.pageInfo.hasNextPage) break;
  }
  return { totalCount: found.length, nodes: found, pageInfo: { hasNextPage: false, endCursor: null } };
}

/** Whether all words occur, without regard to case, accents, and what stands between digits of a number. */
export function isFound({ name, email, phone }: Person, search: string): boolean {
  const text = plain(`${name} ${email} ${phone ?? ""}`);
  const digits = (phone ?? "").replace(/\D/g, "");
  return plain(search).split(/\s+/).every((word) =>
    text.includes(word) || (/^[\d().+-]*\d[\d().+-]*$/.test(word) && digits.includes(word.replace(/\D/g, "")))
  );
}

function plain(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}
