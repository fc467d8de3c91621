// Runs examples/live-list.mjs with options given as JSON. It prints the list, whenever it has changed, as a line of
// JSON.
import './sockets.mjs'
import { keep } from './live-list.mjs'

const { token, ...options } = JSON.parse(process.argv[2])

keep({
  ...options,
  token: () => token,
  show: (edges, total) => console.log(JSON.stringify({ edges, total })),
  failed: (why) => {
    console.error('failed:', why)
    process.exit(1)
  },
})
