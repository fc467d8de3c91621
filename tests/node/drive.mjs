// Runs examples/follow.mjs with options given as JSON. It prints each message, and the end of each connection, as a
// line of JSON.
import './sockets.mjs'
import { follow } from './follow.mjs'

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
