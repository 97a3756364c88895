/**
 * What the key index costs for each message: CPU of a store of one member that is put messages of 200 B with a unique id and two
 * keys, with the index and without. `node bench/dist/micro/key-index.js [messages]`.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hostAddress } from '@dledger-ts/protocol'
import { MessageStore } from '@dledger-ts/store'

const COUNT = Number(process.argv[2] ?? 300_000)
const IN_FLIGHT = 512
const ROUNDS = 3
const host = hostAddress('127.0.0.1', 10911)
const body = Buffer.alloc(200, 7)

async function cpuMicros(messageIndexEnable: boolean): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-key-index-'))
  const store = await MessageStore.open({ dir, flushDiskType: 'ASYNC_FLUSH', messageIndexEnable })
  const begun = process.cpuUsage()
  await new Promise<void>((resolve, reject) => {
    let sent = 0
    let done = 0
    const listener = {
      stored: () => {
        done++
        if (sent < COUNT) put()
        else if (done === COUNT) resolve()
      },
      putFailed: reject,
    }
    const put = (): void => {
      const id = (sent++).toString(16).toUpperCase().padStart(32, '0')
      const properties = `UNIQ_KEY\x01${id}\x02KEYS\x01order-${sent} buyer-${sent % 1000}\x02TAGS\x01TagA\x02`
      store.put(
        {
          topic: 'BenchTopic',
          queueId: sent & 3,
          flag: 0,
          sysFlag: 0,
          bornTimestamp: 1_700_000_000_000,
          bornHost: host,
          storeHost: host,
          reconsumeTimes: 0,
          preparedTransactionOffset: 0,
          body,
          properties,
        },
        listener,
      )
    }
    for (let i = 0; i < IN_FLIGHT; i++) put()
  })
  await store.close()
  const used = process.cpuUsage(begun)
  rmSync(dir, { recursive: true, force: true })
  return (used.user + used.system) / COUNT
}

const table: Record<string, Record<string, string>> = {}
for (let round = 1; round <= ROUNDS; round++) {
  const without = await cpuMicros(false)
  const withIndex = await cpuMicros(true)
  table[`round ${round}`] = {
    'CPU µs/message, no index': without.toFixed(2),
    'three keys indexed': withIndex.toFixed(2),
  }
}
console.table(table)
