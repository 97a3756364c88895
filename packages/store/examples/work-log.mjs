/**
 * A log of what was done, found again by key: each step of a job carries the job and the machine as keys.
 *
 *   node work-log.mjs <directory>
 */
import { decodeRecord } from '@dledger-ts/protocol'
import { MessageStore } from '@dledger-ts/store'

const store = await MessageStore.open({ dir: process.argv[2] ?? './work-log', fileBytes: 16 * 1024 * 1024 })
store.events.on('failed', (error) => console.error(`the store has stopped: ${error.message}`))

const step = (job, machine, text) => store.store({ topic: 'steps', body: Buffer.from(text), keys: [job, machine] })
const find = async (key, more = {}) => {
  const { records, isComplete } = await store.query({ topic: 'steps', key, maxCount: 10, ...more })
  const texts = records.map((record) => decodeRecord(record).body.toString())
  console.log(`${key}: ${texts.join(', ')}${isComplete ? '' : ' …'}`)
}

await step('job-1', 'm-7', 'fetched')
await step('job-2', 'm-8', 'fetched')
const { storeTimestamp } = await step('job-1', 'm-9', 'built')
await step('job-1', 'm-9', 'published')

// The newest first.
await find('job-1')
await find('m-9')
await find('job-2', { beginTime: storeTimestamp + 3_600_000 })

const { applied, keyIndex } = store.statistics()
console.log(`${applied.messages} messages, ${keyIndex.damagedFiles} damaged index files`)
await store.close()
