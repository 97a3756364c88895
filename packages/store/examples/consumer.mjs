/**
 * A queue in a directory, and a consumer that follows it and commits how far it got: started again, it goes on there.
 *
 *   node consumer.mjs <directory>
 *
 * A crash repeats what was handled since the last commit went into the log, 200 ms at most: handling a message twice must do
 * no harm.
 */
import { MessageStore } from '@dledger-ts/store'

const TOPIC = 'mails'
const GROUP = 'mailer'
const dir = process.argv[2] ?? './mails'
const options = { dir, fileBytes: 16 * 1024 * 1024 }

/** Handles messages from where the group is until `count` are done. */
async function consume(store, count) {
  const stopping = new AbortController()
  const from = store.consumerOffset(GROUP, TOPIC, 0) ?? store.minOffset(TOPIC, 0)
  let done = 0
  for await (const { queueOffset, body } of store.follow({ topic: TOPIC, from, signal: stopping.signal })) {
    console.log(`${queueOffset}: mail to ${body.toString()}`)
    store.commitConsumerOffset(GROUP, TOPIC, 0, queueOffset + 1)
    done++
    if (done === count) stopping.abort()
  }
}

let store = await MessageStore.open(options)
let consuming = consume(store, 2)
for (const name of ['Ann', 'Bob', 'Cleo']) await store.store({ topic: TOPIC, body: Buffer.from(name) })
await consuming
await store.close()

console.log('started again')
store = await MessageStore.open(options)
consuming = consume(store, 2)
await store.store({ topic: TOPIC, body: Buffer.from('Dan') })
await consuming
await store.close()
