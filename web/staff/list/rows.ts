/** The rows that the list shows while the live window changes under the pointer.
 *
 * While somebody points at the rows, has the focus in them, or has scrolled, no row moves: rows change in place, those that
 * have left stay and are marked, and new ones wait to be asked for. Only then are there further pages below the window. */

export interface Edge<Node> {
  cursor: string;
  node: Node;
}

export interface Rows<Node> {
  edges: readonly Edge<Node>[];
  /** The page cursor of the list after the last row, where the next page begins; null if there are no rows. */
  end: string | null;
  /** The ids of shown rows that are not in the list any more. */
  left: ReadonlySet<string>;
  /** How many rows of the window are not shown. */
  waiting: number;
}

interface Versioned {
  id: string;
  version: number;
}

/** What to show when nothing is held: the window itself. */
export function released<Node>(window: readonly Edge<Node>[]): Rows<Node> {
  return { edges: window, end: window.at(-1)?.cursor ?? null, left: new Set(), waiting: 0 };
}

/** The rows that were shown, each where it was, after the window has changed. `gone` are tickets that have left it, but
 * for those that were `pushedOut`. */
export function held<Node extends Versioned>(
  rows: Rows<Node>,
  window: readonly Edge<Node>[],
  gone: ReadonlySet<string>,
): Rows<Node> {
  const now = new Map(window.map((edge) => [edge.node.id, edge]));
  const edges = rows.edges.map((edge) => newer(edge, now.get(edge.node.id)));
  const shown = idsOf(edges);
  const left = [...rows.left, ...gone].filter((id) => shown.has(id) && !now.has(id));
  return { ...rows, edges, left: new Set(left), waiting: window.filter(({ node }) => !shown.has(node.id)).length };
}

/** The rows with the page that follows them, each ticket once. `end` is the page cursor after the page. */
export function extended<Node extends Versioned>(
  rows: Rows<Node>,
  page: readonly Edge<Node>[],
  end: string | null,
): Rows<Node> {
  const shown = idsOf(rows.edges);
  const added = page.filter(({ node }) => !shown.has(node.id));
  return { ...rows, edges: [...rows.edges, ...added], end: end ?? rows.end };
}

/** The rows with tickets as they are now, each at the place where it was. */
export function replaced<Node extends Versioned>(
  edges: readonly Edge<Node>[],
  nodes: readonly Node[],
): readonly Edge<Node>[] {
  const now = new Map(nodes.map((node) => [node.id, node]));
  return edges.map((edge) => {
    const node = now.get(edge.node.id);
    return node === undefined ? edge : newer(edge, { cursor: edge.cursor, node });
  });
}

/** The rows that a full window has lost at its end, where others have come in before them: they are still in the list.
 * Both are windows of at most `size` rows. */
export function pushedOut<Node extends Versioned>(
  before: readonly Edge<Node>[],
  after: readonly Edge<Node>[],
  size: number,
): ReadonlySet<string> {
  if (after.length < size) return new Set();
  const now = idsOf(after);
  const kept = before.findLastIndex(({ node }) => now.has(node.id));
  return idsOf(before.slice(kept + 1));
}

/** The ids of the tickets that have left the list with this step of the window. */
export function goneWith<Node extends Versioned>(
  before: readonly Edge<Node>[],
  after: readonly Edge<Node>[],
  size: number,
): string[] {
  const [now, out] = [idsOf(after), pushedOut(before, after, size)];
  return before.map(({ node }) => node.id).filter((id) => !now.has(id) && !out.has(id));
}

function idsOf<Node extends { id: string }>(edges: readonly Edge<Node>[]): Set<string> {
  return new Set(edges.map(({ node }) => node.id));
}

function newer<Node extends Versioned>(edge: Edge<Node>, other: Edge<Node> | undefined): Edge<Node> {
  return other === undefined || other.node.version < edge.node.version ? edge : other;
}
