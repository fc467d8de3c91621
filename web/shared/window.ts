/** A live window: the first rows of a list, kept in step with it by snapshots and patches (`ticketsLive`). */

/** One operation of a `WindowPatch`. */
export type Operation<Edge> =
  | { __typename: "WindowInsert"; index: number; edge: Edge }
  | { __typename: "WindowMove"; from: number; to: number; edge: Edge }
  | { __typename: "WindowReplace"; index: number; edge: Edge }
  | { __typename: "WindowRemove"; index: number };

/** Returns the rows after the operations, applied in order. */
export function patched<Edge>(edges: readonly Edge[], operations: readonly Operation<Edge>[]): Edge[] {
  const rows = [...edges];
  for (const operation of operations) {
    switch (operation.__typename) {
      case "WindowInsert":
        rows.splice(operation.index, 0, operation.edge);
        break;
      case "WindowMove":
        rows.splice(operation.from, 1);
        rows.splice(operation.to, 0, operation.edge);
        break;
      case "WindowReplace":
        rows[operation.index] = operation.edge;
        break;
      case "WindowRemove":
        rows.splice(operation.index, 1);
        break;
    }
  }
  return rows;
}
