// Follows tickets with Apollo, urql or Relay and the example that lets it resume, with options given as JSON. It prints
// each message, and the end of each connection, as a line of JSON.
import './sockets.mjs'
import { createClient } from 'graphql-ws'

const CHANGES = `subscription Changes($filter: TicketFilter, $after: String) {
  ticketChanged(filter: $filter, after: $after) {
    __typename
    ... on TicketChange { cursor change ticketId at ticket { id version subject status } }
    ... on StreamReady { cursor resumed }
    ... on StreamReset { cursor reason }
  }
}`

const { kind, url, token, filter, cursor } = JSON.parse(process.argv[2])
const variables = { filter, after: cursor }
const client = createClient({
  url,
  connectionParams: { Authorization: `Bearer ${token}` },
  shouldRetry: () => true,
  retryAttempts: Infinity,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 300)),
})
const show = ({ data }) => console.log(JSON.stringify(data.ticketChanged))
const fail = (why) => {
  console.error('failed:', why)
  process.exit(1)
}

const clients = {
  async apollo() {
    const { ApolloClient, ApolloLink, InMemoryCache, gql } = await import('@apollo/client')
    const { GraphQLWsLink } = await import('@apollo/client/link/subscriptions')
    const { resume } = await import('./resume-apollo.mjs')
    const link = ApolloLink.from([resume, new GraphQLWsLink(client)])
    const apollo = new ApolloClient({ cache: new InMemoryCache(), link })
    apollo.subscribe({ query: gql(CHANGES), variables, fetchPolicy: 'no-cache' }).subscribe({ next: show, error: fail })
  },

  async urql() {
    const { Client, subscriptionExchange } = await import('@urql/core')
    const { resume } = await import('./resume-urql.mjs')
    const forwardSubscription = (request) => ({
      subscribe: (sink) => ({ unsubscribe: client.subscribe(request, sink) }),
    })
    const exchanges = [resume, subscriptionExchange({ forwardSubscription })]
    new Client({ url, exchanges, preferGetMethod: false })
      .subscription(CHANGES, variables)
      .subscribe((result) => (result.error ? fail(result.error) : show(result)))
  },

  async relay() {
    const { default: relay } = await import('relay-runtime')
    const { resuming } = await import('./resume-relay.mjs')
    const { Environment, Network, RecordSource, Store, createOperationDescriptor } = relay
    const network = Network.create(() => fail('no queries'), resuming(client))
    const environment = new Environment({ network, store: new Store(new RecordSource()) })
    const argumentDefinitions = ['filter', 'after'].map((name) => ({ kind: 'LocalArgument', name, defaultValue: null }))
    const request = { // as relay-compiler writes it, but that nothing of the answer is put into the store
      kind: 'Request',
      fragment: { kind: 'Fragment', name: 'Changes', type: 'Subscription', argumentDefinitions, selections: [] },
      operation: { kind: 'Operation', name: 'Changes', argumentDefinitions, selections: [] },
      params: { cacheID: 'changes', id: null, metadata: {}, name: 'Changes', operationKind: 'subscription', text: CHANGES },
    }
    const operation = createOperationDescriptor(request, variables)
    environment.executeSubscription({ operation }).subscribe({ next: show, error: fail })
  },
}

await clients[kind]()
