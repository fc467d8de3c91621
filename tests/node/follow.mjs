// Runs the client of docs/live.md: each message that it shows is a line of JSON, and so is how each connection ends.
// Its options come as JSON too.
import WebSocket from 'ws'
import { follow } from './live.mjs'

const Base = globalThis.WebSocket ?? WebSocket // browsers, and Node from 22 on, have their own

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
