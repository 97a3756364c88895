/**
 * An audit log with one member: durable, ordered, readable while it grows. No network.
 *
 *   node audit-log.mjs DIRECTORY
 */
import { DLedger } from '@dledger-ts/dledger'

const directory = process.argv[2] ?? './audit-log'
const log = await DLedger.open({ directory, fileBytes: 16 * 1024 * 1024 })

const places = await log.append([
  Buffer.from(JSON.stringify({ who: 'alice', did: 'login' })),
  Buffer.from(JSON.stringify({ who: 'alice', did: 'rename', what: 'report.pdf' })),
])
console.log(`appended ${places.length} entries; the last has index ${places.at(-1).index}`)

for await (const entry of log.entries()) console.log(`${entry.index} ${entry.body.toString()}`)
await log.close()
