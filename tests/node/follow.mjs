// Runs the client of docs/live.md: each message that it shows is a line of JSON. Its options come as JSON too.
import WebSocket from 'ws'
import { follow } from './live.mjs'

globalThis.WebSocket ??= WebSocket // browsers, and Node from 22 on, have their own

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
