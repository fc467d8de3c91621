// Uploads a file with options given as JSON, and goes on whenever it is cut off.
import { readFileSync } from 'node:fs'
import { Upload } from 'tus-js-client'

const { url, path } = JSON.parse(process.argv[2])

new Upload(readFileSync(path), {
  uploadUrl: url,
  retryDelays: Array(200).fill(100),
  onError: (error) => {
    console.error(String(error))
    process.exitCode = 1
  },
}).start()
