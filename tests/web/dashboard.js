// A dashboard without a library, as `test_other_origins.py` opens it from a port of its own. `api` is the URL of the API,
// and `token` is the viewer's. The followers push each message to `received`, and connect again whenever they are cut off.
const PAUSE = 200
const CHANGES = `subscription ($filter: TicketFilter, $after: String) {
  ticketChanged(filter: $filter, after: $after) {
    __typename
    ... on TicketChange { cursor change ticketId }
    ... on StreamReady { cursor resumed }
    ... on StreamReset { cursor reason }
  }
}`

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE))
const headers = (token, more) => ({ 'content-type': 'application/json', authorization: `Bearer ${token}`, ...more })

window.received = { socket: [], fetch: [], events: [] }
window.failures = { socket: 0, fetch: 0, events: 0 }

window.ask = async ({ api, token, query, variables, more }) => {
  const body = JSON.stringify({ query, variables })
  const answer = await fetch(`${api}/graphql`, { method: 'POST', headers: headers(token, more), body })
  return { status: answer.status, requestId: answer.headers.get('x-request-id'), body: await answer.json() }
}

// The body of a form, or of a request that a browser sends without asking first. The page cannot read the answer.
window.sendSimply = async ({ url, method, type, body }) => {
  await fetch(url, { method, mode: 'no-cors', headers: type && { 'content-type': type }, body })
}

window.followBySocket = async ({ api, token, filter, after }) => {
  for (;;) {
    await new Promise((resolve) => {
      const socket = new WebSocket(`${api.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
      const send = (message) => socket.send(JSON.stringify(message))
      socket.onopen = () => send({ type: 'connection_init', payload: { Authorization: `Bearer ${token}` } })
      socket.onmessage = ({ data }) => {
        const { type, payload } = JSON.parse(data)
        if (type === 'connection_ack')
          send({ id: '1', type: 'subscribe', payload: { query: CHANGES, variables: { filter, after } } })
        else if (type === 'ping') send({ type: 'pong' })
        else if (type === 'next') {
          received.socket.push(payload.data.ticketChanged)
          after = payload.data.ticketChanged.cursor
        }
      }
      socket.onclose = resolve
    })
    failures.socket++
    await pause()
  }
}

// Sends the same request each time, with the id of the last event.
window.followByFetch = async ({ api, token, filter, after }) => {
  const body = JSON.stringify({ query: CHANGES, variables: { filter, after } })
  let lastId
  for (;;) {
    try {
      const more = { accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) }
      const answer = await fetch(`${api}/graphql/stream`, { method: 'POST', headers: headers(token, more), body })
      let text = ''
      for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
        const events = (text + part).split('\n\n')
        text = events.pop()
        for (const event of events) {
          const fields = Object.fromEntries(event.split('\n').map((line) => line.split(/: ?(.*)/s, 2)))
          if (fields.event !== 'next') continue
          received.fetch.push(JSON.parse(fields.data).data.ticketChanged)
          lastId = fields.id
        }
      }
    } catch {}
    failures.fetch++
    await pause()
  }
}

window.followByEventSource = async ({ api, token, filter, after, ticket }) => {
  for (;;) {
    try {
      const streamTicket = ticket ?? (await ticketOf({ api, token }))
      const variables = JSON.stringify({ filter, after })
      await new Promise((resolve) => {
        const events = new EventSource(
          `${api}/graphql/stream?${new URLSearchParams({ query: CHANGES, variables, streamTicket })}`,
        )
        events.addEventListener('next', ({ data, lastEventId }) => {
          received.events.push(JSON.parse(data).data.ticketChanged)
          after = lastEventId
        })
        events.onerror = () => resolve(events.close())
      })
    } catch {}
    failures.events++
    await pause()
  }
}

const ticketOf = async ({ api, token }) => {
  const answer = await fetch(`${api}/graphql/stream/ticket`, { method: 'POST', headers: headers(token) })
  return (await answer.json()).streamTicket
}
