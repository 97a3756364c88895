/** What a store tells of itself, when it is asked and when something happens. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MessageStore } from './message-store.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import type { StoreStatistics } from './statistics.ts'
import { TempDirectory } from './testing/fixture.ts'
import { ManualClock, passes, passing, until } from './testing/manual-clock.ts'

let temp: TempDirectory
const opened: MessageStore[] = []
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
  temp.remove()
})

async function open(): Promise<MessageStore> {
  const store = await MessageStore.open({ dir: temp.path, fileBytes: 1024 * 1024, duplicateSendWindowMs: 60_000 })
  opened.push(store)
  return store
}

test('counts messages and bytes put and read, topics, queues, log, index, repeated sends', async () => {
  const store = await open()
  await store.putTopic(defaultTopicConfig('T', 4))
  let bytes = 0
  for (let i = 0; i < 10; i++) {
    const put = { topic: 'T', queueId: i % 2, body: Buffer.from(`m${i}`), uniqueId: `id${i}`, keys: ['k'] }
    bytes += (await store.store(put)).recordBytes
    await store.store(put)
  }
  const { recordBytes } = await store.get({ topic: 'T', maxCount: 3 })
  const statistics = store.statistics()
  expect(statistics).toMatchObject({
    applied: { messages: 10, bytes },
    read: { messages: 3, bytes: recordBytes },
    topics: 1,
    queues: 2,
    repeatedSends: { known: 10, repetitions: 10, forgottenEarly: 0 },
    disk: { state: 'ok' },
  })
  expect(statistics.log.appliedIndex).toBe(store.status().appliedIndex)
  expect(statistics.log.bytes).toBe(store.status().maxPhysicalOffset)
  expect(statistics.disk.freeBytes).toBeGreaterThan(0)
  expect(statistics.hotBytes).toBeGreaterThan(0)
  expect(statistics.keyIndex?.appliedPhysicalOffset).toBe(store.status().maxPhysicalOffset)
})

test('comes again after each interval, and ends with the signal', async () => {
  const clock = new ManualClock()
  const store = await MessageStore.open({ dir: temp.path, fileBytes: 1024 * 1024, clock })
  const ending = new AbortController()
  const taken: StoreStatistics[] = []
  const taking = (async () => {
    for await (const one of store.statisticsEvery(5_000, { signal: ending.signal })) taken.push(one)
  })()
  await until(() => taken.length === 1, 'the first is there')
  const timers = clock.timerCount
  clock.advance(5_000)
  await until(() => taken.length === 2, 'the second is there')
  ending.abort()
  await taking
  expect(taken).toHaveLength(2)
  await passes()
  expect(clock.timerCount).toBeLessThan(timers + 1)
  // Nobody asks: no timer of it is left, and closing ends those that are asked for.
  const last = store.statisticsEvery(5_000)
  await last.next()
  const waiting = last.next()
  await passing(clock, store.close())
  expect(await waiting).toEqual({ done: true, value: undefined })
})

test('an interval that is none is refused', async () => {
  const store = await open()
  await expect(store.statisticsEvery(0).next()).rejects.toMatchObject({ code: 'INVALID' })
})

test('events tell of roles, topics and the end', async () => {
  const store = await open()
  const told: string[] = []
  store.events.on('topics', () => told.push('topics'))
  store.events.on('role', ({ role, ready }) => told.push(`${role} ${ready}`))
  store.events.on('closed', () => told.push('closed'))
  await store.putTopic(defaultTopicConfig('T', 4))
  await store.store({ topic: 'T', body: Buffer.from('x') })
  expect(told).toEqual(['topics'])
  await store.close()
  expect(told.at(1)).toBe('FOLLOWER false')
  expect(told.at(-1)).toBe('closed')
  expect(told.filter((one) => one === 'closed')).toHaveLength(1)
})
