// urql subscribes again with the first `after` when its connection comes back, and so repeats messages. With this
// exchange before its subscriptionExchange each subscription continues after its last message:
//
//     exchanges: [resume, subscriptionExchange({ forwardSubscription: (request) => ({
//       subscribe: (sink) => ({ unsubscribe: client.subscribe(request, sink) }) }) })]
//
// where `client` is graphql-ws's createClient({ url, shouldRetry: () => true, retryAttempts: Infinity }). Select `cursor`
// in each type of the subscription's messages, and declare `$after: String`.
import { map, pipe, tap } from 'wonka'

export const resume = ({ forward }) => (operations) =>
  pipe(
    operations,
    map((operation) =>
      operation.kind === 'subscription' ? { ...operation, variables: { ...operation.variables } } : operation,
    ),
    forward,
    tap(({ operation, data }) => {
      const cursor = operation.kind === 'subscription' && Object.values(data ?? {})[0]?.cursor
      if (cursor) operation.variables.after = cursor // graphql-ws reads them anew for each connection
    }),
  )
