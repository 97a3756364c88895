/**
 * A message store inside a program: no server, one directory. Stores orders, reads one queue by tag, and delivers a reminder
 * a second later.
 *
 *   node orders.mjs <directory>
 */
import { javaHash, recordBody } from '@dledger-ts/protocol'
import { MessageStore } from '@dledger-ts/store'

const store = await MessageStore.open({ dir: process.argv[2] ?? './orders', fileBytes: 16 * 1024 * 1024 })

await store.store({ topic: 'orders', body: Buffer.from('one book'), tag: 'paid' })
await store.store({ topic: 'orders', body: Buffer.from('two pens'), tag: 'open' })
const { queueOffset } = await store.store({ topic: 'orders', body: Buffer.from('a lamp'), tag: 'paid' })
console.log(`the last order is message ${queueOffset} of its queue`)

const paid = await store.get({ topic: 'orders', tagFilter: new Set([javaHash('paid')]) })
for (const record of paid.records) console.log(`paid: ${recordBody(record).toString()}`)

await store.store({ topic: 'orders', body: Buffer.from('ask for feedback'), tag: 'reminder', delayLevel: 1 })
for await (const { body } of store.follow({ topic: 'orders', tags: ['reminder'] })) {
  console.log(`a second later: ${body.toString()}`)
  break
}

await store.close()
