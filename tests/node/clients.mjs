// Runs real clients against a server, with options given as JSON, and prints what each of them has got, and what it has
// sent, as one JSON object.
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { BatchHttpLink } from '@apollo/client/link/batch-http'
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries'
import { Client, fetchExchange } from '@urql/core'
import { persistedExchange } from '@urql/exchange-persisted'
import { createHash, randomUUID } from 'node:crypto'

const { url, token } = JSON.parse(process.argv[2])
const headers = { authorization: `Bearer ${token}` }
const sha256 = (text) => createHash('sha256').update(text).digest('hex')
const fresh = () => `query Q${randomUUID().replaceAll('-', '')} { __typename me { role } }`

/** A fetch that notes the method of each request, and whether its document was in it. */
function noting(sent) {
  return (address, options) => {
    const method = options.method ?? 'GET'
    const query = method === 'GET' ? new URL(address).searchParams.has('query') : options.body.includes('"query":')
    sent.push(`${method} ${query ? 'document' : 'hash'}`)
    return fetch(address, options)
  }
}

async function apollo(useGETForHashedQueries) {
  const sent = []
  const link = new PersistedQueryLink({ sha256, useGETForHashedQueries })
  const http = new HttpLink({ uri: url, headers, fetch: noting(sent) })
  const client = new ApolloClient({ link: ApolloLink.from([link, http]), cache: new InMemoryCache() })
  const query = gql(fresh())
  const got = []
  for (const _ of [1, 2]) got.push((await client.query({ query, fetchPolicy: 'network-only' })).data.me.role)
  return { got, sent }
}

async function batched() {
  const sent = []
  const link = new BatchHttpLink({ uri: url, headers, fetch: noting(sent), batchMax: 5, batchInterval: 20 })
  const client = new ApolloClient({ link, cache: new InMemoryCache() })
  const queries = [1, 2, 3].map(() => client.query({ query: gql(fresh()) }))
  return { got: (await Promise.all(queries)).map(({ data }) => data.me.role), sent }
}

async function urql(preferGetForPersistedQueries) {
  const sent = []
  const exchanges = [persistedExchange({ generateHash: async (text) => sha256(text), preferGetForPersistedQueries }), fetchExchange]
  const client = new Client({ url, exchanges, fetchOptions: { headers }, fetch: noting(sent), preferGetMethod: false })
  const query = fresh()
  const got = []
  for (const _ of [1, 2]) {
    const { data, error } = await client.query(query, {}, { requestPolicy: 'network-only' }).toPromise()
    got.push(error ? String(error) : data.me.role)
  }
  return { got, sent }
}

console.log(
  JSON.stringify({
    apollo: await apollo(false),
    apolloByGet: await apollo(true),
    batched: await batched(),
    urql: await urql(false),
    urqlByGet: await urql(true),
  }),
)
