/** Three members over one network: what the leader took is on all of them, and survives it. */
import { recordBody } from '@dledger-ts/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { MessageStore } from './message-store.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import { filesBelow, get, message } from './testing/fixture.ts'
import { until } from './testing/manual-clock.ts'
import { IDS, OpenedGroup } from './testing/opened-group.ts'

let group: OpenedGroup
beforeEach(() => {
  group = new OpenedGroup({ fileBytes: 1024 * 1024, consumeQueueFileBytes: 2000, messageDelayLevel: '1s' })
})
afterEach(() => group.close())

async function bodies(store: MessageStore, topic: string): Promise<string[]> {
  const { records } = await get(store, { topic, maxCount: 1000, maxBytes: 1024 * 1024 })
  return records.map((record) => recordBody(record).toString())
}

test('messages, topics, users, offsets and locks are on every member and survive the leader', async () => {
  const first = await group.startAll()
  for (let i = 0; i < 20; i++) await first.store(message('T', `m${i}`))
  await first.putTopic(defaultTopicConfig('T', 4))
  const user = { username: 'u', password: 'secret', type: 'Normal', status: 'enable' } as const
  await first.changeAccess(() => ({ kind: 'putUser', user }))
  first.commitConsumerOffset('g', 'T', 0, 12)
  await first.lockQueues('g', 'client', [{ topic: 'T', queueId: 0 }])
  const version = first.dataVersion()
  expect(() => group.follower().commitConsumerOffset('g', 'T', 0, 1)).toThrow(
    expect.objectContaining({ code: 'NOT_LEADER' }) as Error,
  )
  // Closing flushes the offset that is coalesced, and hands over.
  await group.stop(first)
  const second = await group.leader()
  const expected = Array.from({ length: 20 }, (_, i) => `m${i}`)
  expect(await bodies(second, 'T')).toEqual(expected)
  expect(second.consumerOffset('g', 'T', 0)).toBe(12)
  expect(second.topics().get('T')?.writeQueueNums).toBe(4)
  expect(second.access().users.get('u')).toEqual(user)
  expect(await second.lockQueues('g', 'other', [{ topic: 'T', queueId: 0 }])).toEqual([])
  expect(await second.lockQueues('g', 'client', [{ topic: 'T', queueId: 0 }])).toHaveLength(1)
  expect(second.dataVersion().counter).toBe(version.counter)
  expect(second.dataVersion().stateVersion).toBeGreaterThan(version.stateVersion)
  expect((await second.store(message('T', 'more'))).queueOffset).toBe(20)

  const third = await group.start(first.status().self)
  await until(() => third.status().appliedIndex === second.status().lastIndex, 'it has caught up')
  expect(await bodies(third, 'T')).toEqual([...expected, 'more'])
  await second.store(message('T', 'the last'))
  await third.caughtUp()
  expect(await bodies(third, 'T')).toEqual([...expected, 'more', 'the last'])
  expect(third.access().users.get('u')).toEqual(user)
  await expect(third.changeAccess(() => ({ kind: 'deleteUser', username: 'u' }))).rejects.toMatchObject({
    code: 'NOT_LEADER',
  })
  expect(third.status()).toMatchObject({ ready: false, leaderAddress: `${second.status().self}.example:10911` })
  // A member writes what it has applied, and the last commit may not have come to all.
  const { lastIndex } = second.status()
  for (const store of group.stores) await until(() => store.status().appliedIndex >= lastIndex, 'all have applied it')
  await group.stopAll()
  const files = IDS.map((id) => filesBelow(`${group.directory(id)}/consumequeue`))
  expect(files[1]).toEqual(files[0])
  expect(files[2]).toEqual(files[0])
})

test('delayed messages are delivered once, though the leadership moves while they are due', async () => {
  const count = 60
  let store = await group.startAll()
  for (let i = 0; i < count; i++) await store.store(message('T', `m${i}`, { properties: 'DELAY\x011\x02' }))
  for (let moves = 0; moves < 3; moves++) {
    await until(() => (store.maxOffset('T', 0) > moves * 10 ? true : !store.isReady()), 'some are delivered')
    await store.transferLeadership()
    store = await group.leader()
  }
  await until(() => store.maxOffset('T', 0) >= count, 'all are delivered')
  await store.store(message('Other', 'a later entry, so that nothing is under way'))
  expect(await bodies(store, 'T')).toEqual(Array.from({ length: count }, (_, i) => `m${i}`))
})
