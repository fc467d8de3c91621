// Runs a device of examples/device.ts, compiled to device.js, with options given as JSON. Each line that it reads is a
// call, `[method, ...arguments]`; it answers each by a line of JSON: `{result}`, or `{error, message}`.
import 'fake-indexeddb/auto'
import { createInterface } from 'node:readline'
import { Device } from './device.js'

const { name, url, token } = JSON.parse(process.argv[2])
const device = await Device.open(name, url, () => token)

for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...given] = JSON.parse(line)
  const answer = await device[method](...given).then(
    (result) => ({ result: result ?? null }),
    ({ name: error, message }) => ({ error, message }),
  )
  console.log(JSON.stringify(answer))
}
