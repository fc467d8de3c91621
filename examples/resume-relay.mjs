// Relay leaves subscribing again to its network, and graphql-ws does it with the first `after`, and so repeats messages.
// With this function each subscription continues after its last message:
//
//     Network.create(fetchQuery, resuming(createClient({ url, shouldRetry: () => true, retryAttempts: Infinity })))
//
// Select `cursor` in each type of the subscription's messages, and declare `$after: String`.
import relay from 'relay-runtime'

export const resuming = (client) => (operation, given) =>
  relay.Observable.create((sink) => {
    const variables = { ...given }
    const payload = { operationName: operation.name, query: operation.text, variables }
    return client.subscribe(payload, {
      next: (result) => {
        sink.next(result)
        const cursor = Object.values(result.data ?? {})[0]?.cursor
        if (cursor) variables.after = cursor // graphql-ws reads them anew for each connection
      },
      error: sink.error,
      complete: sink.complete,
    })
  })
