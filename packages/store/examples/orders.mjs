/**
 * A message store inside a program: no server, one directory. Stores orders, reads one queue by tag, and delivers a reminder
 * a second later.
 *
 *   node orders.mjs <directory>
 */
import { hostAddress, javaHash, recordBody } from '@dledger-ts/protocol'
import { MessageStore } from '@dledger-ts/store'

const host = hostAddress('127.0.0.1', 0)
const order = (body, tag, more = '') => ({
  topic: 'orders',
  queueId: 0,
  flag: 0,
  sysFlag: 0,
  bornTimestamp: Date.now(),
  bornHost: host,
  storeHost: host,
  reconsumeTimes: 0,
  preparedTransactionOffset: 0,
  body: Buffer.from(body),
  properties: `TAGS\x01${tag}\x02${more}`,
})
const read = (request) =>
  new Promise((resolve, reject) => {
    store.getMessages(request, (error, result) => (error === null ? resolve(result) : reject(error)))
  })

const store = await MessageStore.open({ dir: process.argv[2] ?? './orders', fileBytes: 16 * 1024 * 1024 })

await store.store(order('one book', 'paid'))
await store.store(order('two pens', 'open'))
const { queueOffset } = await store.store(order('a lamp', 'paid'))
console.log(`the last order is message ${queueOffset} of its queue`)

const request = { topic: 'orders', queueId: 0, queueOffset: 0, maxCount: 32, maxBytes: 262_144 }
const paid = await read({ ...request, tagFilter: new Set([javaHash('paid')]) })
for (const record of paid.records) console.log(`paid: ${recordBody(record).toString()}`)
store.commitConsumerOffset('shipping', 'orders', 0, paid.nextBeginOffset)

const arrived = new Promise((resolve) => {
  store.onMessages({ messageArrived: (topic, _queueId, _tagsCode, offset) => topic === 'orders' && resolve(offset) })
})
await store.store(order('ask for feedback', 'reminder', 'DELAY\x011\x02'))
const reminder = await read({ ...request, queueOffset: await arrived, tagFilter: null })
console.log(`a second later: ${recordBody(reminder.records[0]).toString()}`)

await store.close()
