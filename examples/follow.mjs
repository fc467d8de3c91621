// Follow tickets with graphql-ws: each change exactly once, through restarts of the server and lost connections.
//
//     npm install graphql graphql-ws
//
// Under Node before version 22, which has no WebSocket, set globalThis.WebSocket to the one of the package ws.
import { createClient } from 'graphql-ws'

const CHANGES = `subscription ($filter: TicketFilter, $after: String) {
  ticketChanged(filter: $filter, after: $after) {
    __typename
    ... on TicketChange { cursor change ticketId at ticket { id version subject status } }
    ... on StreamReady { cursor }
    ... on StreamReset { cursor reason }
  }
}`

// Runs until the function that it returns is called. `cursor` is the `streamCursor` of the list on display. `token`
// returns a valid token and is called for each connection. `show` receives each message; the cursor advances after it
// has returned. `failed` is called where connecting again would not help.
export function follow({ url, token, filter, cursor, show, failed }) {
  let end = () => {}
  let silence
  const client = createClient({
    url,
    lazy: false, // keeps the connection up by itself, so that each connection can have a subscription of its own
    connectionParams: async () => ({ Authorization: `Bearer ${await token()}` }),
    retryAttempts: Infinity,
    shouldRetry: () => true, // an outage is an error event, which is not retried by default
    retryWait: (retries) =>
      new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** retries, 30_000) * (0.5 + Math.random() / 2))),
    keepAlive: 15_000,
    onNonLazyError: failed,
    on: {
      connected: () => {
        end() // otherwise the client would repeat its last subscription, with that one's old cursor
        end = client.subscribe(
          { query: CHANGES, variables: { filter, after: cursor } },
          {
            next: ({ data }) => {
              show(data.ticketChanged)
              cursor = data.ticketChanged.cursor
            },
            error: failed,
            complete: () => {},
          },
        )
      },
      ping: (received) => {
        if (!received) silence = setTimeout(() => client.terminate(), 5_000)
      },
      pong: (received) => {
        if (received) clearTimeout(silence)
      },
      closed: () => clearTimeout(silence),
    },
  })
  return () => client.dispose()
}
