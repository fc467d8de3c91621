// Composes the schema in a file with that of another subgraph, which extends the entities, and prints the supergraph.
import { readFileSync } from 'node:fs'
import { composeServices } from '@apollo/composition'
import { parse } from 'graphql'

const fleet = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
  type Query { van(plate: String!): Van }
  type Van { plate: String! driver: Technician parkedAt: Property }
  type Ticket @key(fields: "id") { id: ID! warranty: String }
  type Customer @key(fields: "id") { id: ID! invoices: [String!]! }
  type Property @key(fields: "id", resolvable: false) { id: ID! }
  type Technician @key(fields: "id", resolvable: false) { id: ID! }
`

const { errors = [], supergraphSdl } = composeServices([
  { name: 'callout', url: 'http://127.0.0.1/graphql', typeDefs: parse(readFileSync(process.argv[2], 'utf8')) },
  { name: 'fleet', url: 'http://127.0.0.1:1/graphql', typeDefs: parse(fleet) },
])
console.log(JSON.stringify({ errors: errors.map(String), supergraph: supergraphSdl }))
