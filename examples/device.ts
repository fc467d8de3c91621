// A device client that works offline: it keeps a copy of the technician's tickets and a queue of what was done.
//
//     const headers = () => ({ Authorization: `Bearer ${token}` })
//     const device = await Device.open('callout', { url: 'https://callout.example.com', headers })
//     await device.do('note', { ticketId, body: 'The key is here.' })
//     await device.attach(photo, { ticketId })
//     await device.sync()
//
// All is in one IndexedDB database, so the page can be closed at any time. `sync` takes two requests: it sends the
// queue, and follows the tickets from the last cursor on until nothing is missing. Then it uploads the files. It needs
// nothing but a browser. The technicians' pages of the console use it, with a copy that has more fields.

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
  uploadUrl: string | null
  userErrors: { message: string }[]
}
/** A command in the queue. It has a `result` once it was in conflict or refused, and an `uploadUrl` once its file can be
 * uploaded. */
export type Queued = { place?: number; key: string; command: Command; result: Result | null; uploadUrl?: string }
type Change = {
  __typename: 'TicketChange'
  cursor: string
  change: string
  ticketId: string
  ticket: Ticket | null
  key: string | null
}
/** A message of the operation `missed`. */
export type Message = Change | { __typename: 'StreamReady' | 'StreamReset'; cursor: string }
/** `headers` says who the user is, and is called for each request. `filter` says which tickets the copy has. Operations
 * other than those below may ask for more fields of a ticket; then fewer commands fit into a request, as the server
 * limits what an answer may contain. */
export type Options = {
  url: string
  headers: () => Record<string, string>
  filter?: object
  operations?: { list: string; apply: string; missed: string }
  commandsMax?: number
}
type Stores = Record<(typeof STORES)[number], IDBObjectStore>

const MINE = { assignee: { me: true }, not: { status: ['CLOSED'] } }
const STORES = ['state', 'tickets', 'commands', 'files'] as const
const COMMANDS_MAX = 100 // in a request
const REQUEST_MAX = 30_000 // ms
const WRONG_FROM = 30_000 // ms by which a clock must be wrong to be corrected
const PIECE = 1024 * 1024 // bytes of a file in one request
const TUS = { 'Tus-Resumable': '1.0.0' } // https://tus.io/protocols/resumable-upload
const PASSING = ['RATE_LIMITED', 'BUSY', 'TIMEOUT', 'UNAVAILABLE', 'INTERNAL']
const MALFORMED = ['BAD_REQUEST', 'BAD_USER_INPUT', 'BODY_TOO_LARGE']
const TICKET = 'fragment ticket on Ticket { id version reference subject description status priority resolution }'
const LIST = `query ($filter: TicketFilter, $after: String) {
  tickets(filter: $filter, first: 100, after: $after) {
    streamCursor pageInfo { hasNextPage endCursor } nodes { ...ticket } } } ${TICKET}`
const APPLY = `mutation ($input: CommandsApplyInput!) { commandsApply(input: $input) {
  results { key outcome conflicts ticket { ...ticket } uploadUrl userErrors { message } }
  userErrors { message } } } ${TICKET}`
const MISSED = `subscription ($filter: TicketFilter, $after: String) { ticketChanged(filter: $filter, after: $after) {
  __typename
  ... on TicketChange { cursor change ticketId key ticket { ...ticket } }
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

/** The copy and the queue of one user, whose tickets have at least the fields of `Ticket`. Several tabs may share them. */
export class Device<Kept extends Ticket = Ticket> {
  #database: IDBDatabase
  #options: Required<Options>
  #channel: BroadcastChannel | undefined
  #changed: () => void = () => {}
  #ahead = 0 // ms by which this clock is fast

  /** Opens the database `name`, of which each user needs their own. */
  static async open<Kept extends Ticket = Ticket>(name: string, options: Options): Promise<Device<Kept>> {
    const opening = indexedDB.open(name, 2)
    opening.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion < 1) {
        opening.result.createObjectStore('state').add(crypto.randomUUID(), 'device')
        opening.result.createObjectStore('tickets', { keyPath: 'id' })
        const commands = opening.result.createObjectStore('commands', { keyPath: 'place', autoIncrement: true })
        commands.createIndex('key', 'key', { unique: true })
      }
      opening.result.createObjectStore('files')
    }
    const database = await done(opening)
    database.onversionchange = () => database.close() // another tab erases it, or has a newer version of the app
    const operations = { list: LIST, apply: APPLY, missed: MISSED }
    const device = new Device<Kept>(database, { filter: MINE, operations, commandsMax: COMMANDS_MAX, ...options })
    device.#ahead = Number((await device.#state('ahead')) ?? 0)
    return device
  }

  private constructor(database: IDBDatabase, options: Required<Options>) {
    this.#database = database
    this.#options = { ...options, url: options.url.replace(/\/+$/, '') }
  }

  /** Has `changed` called after each change of the copy or the queue, in whichever tab it was made. */
  watch(changed: () => void): void {
    this.#changed = changed
    this.#channel = new BroadcastChannel(this.#database.name)
    this.#channel.onmessage = changed
  }

  /** The time by the server's clock, as far as the device knows it: one whose own is fast would be refused all. */
  now(): Date {
    return new Date(Date.now() - this.#ahead)
  }

  /** The id by which the server knows the device. */
  async id(): Promise<string> {
    return (await this.#state('device'))!
  }

  /** Queues a command, such as `do('resolve', {ticketId, resolution})`, and returns its key. It shows in `tickets` at
   * once. */
  async do(kind: Kind, given: Given, file?: Blob): Promise<string> {
    const key = crypto.randomUUID()
    await this.#change(async (stores) => {
      if (file) await done(stores.files.put(file, key))
      const found: Ticket | undefined = await done(stores.tickets.get(given.ticketId ?? ''))
      const based = found && ['note', 'status', 'resolve'].includes(kind) ? { baseVersion: found.version } : {}
      const command = { [kind]: { key, occurredAt: this.now().toISOString(), ...based, ...given } }
      await done(stores.commands.add({ key, command, result: null } satisfies Queued))
    }, 'strict')
    return key
  }

  /** Queues a file with the command that attaches it, such as `attach(photo, {ticketId})`, and returns its key. */
  async attach(file: File, given: Given): Promise<string> {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()))
    const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
    const described = { name: file.name, contentType: file.type || 'application/octet-stream', size: file.size, sha256 }
    return this.do('attachment', { ...described, ...given }, file)
  }

  /** The file of a command that is in the queue. */
  async file(key: string): Promise<Blob | undefined> {
    return this.#read((stores) => done<Blob | undefined>(stores.files.get(key)))
  }

  /** The copy and the queue as they are. */
  async all(): Promise<{ tickets: Kept[]; queue: Queued[] }> {
    const [tickets, queue] = await this.#read((stores) =>
      Promise.all([done<Kept[]>(stores.tickets.getAll()), done<Queued[]>(stores.commands.getAll())]),
    )
    return { tickets, queue }
  }

  /** The copy, as it will be once the queue has been sent. */
  async tickets(): Promise<Kept[]> {
    const { tickets: kept, queue } = await this.all()
    const tickets = new Map(kept.map((ticket) => [ticket.id, ticket]))
    for (const { command } of queue.filter(({ result }) => !result)) {
      const { status, resolve } = command
      const ticket = tickets.get((status ?? resolve)?.ticketId ?? '')
      if (ticket && status?.status) ticket.status = status.status
      if (ticket && resolve?.resolution) Object.assign(ticket, { status: 'RESOLVED', resolution: resolve.resolution })
    }
    return [...tickets.values()]
  }

  /** The commands that have not been sent, whose answer has not arrived, or whose file has not, in order. */
  async waiting(): Promise<Command[]> {
    return (await this.all()).queue.filter(({ result }) => !result).map(({ command }) => command)
  }

  /** The commands that were in conflict or refused, each with its result, for the user to decide. */
  async unsettled(): Promise<[Command, Result][]> {
    return (await this.all()).queue.flatMap(({ command, result }) => (result ? [[command, result]] : []))
  }

  /** Removes a command: the user has seen what became of it. */
  async forget(key: string): Promise<void> {
    await this.#change((stores) => remove(stores, key))
  }

  /** Sends the queue, catches up, and uploads. Throws `NotNow` and `SignedOut`; call it again after either. One tab at
   * a time does it, and the others wait. */
  async sync(): Promise<void> {
    await this.send()
    await this.catchUp()
    await this.upload()
  }

  /** Sends the queue. Throws as `sync` does. */
  async send(): Promise<void> {
    const next = async () => (await this.all()).queue.filter(({ result, uploadUrl }) => !result && !uploadUrl)
    await this.#alone('', async () => {
      for (let queue = await next(); queue.length > 0; queue = await next()) {
        await this.#send(queue.slice(0, this.#options.commandsMax).map(({ command }) => command))
      }
    })
  }

  /** Brings the copy up to date. Throws as `sync` does. A subscription of `missed` can go on from there. */
  async catchUp(): Promise<void> {
    await this.#alone('', async () => {
      if (!(await this.cursor())) await this.#readAll()
      while (!(await this.#applyMissed())) await this.#readAll()
    })
  }

  /** Uploads the files whose commands have been sent, from where each was cut off. Throws as `sync` does. Commands can
   * be sent meanwhile. */
  async upload(): Promise<void> {
    await this.#alone(' files', async () => {
      for (const { key, uploadUrl } of (await this.all()).queue) {
        if (uploadUrl) await this.#upload(key, uploadUrl)
      }
    })
  }

  /** The cursor after which a subscription of `missed` goes on; undefined before the first `sync`. */
  async cursor(): Promise<string | undefined> {
    return this.#state('cursor')
  }

  /** Applies a message of `missed`, in one transaction with its cursor, so that the cursor is never ahead of the copy.
   * Returns false if the copy must be read anew, which `catchUp` does. */
  async take(message: Message): Promise<boolean> {
    await this.#change(async (stores) => {
      if (message.__typename === 'TicketChange') await apply(stores, message)
      if (message.__typename === 'StreamReset') await done(stores.state.delete('cursor'))
      else await done(stores.state.put(message.cursor, 'cursor'))
    })
    return message.__typename !== 'StreamReset'
  }

  /** Deletes all that came from the server, as when the user may not read it any more. What they have done stays. */
  async withdraw(): Promise<void> {
    await this.#change(async (stores) => {
      await Promise.all([done(stores.tickets.clear()), done(stores.state.delete('cursor'))])
      for (const queued of await done<Queued[]>(stores.commands.getAll())) {
        const result = queued.result && { ...queued.result, ticket: null }
        await done(stores.commands.put({ ...queued, result }))
      }
    })
  }

  /** Closes the database. The device cannot be used any more. */
  close(): void {
    this.#database.close()
    this.#channel?.close()
  }

  /** Closes and deletes the database. */
  async erase(): Promise<void> {
    this.close()
    await done(indexedDB.deleteDatabase(this.#database.name))
  }

  #alone(what: string, work: () => Promise<void>): Promise<void> {
    return navigator.locks.request(this.#database.name + what, work)
  }

  /** Sends commands. One that the server cannot read spoils a whole request, so the halves are sent then, until that
   * command is alone: it is set aside, and holds up no other. */
  async #send(commands: Command[]): Promise<void> {
    const input = { deviceId: await this.#state('device'), commands }
    const answer = await this.#ask(this.#options.operations.apply, { input }).catch((error: unknown) => {
      if (error instanceof Malformed) return error
      throw error
    })
    if (answer instanceof Malformed) {
      const half = Math.floor(commands.length / 2)
      if (half === 0) {
        const { key } = Object.values(commands[0]!)[0]!
        return this.#update(key, { result: rejected(key, answer.message) })
      }
      await this.#send(commands.slice(0, half))
      return this.#send(commands.slice(half))
    }
    const { results, userErrors } = answer.commandsApply
    if (userErrors.length > 0) throw new SignedOut(userErrors[0].message)
    await this.#change(async (stores) => {
      for (const result of results as Result[]) {
        if (result.outcome !== 'APPLIED' && result.outcome !== 'REPLAYED') await update(stores, result.key, { result })
        else if (result.uploadUrl) await update(stores, result.key, { uploadUrl: result.uploadUrl })
        else await remove(stores, result.key)
        if (result.ticket) await keep(stores, result.ticket)
      }
    })
  }

  /** Reads the copy anew. Its cursor is the one of the first page: later events replace older versions. */
  async #readAll(): Promise<void> {
    const { filter, operations: { list } } = this.#options
    const first = (await this.#ask(list, { filter })).tickets
    const nodes: Ticket[] = [...first.nodes]
    for (let page = first; page.pageInfo.hasNextPage; nodes.push(...page.nodes)) {
      page = (await this.#ask(list, { filter, after: page.pageInfo.endCursor })).tickets
    }
    await this.#change(async (stores) => {
      await done(stores.tickets.clear())
      for (const ticket of nodes) await keep(stores, ticket)
      await done(stores.state.put(first.streamCursor, 'cursor'))
    })
  }

  /** Applies the missed changes. Returns false if the copy must be read anew. */
  async #applyMissed(): Promise<boolean> {
    const { filter, operations: { missed } } = this.#options
    const after = await this.cursor()
    const response = await this.#post('/graphql/stream', 'text/event-stream', missed, { filter, after })
    if (!response.ok) await checked(response)
    for await (const line of linesOf(response)) {
      if (!line.startsWith('data: {')) continue
      const { data, errors } = JSON.parse(line.slice('data: '.length))
      if (errors) throw new NotNow(errors[0].message)
      const message: Message = data.ticketChanged
      if (!(await this.take(message))) return false
      if (message.__typename === 'StreamReady') return true
    }
    throw new NotNow('the connection was lost')
  }

  /** Uploads what the server does not have yet of a command's file, and removes the command. */
  async #upload(key: string, uploadUrl: string): Promise<void> {
    const file = await this.file(key)
    if (!file) return this.forget(key) // in another tab
    const { pathname, search } = new URL(uploadUrl, this.#options.url) // the server may know itself by another address
    const url = new URL(pathname + search, this.#options.url)
    for (let offset: number | null = null; offset === null || offset < file.size; ) {
      const from = { ...TUS, 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' }
      const response: Response =
        offset === null
          ? await fetched(url, { method: 'HEAD', headers: TUS })
          : await fetched(url, { method: 'PATCH', headers: from, body: file.slice(offset, offset + PIECE) })
      if (response.status === 404) return this.#queueAnew(key)
      const reached = response.headers.get('Upload-Offset')
      if (response.status === 409) offset = null
      else if (response.ok && reached !== null) offset = Number(reached)
      else if (response.ok) throw new NotNow('something else has answered') // such as a proxy
      else if (response.status < 500 && ![408, 423, 429].includes(response.status)) {
        return this.#update(key, { result: rejected(key, `The file was refused: HTTP ${response.status}.`) })
      } else throw new NotNow(`HTTP ${response.status}`)
    }
    await this.forget(key)
  }

  /** Gives a command a new key, with which `send` sends it again: the upload has expired, and the attachment with it. */
  async #queueAnew(key: string): Promise<void> {
    const anew = crypto.randomUUID()
    await this.#change(async (stores) => {
      const queued: Queued | undefined = await done(stores.commands.index('key').get(key))
      const file: Blob | undefined = await done(stores.files.get(key))
      if (!queued?.command.attachment || !file) return
      const { uploadUrl: _, ...kept } = queued
      const command = { attachment: { ...queued.command.attachment, key: anew } }
      await done(stores.commands.put({ ...kept, key: anew, command } satisfies Queued))
      await Promise.all([done(stores.files.delete(key)), done(stores.files.put(file, anew))])
    })
  }

  async #ask(query: string, variables: object): Promise<any> {
    return checked(await this.#post('/graphql', 'application/json', query, variables))
  }

  async #post(path: string, accept: string, query: string, variables: object): Promise<Response> {
    const headers = { ...this.#options.headers(), 'Content-Type': 'application/json', Accept: accept }
    const body = JSON.stringify({ query, variables })
    const response = await fetched(this.#options.url + path, { method: 'POST', headers, body })
    await this.#compareClocks(response)
    return response
  }

  /** Notes by how much this clock is wrong, where the answer says when it was made: a page of another origin cannot read
   * that. It is so to the second, which is near enough. */
  async #compareClocks(response: Response): Promise<void> {
    const ahead = Date.now() - Date.parse(response.headers.get('Date') ?? '')
    const known = Math.abs(ahead) < WRONG_FROM ? 0 : ahead
    if (Number.isNaN(ahead) || Math.abs(known - this.#ahead) < WRONG_FROM) return
    this.#ahead = known
    await this.#change(async (stores) => {
      await done(stores.state.put(String(known), 'ahead'))
    })
  }

  async #update(key: string, changes: Partial<Queued>): Promise<void> {
    await this.#change((stores) => update(stores, key, changes))
  }

  #state(name: 'device' | 'cursor' | 'ahead'): Promise<string | undefined> {
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
    this.#changed()
    this.#channel?.postMessage('')
  }
}

/** The result of a command that the server cannot read, or whose file it has refused. */
function rejected(key: string, message: string): Result {
  return { key, outcome: 'REJECTED', conflicts: [], ticket: null, uploadUrl: null, userErrors: [{ message }] }
}

function fetched(url: string | URL, request: RequestInit): Promise<Response> {
  return online(fetch(url, { ...request, signal: AbortSignal.timeout(REQUEST_MAX) }))
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

/** Applies a change. If a command of this device has made it, the command is done, even if its answer was lost. */
async function apply(stores: Stores, { change, ticketId, ticket, key }: Change): Promise<void> {
  if (key !== null) await remove(stores, key)
  if (change === 'LEFT' || !ticket) await done(stores.tickets.delete(ticketId))
  else await keep(stores, ticket)
}

/** Keeps a ticket, unless the copy has it in a newer version. */
async function keep(stores: Stores, ticket: Ticket): Promise<void> {
  const kept: Ticket | undefined = await done(stores.tickets.get(ticket.id))
  if (!kept || kept.version <= ticket.version) await done(stores.tickets.put(ticket))
}

async function update(stores: Stores, key: string, changes: Partial<Queued>): Promise<void> {
  const queued: Queued | undefined = await done(stores.commands.index('key').get(key))
  if (queued) await done(stores.commands.put({ ...queued, ...changes }))
}

async function remove(stores: Stores, key: string): Promise<void> {
  const place = await done(stores.commands.index('key').getKey(key))
  if (place !== undefined) await done(stores.commands.delete(place))
  await done(stores.files.delete(key))
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

function storesOf(transaction: IDBTransaction): Stores {
  return Object.fromEntries(STORES.map((name) => [name, transaction.objectStore(name)])) as Stores
}
