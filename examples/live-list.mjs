// Keep a list of tickets in step with graphql-ws: the server sends it once, then what changes in it.
//
//     npm install graphql graphql-ws
//
// Under Node before version 22, which has no WebSocket, set globalThis.WebSocket to the one of the package ws.
import { createClient } from 'graphql-ws'

const LIVE = `subscription ($filter: TicketFilter, $orderBy: [TicketOrder!], $first: Int) {
  ticketsLive(filter: $filter, orderBy: $orderBy, first: $first) {
    __typename
    ... on WindowSnapshot { totalCount edges { ...row } }
    ... on WindowPatch {
      totalCount
      operations {
        __typename
        ... on WindowInsert { index edge { ...row } }
        ... on WindowMove { from to edge { ...row } }
        ... on WindowReplace { index edge { ...row } }
        ... on WindowRemove { index }
      }
    }
  }
}
fragment row on TicketEdge { cursor node { id reference subject status priority } }`

// Returns the list of a snapshot, or of the message before, as it is after the patch.
export function applyPatch(edges, operations) {
  const list = [...edges]
  for (const { __typename, index, from, to, edge } of operations) {
    if (__typename === 'WindowInsert') list.splice(index, 0, edge)
    else if (__typename === 'WindowReplace') list[index] = edge
    else if (__typename === 'WindowRemove') list.splice(index, 1)
    else {
      list.splice(from, 1)
      list.splice(to, 0, edge)
    }
  }
  return list
}

// Runs until the function that it returns is called. `token` returns a valid token and is called for each connection.
// `show` receives the list and its total whenever one of them has changed. `failed` is called where connecting again
// would not help. The client subscribes again by itself, and each subscription starts with a snapshot, so there is
// nothing to remember.
export function keep({ url, token, variables, show, failed }) {
  let edges = []
  let silence
  const client = createClient({
    url,
    connectionParams: async () => ({ Authorization: `Bearer ${await token()}` }),
    retryAttempts: Infinity,
    shouldRetry: () => true, // an outage is an error event, which is not retried by default
    retryWait: (retries) =>
      new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** retries, 30_000) * (0.5 + Math.random() / 2))),
    keepAlive: 15_000,
    on: {
      ping: (received) => {
        if (!received) silence = setTimeout(() => client.terminate(), 5_000)
      },
      pong: (received) => {
        if (received) clearTimeout(silence)
      },
      closed: () => clearTimeout(silence),
    },
  })
  client.subscribe(
    { query: LIVE, variables },
    {
      next: ({ data: { ticketsLive: message } }) => {
        edges = message.__typename === 'WindowSnapshot' ? message.edges : applyPatch(edges, message.operations)
        show(edges, message.totalCount)
      },
      error: failed,
      complete: () => {},
    },
  )
  return () => client.dispose()
}
