// Apollo Client subscribes again with the first `after` when its connection comes back, and so repeats messages. With
// this link before its GraphQLWsLink each subscription continues after its last message:
//
//     link: ApolloLink.from([resume, new GraphQLWsLink(createClient({ url, shouldRetry: () => true, retryAttempts: Infinity }))])
//
// Select `cursor` in each type of the subscription's messages, and declare `$after: String`.
import { ApolloLink, Observable } from '@apollo/client'

export const resume = new ApolloLink((operation, forward) => {
  const variables = { ...operation.variables }
  operation.variables = variables // graphql-ws reads them anew for each connection
  return new Observable((observer) =>
    forward(operation).subscribe({
      next: (result) => {
        observer.next(result)
        const cursor = Object.values(result.data ?? {})[0]?.cursor
        if (cursor) variables.after = cursor
      },
      error: (error) => observer.error(error),
      complete: () => observer.complete(),
    }),
  )
})
