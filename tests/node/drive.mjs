// Runs examples/follow.mjs with options given as JSON, and prints each message as a line of JSON.
import WebSocket from 'ws'
import { follow } from './follow.mjs'

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
