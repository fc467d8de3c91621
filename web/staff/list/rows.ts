/** The rows that the list shows while the live window changes under the pointer.
 *
 * While somebody points at the rows, has the focus in them, or has scrolled, no row moves: rows change in place, those that
 * have left stay and are marked, and new ones wait to be asked for. */

export interface Edge<Node> {
  cursor: string;
  node: Node;
}

export interface Rows<Node> {
  edges: readonly Edge<Node>[];
  /** The ids of shown rows that are not in the window any more. */
  left: ReadonlySet<string>;
  /** How many rows of the window are not shown. */
  waiting: number;
}

interface WithId {
  id: string;
}

/** What to show of the window, given what was shown before. Unless they are `held`, the rows are the window's own. */
export function shown<Node extends WithId>(
  window: readonly Edge<Node>[],
  before: Rows<Node> | null,
  held: boolean,
): Rows<Node> {
  if (before === null || !held) return { edges: window, left: new Set(), waiting: 0 };
  const now = new Map(window.map((edge) => [edge.node.id, edge]));
  const edges = before.edges.map((edge) => now.get(edge.node.id) ?? edge);
  const ids = new Set(edges.map(({ node }) => node.id));
  return {
    edges,
    left: new Set([...ids].filter((id) => !now.has(id))),
    waiting: window.filter(({ node }) => !ids.has(node.id)).length,
  };
}

/** The rows with those of further pages below, each ticket once. */
export function withFurther<Node extends WithId>(
  first: readonly Edge<Node>[],
  further: readonly Edge<Node>[],
): readonly Edge<Node>[] {
  if (further.length === 0) return first;
  const ids = new Set(first.map(({ node }) => node.id));
  return [...first, ...further.filter(({ node }) => !ids.has(node.id))];
}
