// The IDE in the browser: GraphiQL, with the token and the examples that the page has from the server
// (`callout/http/ide.py`). The page's address has the query and the variables of the tab on display, so that it can be
// reloaded, kept and passed on. Headers are neither in the address nor in the browser's storage.
import 'graphiql/style.css'
import { createGraphiQLFetcher } from '@graphiql/toolkit'
import { GraphiQL } from 'graphiql'
import { parse } from 'graphql'
import { createElement } from 'react'
import { createRoot } from 'react-dom/client'

const PREFIX = 'callout:'
const ADDRESS_MAX = 8_000 // characters; a server or proxy may refuse more

const { token, examples } = JSON.parse(document.getElementById('config').textContent)
const endpoint = new URL(location.pathname, location.href).href
const headers = JSON.stringify({ Authorization: `Bearer ${token ?? ''}` }, null, 2)
const asked = new URLSearchParams(location.search)
const query = asked.get('query') ?? undefined
const variables = query && (asked.get('variables') ?? '')

globalThis.MonacoEnvironment = {
  getWorker: (_, label) => {
    const name = ['json', 'graphql'].includes(label) ? label : 'editor'
    return new Worker(new URL(`./${name}.worker.js`, import.meta.url), { type: 'module' })
  },
}

// GraphiQL's history keeps headers. Here it keeps none, and what is taken from it gets those of this page.
const HISTORIES = ['graphiql:queries', 'graphiql:favorites']
const withHeaders = (history, headers) =>
  JSON.stringify(JSON.parse(history, (key, value) => (key === 'headers' ? headers : value)))

// Under names of our own, because other programs on this host and port may have a GraphiQL too.
const storage = {
  get length() {
    return localStorage.length
  },
  getItem: (name) => {
    const value = localStorage.getItem(PREFIX + name)
    return value && HISTORIES.includes(name) ? withHeaders(value, headers) : value
  },
  setItem: (name, value) =>
    localStorage.setItem(PREFIX + name, HISTORIES.includes(name) ? withHeaders(value, null) : value),
  removeItem: (name) => localStorage.removeItem(PREFIX + name),
  clear: () =>
    Object.keys(localStorage)
      .filter((name) => name.startsWith(PREFIX))
      .forEach((name) => localStorage.removeItem(name)),
}

function showInAddress({ tabs, activeTabIndex }) {
  const { query, variables } = tabs[activeTabIndex]
  const address = new URL(location.pathname, location.href)
  if (query?.trim()) address.searchParams.set('query', query)
  if (query?.trim() && variables?.trim()) address.searchParams.set('variables', variables)
  if (address.href.length > ADDRESS_MAX) address.search = ''
  history.replaceState(null, '', address)
}

const send = createGraphiQLFetcher({
  url: endpoint,
  subscriptionUrl: endpoint.replace(/^http/, 'ws'),
  enableIncrementalDelivery: false,
})

// Just after another tab was chosen, GraphiQL still has the name and the tree of the last one's operation.
function fetcher(request, options) {
  let documentAST
  try {
    documentAST = parse(request.query)
  } catch {
    return send(request, options) // the server says what is wrong
  }
  const names = documentAST.definitions.filter(({ operation }) => operation).map(({ name }) => name?.value)
  const operationName = names.includes(request.operationName) ? request.operationName : names[0]
  return send({ ...request, operationName }, { ...options, documentAST })
}

const tabs = examples.map((query) => ({ query, headers }))

createRoot(document.getElementById('ide')).render(
  createElement(
    GraphiQL,
    {
      fetcher,
      storage,
      initialQuery: query,
      initialVariables: variables,
      defaultHeaders: headers,
      defaultTabs: query ? [{ query, variables, headers }, ...tabs] : tabs,
      defaultEditorToolsVisibility: 'headers',
      showPersistHeadersSettings: false,
      inputValueDeprecation: true,
      onTabChange: showInAddress,
    },
    createElement(GraphiQL.Logo, null, 'Callout'),
  ),
)
