// Prints the end of each connection as a line of JSON.
import WebSocket from 'ws'

const Base = globalThis.WebSocket ?? WebSocket // browsers and Node 22 or newer have their own

globalThis.WebSocket = class extends Base {
  constructor(...options) {
    super(...options)
    let opened = false
    this.addEventListener('open', () => (opened = true))
    this.addEventListener('close', ({ code, reason }) => console.log(JSON.stringify({ opened, code, reason })))
  }
}
