/** The process that has the store open: does what it is asked, and is killed when that is asked. */
import { MessageStore } from '@dledger-ts/store'
import { CountedDisk } from './counted-disk.ts'
import { Messages } from './messages.ts'
import { mixed } from './mixed.ts'
import { Observer } from './observer.ts'
import { put } from './putting.ts'
import { query } from './querying.ts'
import { pull, read } from './reading.ts'
import type { Opened, OpenWish, Wish } from './wishes.ts'

const wish = JSON.parse(process.argv[2] ?? '{}') as OpenWish
const observer = new Observer()
const disk = new CountedDisk()
const messages = new Messages(wish)
let sendsRead = { doneEntries: 0, entriesPerSecond: 0 }
const begun = performance.now()
// What the scrubber reads would be counted with what the readers do.
const store = await MessageStore.open({
  dir: wish.directory,
  flushDiskType: wish.flush,
  disk,
  scrubBytesPerSecond: 0,
  duplicateSendWindowMs: wish.windowMs,
  onSendsRead: (progress) => {
    sendsRead = progress
  },
})
const opened: Opened = {
  openMs: Math.round(performance.now() - begun),
  sendsRead: sendsRead.doneEntries,
  sendsReadPerSecond: sendsRead.entriesPerSecond,
  observed: observer.observe(),
}
process.send?.({ opened })

process.on('message', (asked: Wish) => {
  void answer(asked).then(
    (given) => {
      if (process.connected) process.send?.({ [asked.wish]: given })
    },
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})

async function answer(asked: Wish): Promise<unknown> {
  switch (asked.wish) {
    case 'put':
      return put({ store, messages, count: wish.messages, inFlight: wish.inFlight, observer, disk })
    case 'putForEver':
      return put({ store, messages, count: Number.MAX_SAFE_INTEGER, inFlight: wish.inFlight, observer, disk })
    case 'look':
      return { disk: disk.counts, observed: observer.observe() }
    case 'serve':
      return serve()
    case 'read':
      return read({ store, messages, queues: wish.queues, how: asked.how, seconds: asked.seconds, disk, observer })
    case 'mixed':
      return mixed({ store, messages, queues: wish.queues, observer, ...asked })
    case 'query':
      return query({ store, messages, stored: wish.messages, count: asked.count, observer })
    case 'close':
      await store.close()
      process.disconnect()
      return null
  }
}

/** One read and one put, as the first client of a start would do. */
async function serve(): Promise<number> {
  const last = messages.make(0)
  const result = await pull(store, last.topic, last.queueId, 0)
  if (result.records.length === 0) throw new Error(`nothing is read: ${result.status}`)
  await store.store(last)
  return Math.round(performance.now() - begun)
}
