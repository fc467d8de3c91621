// Runs a device of examples/device.ts, compiled to device.js, with options given as JSON. Each line that it reads is a
// call, `[method, ...arguments]`; it answers each by a line of JSON: `{result}`, or `{error, message}`. The method
// `setCursor` is not the device's: it replaces the stored cursor.
import 'fake-indexeddb/auto'
import { createInterface } from 'node:readline'
import { Device } from './device.js'

// Node before version 24 has no locks. There is one tab, so nobody waits.
if (!globalThis.navigator?.locks) {
  const locks = { request: (name, work) => work() }
  Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true })
}

const { name, url, token } = JSON.parse(process.argv[2])
const device = await Device.open(name, { url, headers: () => ({ Authorization: `Bearer ${token}` }) })

// The bytes of a file come as base64.
const { attach } = device
device.attach = (data, given) => attach.call(device, new File([Buffer.from(data, 'base64')], given.name), given)

device.setCursor = (cursor) =>
  new Promise((resolve) => {
    indexedDB.open(name).onsuccess = ({ target: { result: database } }) => {
      const transaction = database.transaction('state', 'readwrite')
      transaction.objectStore('state').put(cursor, 'cursor')
      transaction.oncomplete = () => resolve()
    }
  })

for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...given] = JSON.parse(line)
  const answer = await device[method](...given).then(
    (result) => ({ result: result ?? null }),
    ({ name: error, message }) => ({ error, message }),
  )
  console.log(JSON.stringify(answer))
}
