// Runs examples/follow.mjs with options given as JSON. It prints each message, and the end of each connection, as a
// line of JSON.
import WebSocket from 'ws'
import { follow } from './follow.mjs'

const Base = globalThis.WebSocket ?? WebSocket // browsers and Node 22 or newer have their own

globalThis.WebSocket = class extends Base {
  constructor(...options) {
    super(...options)
    let opened = false
    this.addEventListener('open', () => (opened = true))
    this.addEventListener('close', ({ code, reason }) => console.log(JSON.stringify({ opened, code, reason })))
  }
}

const { token, ...options } = JSON.parse(process.argv[2])

follow({
  ...options,
  token: () => token,
  show: (message) => console.log(JSON.stringify(message)),
  failed: (why) => {
    console.error('failed:', why)
    process.exit(1)
  },
})
