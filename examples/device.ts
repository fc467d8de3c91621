// A device client that works offline: it keeps a copy of the technician's tickets and a queue of what was done.
//
//     const device = await Device.open('callout', 'https://callout.example.com', () => token)
//     await device.do('note', { ticketId, body: 'The key is here.' })
//     await device.sync()
//
// Both are in one IndexedDB database, so the page can be closed at any time. `sync` takes two requests: it sends the
// queue, and follows the tickets from the last cursor on until nothing is missing. It needs nothing but a browser.

export type Kind = 'note' | 'status' | 'resolve' | 'assignment' | 'attachment' | 'propertyAccessNote'
export type Given = { ticketId?: string; status?: string; resolution?: string; [name: string]: unknown }
export type Command = { [kind in Kind]?: Given & { key: string } }
export type Ticket = Record<'id' | 'reference' | 'subject' | 'description' | 'status' | 'priority', string> & {
  version: number
  resolution: string | null
}
export type Result = {
  key: string
  outcome: 'APPLIED' | 'REPLAYED' | 'CONFLICT' | 'REJECTED'
  conflicts: string[]
  ticket: Ticket | null
  userErrors: { message: string }[]
}
type Queued = { place?: number; key: string; command: Command; result: Result | null }
type Change = { __typename: 'TicketChange'; cursor: string; change: string; ticketId: string; ticket: Ticket | null }
type Message = Change | { __typename: 'StreamReady' | 'StreamReset'; cursor: string }
type Stores = Record<(typeof STORES)[number], IDBObjectStore>

const MINE = { assignee: { me: true }, not: { status: ['CLOSED'] } }
const STORES = ['state', 'tickets', 'commands'] as const
const COMMANDS_MAX = 100
const REQUEST_MAX = 30_000 // ms
const PASSING = ['RATE_LIMITED', 'BUSY', 'TIMEOUT', 'UNAVAILABLE', 'INTERNAL']
const MALFORMED = ['BAD_REQUEST', 'BAD_USER_INPUT', 'BODY_TOO_LARGE']
const TICKET = 'fragment ticket on Ticket { id version reference subject description status priority resolution }'
const LIST = `query ($filter: TicketFilter, $after: String) {
  tickets(filter: $filter, first: 100, after: $after) {
    streamCursor pageInfo { hasNextPage endCursor } nodes { ...ticket } } } ${TICKET}`
const APPLY = `mutation ($input: CommandsApplyInput!) { commandsApply(input: $input) {
  results { key outcome conflicts ticket { ...ticket } userErrors { message } }
  userErrors { message } } } ${TICKET}`
const MISSED = `subscription ($filter: TicketFilter, $after: String) { ticketChanged(filter: $filter, after: $after) {
  __typename
  ... on TicketChange { cursor change ticketId ticket { ...ticket } }
  ... on StreamReady { cursor } ... on StreamReset { cursor } } } ${TICKET}`

/** The server cannot be reached, or asks to wait: try again later. Nothing is lost. */
export class NotNow extends Error {
  override name = 'NotNow'
}

/** The server cannot read the request, or it is too large: the same again would be refused again. */
export class Malformed extends Error {
  override name = 'Malformed'
}

/** The token is no longer valid, or the device is somebody else's: sign in again. */
export class SignedOut extends Error {
  override name = 'SignedOut'
}

/** The copy and the queue of one user. Several tabs may share them. */
export class Device {
  #database: IDBDatabase
  #url: string
  #token: () => string

  /** Opens the database `name`, of which each user needs their own, for the server at `url`. `token` returns a valid
   * token, and is called for each request. */
  static async open(name: string, url: string, token: () => string): Promise<Device> {
    const opening = indexedDB.open(name, 1)
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore('state').add(crypto.randomUUID(), 'device')
      opening.result.createObjectStore('tickets', { keyPath: 'id' })
      const commands = opening.result.createObjectStore('commands', { keyPath: 'place', autoIncrement: true })
      commands.createIndex('key', 'key', { unique: true })
    }
    return new Device(await done(opening), url.replace(/\/+$/, ''), token)
  }

  private constructor(database: IDBDatabase, url: string, token: () => string) {
    this.#database = database
    this.#url = url
    this.#token = token
  }

  /** Queues a command, such as `do('resolve', {ticketId, resolution})`, and returns its key. It shows in `tickets` at
   * once. */
  async do(kind: Kind, given: Given): Promise<string> {
    const key = crypto.randomUUID()
    await this.#change(async (stores) => {
      const found: Ticket | undefined = await done(stores.tickets.get(given.ticketId ?? ''))
      const based = found && ['note', 'status', 'resolve'].includes(kind) ? { baseVersion: found.version } : {}
      const command = { [kind]: { key, occurredAt: new Date().toISOString(), ...based, ...given } }
      await done(stores.commands.add({ key, command, result: null } satisfies Queued))
    }, 'strict')
    return key
  }

  /** The copy, as it will be once the queue has been sent. */
  async tickets(): Promise<Ticket[]> {
    const [kept, queue] = await this.#read((stores) =>
      Promise.all([done<Ticket[]>(stores.tickets.getAll()), done<Queued[]>(stores.commands.getAll())]),
    )
    const tickets = new Map(kept.map((ticket) => [ticket.id, ticket]))
    for (const { command } of queue.filter(({ result }) => !result)) {
      const { status, resolve } = command
      const ticket = tickets.get((status ?? resolve)?.ticketId ?? '')
      if (ticket && status?.status) ticket.status = status.status
      if (ticket && resolve?.resolution) Object.assign(ticket, { status: 'RESOLVED', resolution: resolve.resolution })
    }
    return [...tickets.values()]
  }

  /** The commands that have not been sent, or whose answer has not arrived, in order. */
  async waiting(): Promise<Command[]> {
    return (await this.#queue()).filter(({ result }) => !result).map(({ command }) => command)
  }

  /** The commands that were in conflict or refused, each with its result, for the user to decide. */
  async unsettled(): Promise<[Command, Result][]> {
    return (await this.#queue()).flatMap(({ command, result }) => (result ? [[command, result]] : []))
  }

  /** Removes a command: the user has seen what became of it. */
  async forget(key: string): Promise<void> {
    await this.#change((stores) => remove(stores, key))
  }

  /** Sends the queue and catches up. Throws `NotNow` and `SignedOut`; call it again after either. One tab at a time
   * does it, and the others wait. */
  async sync(): Promise<void> {
    await navigator.locks.request(this.#database.name, () => this.#sync())
  }

  async #sync(): Promise<void> {
    for (let queue = await this.waiting(); queue.length > 0; queue = await this.waiting()) {
      await this.#send(queue.slice(0, COMMANDS_MAX))
    }
    if (!(await this.#state('cursor'))) await this.#readAll()
    while (!(await this.#catchUp())) await this.#readAll()
  }

  /** Sends commands. One that the server cannot read spoils a whole request, so the halves are sent then, until that
   * command is alone: it is set aside, and holds up no other. */
  async #send(commands: Command[]): Promise<void> {
    const input = { deviceId: await this.#state('device'), commands }
    const answer = await this.#ask(APPLY, { input }).catch((error: unknown) => {
      if (error instanceof Malformed) return error
      throw error
    })
    if (answer instanceof Malformed) {
      const half = Math.floor(commands.length / 2)
      if (half === 0) return this.#change((stores) => settle(stores, rejected(commands[0]!, answer.message)))
      await this.#send(commands.slice(0, half))
      return this.#send(commands.slice(half))
    }
    const { results, userErrors } = answer.commandsApply
    if (userErrors.length > 0) throw new SignedOut(userErrors[0].message)
    await this.#change(async (stores) => {
      for (const result of results as Result[]) {
        if (result.outcome === 'APPLIED' || result.outcome === 'REPLAYED') await remove(stores, result.key)
        else await settle(stores, result)
        if (result.ticket) await keep(stores, result.ticket)
      }
    })
  }

  /** Reads the copy anew. Its cursor is the one of the first page: later events replace older versions. */
  async #readAll(): Promise<void> {
    const first = (await this.#ask(LIST, { filter: MINE })).tickets
    const nodes: Ticket[] = [...first.nodes]
    for (let page = first; page.pageInfo.hasNextPage; nodes.push(...page.nodes)) {
      page = (await this.#ask(LIST, { filter: MINE, after: page.pageInfo.endCursor })).tickets
    }
    await this.#change(async (stores) => {
      await done(stores.tickets.clear())
      for (const ticket of nodes) await keep(stores, ticket)
      await done(stores.state.put(first.streamCursor, 'cursor'))
    })
  }

  /** Applies the missed changes, each in one transaction with its cursor, so that the cursor is never ahead of the
   * copy. Returns false if the copy must be read anew. */
  async #catchUp(): Promise<boolean> {
    const after = await this.#state('cursor')
    const response = await this.#post('/graphql/stream', 'text/event-stream', MISSED, { filter: MINE, after })
    if (!response.ok) await checked(response)
    for await (const line of linesOf(response)) {
      if (!line.startsWith('data: {')) continue
      const { data, errors } = JSON.parse(line.slice('data: '.length))
      if (errors) throw new NotNow(errors[0].message)
      const message: Message = data.ticketChanged
      if (message.__typename === 'StreamReset') return false
      await this.#change(async (stores) => {
        if (message.__typename === 'TicketChange') await apply(stores, message)
        await done(stores.state.put(message.cursor, 'cursor'))
      })
      if (message.__typename === 'StreamReady') return true
    }
    throw new NotNow('the connection was lost')
  }

  async #ask(query: string, variables: object): Promise<any> {
    return checked(await this.#post('/graphql', 'application/json', query, variables))
  }

  #post(path: string, accept: string, query: string, variables: object): Promise<Response> {
    const headers = { Authorization: `Bearer ${this.#token()}`, 'Content-Type': 'application/json', Accept: accept }
    const body = JSON.stringify({ query, variables })
    return online(fetch(this.#url + path, { method: 'POST', headers, body, signal: AbortSignal.timeout(REQUEST_MAX) }))
  }

  #queue(): Promise<Queued[]> {
    return this.#read((stores) => done(stores.commands.getAll()))
  }

  #state(name: 'device' | 'cursor'): Promise<string | undefined> {
    return this.#read((stores) => done(stores.state.get(name)))
  }

  #read<T>(work: (stores: Stores) => Promise<T>): Promise<T> {
    return work(storesOf(this.#database.transaction(STORES)))
  }

  /** Runs `work`, which may await nothing but the stores, in one transaction: all or nothing. If it is `strict`, it is
   * on the disk, too, so that it outlasts an empty battery. */
  async #change(work: (stores: Stores) => Promise<void>, durability: 'default' | 'strict' = 'default'): Promise<void> {
    const transaction = this.#database.transaction(STORES, 'readwrite', { durability })
    const committed = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve()
      transaction.onabort = () => reject(transaction.error)
    })
    const worked = work(storesOf(transaction)).catch((error: unknown) => {
      if (!transaction.error) transaction.abort()
      throw error
    })
    await Promise.all([worked, committed])
  }
}

/** The result of a command that the server cannot read. */
function rejected(command: Command, message: string): Result {
  const { key } = Object.values(command)[0]!
  return { key, outcome: 'REJECTED', conflicts: [], ticket: null, userErrors: [{ message }] }
}

/** The data of a successful answer. Throws `SignedOut`; `NotNow` for what passes; `Malformed`; `Error` for what else is
 * wrong with the request itself, such as a document of an old version of the app. */
async function checked(response: Response): Promise<any> {
  if (response.status === 401) throw new SignedOut('the token is not valid')
  if (response.status >= 500) throw new NotNow(`HTTP ${response.status}`)
  const { data, errors } = await online(response.json()) // what a hotel's network says instead is no JSON
  if (!errors) return data
  const { message, extensions: { code } } = errors[0]
  throw new (PASSING.includes(code) ? NotNow : MALFORMED.includes(code) ? Malformed : Error)(message)
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (let read = await online(reader.read()); !read.done; read = await online(reader.read())) {
      const lines = (rest + read.value).split('\n')
      rest = lines.pop()!
      yield* lines
    }
  } finally {
    reader.cancel().catch(() => {}) // if the connection is lost, there is nothing to cancel
  }
}

/** Waits for the network. */
async function online<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error: Error) => {
    throw new NotNow(error.message)
  })
}

async function apply(stores: Stores, { change, ticketId, ticket }: Change): Promise<void> {
  if (change === 'LEFT' || !ticket) await done(stores.tickets.delete(ticketId))
  else await keep(stores, ticket)
}

/** Keeps a ticket, unless the copy has it in a newer version. */
async function keep(stores: Stores, ticket: Ticket): Promise<void> {
  const kept: Ticket | undefined = await done(stores.tickets.get(ticket.id))
  if (!kept || kept.version <= ticket.version) await done(stores.tickets.put(ticket))
}

async function settle(stores: Stores, result: Result): Promise<void> {
  const queued: Queued | undefined = await done(stores.commands.index('key').get(result.key))
  if (queued) await done(stores.commands.put({ ...queued, result }))
}

async function remove(stores: Stores, key: string): Promise<void> {
  const place = await done(stores.commands.index('key').getKey(key))
  if (place !== undefined) await done(stores.commands.delete(place))
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

function storesOf(transaction: IDBTransaction): Stores {
  const [state, tickets, commands] = STORES.map((name) => transaction.objectStore(name))
  return { state, tickets, commands } as Stores
}
