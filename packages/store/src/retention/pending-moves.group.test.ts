/** A group whose log forgets, with messages that wait for a long time in it, while its leaders go one after another. */
import { type Clock, systemClock } from '@dledger-ts/base'
import { recordBody } from '@dledger-ts/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PutResult } from '../api.ts'
import type { MessageStore } from '../message-store.ts'
import { get, message } from '../testing/fixture.ts'
import { until } from '../testing/manual-clock.ts'
import { OpenedGroup } from '../testing/opened-group.ts'

const FILE_BYTES = 64 * 1024
const HOUR_MS = 3_600_000
let group: OpenedGroup
/** Hours may pass at once. */
let laterMs = 0
const clock: Clock = {
  nowMs: () => systemClock.nowMs() + laterMs,
  monotonicMs: () => systemClock.monotonicMs(),
  after: (delayMs, callback) => systemClock.after(delayMs, callback),
  defer: (callback) => systemClock.defer(callback),
}

beforeEach(() => {
  laterMs = 0
  group = new OpenedGroup({
    clock,
    fileBytes: FILE_BYTES,
    consumeQueueFileBytes: 2000,
    checkpointIntervalMs: 50,
    retentionIntervalMs: 50,
    retentionBytes: 3 * FILE_BYTES,
    hotBytesMax: 0,
    messageDelayLevel: '1h',
  })
})
afterEach(() => group.close())

/** The leader ends, another one is there, and it comes back. */
async function failOver(store: MessageStore): Promise<MessageStore> {
  const { self } = store.status()
  await group.stop(store)
  const next = await group.leader()
  await group.start(self)
  return next
}

test('delivers all of them once, and its members keep few files', async () => {
  let store = await group.startAll()
  const count = 4
  const halves: PutResult[] = []
  for (let i = 0; i < count; i++) {
    await store.store(message('T', `timer-${i}`, { properties: `TIMER_DELAY_MS\x01${HOUR_MS}\x02` }))
    await store.store(message('T', `level-${i}`, { properties: 'DELAY\x011\x02' }))
    const properties = `TRAN_MSG\x01true\x02PGROUP\x01pg\x02UNIQ_KEY\x01half-${i}\x02`
    const half = message('T', `half-${i}`, { sysFlag: 4, properties })
    halves.push(await new Promise((stored, putFailed) => store.putHalf(half, { stored, putFailed })))
  }
  for (let round = 0; round < 4; round++) {
    const puts: Promise<unknown>[] = []
    for (let i = 0; i < 300; i++) puts.push(store.store(message('Other', '.'.repeat(900))))
    await Promise.all(puts)
    if (round < 3) store = await failOver(store)
  }
  const keptFrom = 12 * FILE_BYTES
  // A member looks at what it needs when it applies a trim, else once a minute: a follower may apply the last move behind the last trim.
  while (group.stores.some((each) => each.status().firstIndex < 3 * 12 + 300)) {
    await store.store(message('Other', '.'.repeat(900)))
  }
  expect(store.status().maxPhysicalOffset).toBeGreaterThan(keptFrom)
  for (const { physicalOffset, queueOffset } of halves) {
    const end = { physicalOffset, queueOffset, producerGroup: 'pg', outcome: 'commit' } as const
    expect(await store.endTransaction(end)).not.toBeNull()
    expect(await store.endTransaction(end)).toBeNull()
  }
  laterMs = HOUR_MS + 1_000
  store = await failOver(store)
  await until(() => store.maxOffset('T', 0) === 3 * count, 'all are delivered')
  await store.store(message('Other', 'a later entry, so that nothing is under way'))
  const { records } = await get(store, { topic: 'T', maxCount: 100 })
  const expected = ['half', 'level', 'timer'].flatMap((kind) => Array.from({ length: count }, (_, i) => `${kind}-${i}`))
  expect(records.map((record) => recordBody(record).toString()).sort()).toEqual(expected)
}, 60_000)
