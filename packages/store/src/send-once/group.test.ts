/** Repeated sends on whole stores: over failovers, over restarts with and without what is kept beside the log, and alone. */
import fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewMessage } from '../api.ts'
import type { MessageStore } from '../message-store.ts'
import type { MessageStoreOptions } from '../options.ts'
import { message } from '../testing/fixture.ts'
import { until } from '../testing/manual-clock.ts'
import { OpenedGroup } from '../testing/opened-group.ts'
import { OpenedStores } from '../testing/opened-stores.ts'

/** Some hundred sends fill several files of the log. */
const OPTIONS = { fileBytes: 64 * 1024, consumeQueueFileBytes: 2000, duplicateSendWindowMs: 600_000 }

function send(id: string): NewMessage {
  return message('T', `body of ${id}`, { properties: `UNIQ_KEY\x01${id}\x02` })
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `id-${i}`)

describe('a group', () => {
  let group: OpenedGroup
  beforeEach(() => {
    group = new OpenedGroup(OPTIONS)
  })
  afterEach(() => group.close())

  test('answers what an earlier leader stored, and stores nothing', async () => {
    const first = await group.startAll()
    const places = await Promise.all(ids(50).map((id) => first.store(send(id))))
    await group.stop(first)
    const second = await group.leader()
    expect(await Promise.all(ids(50).map((id) => second.store(send(id))))).toMatchObject(
      places.map(({ physicalOffset, queueOffset }) => ({ physicalOffset, queueOffset })),
    )
    expect((await second.store(send('new'))).queueOffset).toBe(50)
    expect(second.maxOffset('T', 0)).toBe(51)
    // The member that comes back has read the end of its log, and knows what it stored itself and what it missed.
    const back = await group.start(first.status().self)
    await until(() => back.status().appliedIndex === second.status().lastIndex, 'it has caught up')
    await second.transferLeadership(back.status().self)
    await until(() => back.isReady(), 'it leads')
    expect((await back.store(send('id-7'))).physicalOffset).toBe(places[7]?.physicalOffset)
    expect((await back.store(send('new'))).queueOffset).toBe(50)
  })
})

let stores: OpenedStores
beforeEach(() => {
  stores = new OpenedStores()
})
afterEach(() => stores.close())

const start = (more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> => stores.open({ ...OPTIONS, ...more })

describe('a store that starts again', () => {
  test.each([
    { name: 'from its checkpoint', forgets: [] },
    { name: 'and builds everything from the log', forgets: ['metadata', 'consumequeue'] },
  ])('knows the sends of the span, over several log files: $name', async ({ forgets }) => {
    const before = await start()
    const places = await Promise.all(ids(600).map((id) => before.store(send(id))))
    await before.close()
    for (const name of forgets) fs.rmSync(`${stores.temp.path}/${name}`, { recursive: true })
    const after = await start()
    for (const i of [0, 1, 299, 599]) {
      expect((await after.store(send(`id-${i}`))).physicalOffset).toBe(places[i]?.physicalOffset)
    }
    expect(after.maxOffset('T', 0)).toBe(600)
    expect(places.at(-1)?.physicalOffset).toBeGreaterThan(64 * 1024)
  })

  test('knows as many as it may', async () => {
    const before = await start()
    await Promise.all(ids(100).map((id) => before.store(send(id))))
    await before.close()
    const after = await start({ duplicateSendIdsMax: 10 })
    expect((await after.store(send('id-99'))).queueOffset).toBe(99)
    expect((await after.store(send('id-0'))).queueOffset).toBe(100)
  })
})

test('is off by default: one message put twice is stored twice', async () => {
  const store = await start({ duplicateSendWindowMs: 0 })
  expect((await store.store(send('A'))).queueOffset).toBe(0)
  expect((await store.store(send('A'))).queueOffset).toBe(1)
})

test.each([
  { duplicateSendWindowMs: -1 },
  { duplicateSendWindowMs: 1.5 },
  { duplicateSendWindowMs: 604_800_001 },
  { duplicateSendIdsMax: 0 },
  { duplicateSendIdsMax: 16_777_217 },
])('%j is refused', async (more) => {
  await expect(start(more)).rejects.toMatchObject({ code: 'INVALID' })
})
