/** Repeated sends on whole stores: over failovers, over restarts with and without what is kept beside the log, and alone. */
import fs from 'node:fs'
import { systemClock } from '@dledger-ts/base'
import { MemoryNetwork, MemoryTransport } from '@dledger-ts/dledger'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewMessage } from '../api.ts'
import { MessageStore } from '../message-store.ts'
import type { MessageStoreOptions } from '../options.ts'
import { message, TempDirectory } from '../testing/fixture.ts'
import { until } from '../testing/manual-clock.ts'

const IDS = ['n0', 'n1', 'n2']
let temp: TempDirectory
const open = new Map<string, MessageStore>()
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(async () => {
  await Promise.all([...open.values()].map((store) => store.close()))
  open.clear()
  temp.remove()
})

async function start(self: string, more: Partial<MessageStoreOptions>): Promise<MessageStore> {
  const store = await MessageStore.open({
    dir: `${temp.path}/${self}`,
    self,
    fileBytes: 64 * 1024,
    consumeQueueFileBytes: 2000,
    duplicateSendWindowMs: 600_000,
    onFatal: (error) => {
      throw error
    },
    ...more,
  })
  open.set(self, store)
  return store
}

async function stop(store: MessageStore): Promise<void> {
  open.delete(store.status().self)
  await store.close()
}

function send(id: string): NewMessage {
  return message('T', `body of ${id}`, { properties: `UNIQ_KEY\x01${id}\x02` })
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `id-${i}`)

describe('a group', () => {
  test('answers what an earlier leader stored, and stores nothing', async () => {
    const network = new MemoryNetwork(systemClock)
    const ofGroup = (self: string): Partial<MessageStoreOptions> => ({
      group: 'g',
      peers: IDS.map((id) => ({ id, host: 'memory', port: 1 })),
      transport: new MemoryTransport({ self, network, clock: systemClock, peers: IDS }),
      tickMs: 10,
      heartbeatMs: 20,
      electionTimeoutMs: 500,
    })
    const leader = async (): Promise<MessageStore> => {
      const find = (): MessageStore | undefined => [...open.values()].find((store) => store.isReady())
      await until(() => find() !== undefined, 'there is a leader')
      return find() as MessageStore
    }
    await Promise.all(IDS.map((id) => start(id, ofGroup(id))))
    const first = await leader()
    const places = await Promise.all(ids(50).map((id) => first.store(send(id))))
    await stop(first)
    const second = await leader()
    expect(await Promise.all(ids(50).map((id) => second.store(send(id))))).toMatchObject(
      places.map(({ physicalOffset, queueOffset }) => ({ physicalOffset, queueOffset })),
    )
    expect((await second.store(send('new'))).queueOffset).toBe(50)
    expect(second.maxOffset('T', 0)).toBe(51)
    // The member that comes back has read the end of its log, and knows what it stored itself and what it missed.
    const back = await start(first.status().self, ofGroup(first.status().self))
    await until(() => back.status().appliedIndex === second.status().lastIndex, 'it has caught up')
    await second.transferLeadership(back.status().self)
    await until(() => back.isReady(), 'it leads')
    expect((await back.store(send('id-7'))).physicalOffset).toBe(places[7]?.physicalOffset)
    expect((await back.store(send('new'))).queueOffset).toBe(50)
  })
})

describe('a store that starts again', () => {
  test.each([
    { name: 'from its checkpoint', forgets: [] },
    { name: 'and builds everything from the log', forgets: ['metadata', 'consumequeue'] },
  ])('knows the sends of the span, over several log files: $name', async ({ forgets }) => {
    const before = await start('n0', {})
    const places = await Promise.all(ids(600).map((id) => before.store(send(id))))
    await stop(before)
    for (const name of forgets) fs.rmSync(`${temp.path}/n0/${name}`, { recursive: true })
    const after = await start('n0', {})
    for (const i of [0, 1, 299, 599]) {
      expect((await after.store(send(`id-${i}`))).physicalOffset).toBe(places[i]?.physicalOffset)
    }
    expect(after.maxOffset('T', 0)).toBe(600)
    expect(places.at(-1)?.physicalOffset).toBeGreaterThan(64 * 1024)
  })

  test('knows as many as it may', async () => {
    const before = await start('n0', {})
    await Promise.all(ids(100).map((id) => before.store(send(id))))
    await stop(before)
    const after = await start('n0', { duplicateSendIdsMax: 10 })
    expect((await after.store(send('id-99'))).queueOffset).toBe(99)
    expect((await after.store(send('id-0'))).queueOffset).toBe(100)
  })
})

test('is off by default: one message put twice is stored twice', async () => {
  const store = await start('n0', { duplicateSendWindowMs: 0 })
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
  await expect(start('n0', more)).rejects.toMatchObject({ code: 'INVALID' })
})
