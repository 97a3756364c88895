/** Groups that a tool moves, clears or forbids a topic: through the log, kept over restarts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { MessageStore } from './message-store.ts'
import { defaultSubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import { ManualClock, passing } from './testing/manual-clock.ts'
import { OpenedStores } from './testing/opened-stores.ts'

let stores: OpenedStores
beforeEach(() => {
  stores = new OpenedStores()
})
afterEach(() => stores.close())

async function reopened(store: MessageStore): Promise<MessageStore> {
  await store.close()
  return stores.open()
}

describe('a group that is moved', () => {
  test('goes on there at once, and what its consumers commit does not count until they are told', async () => {
    let store = await stores.open()
    store.commitConsumerOffset('g', 'T', 0, 50)
    const moved = store.resetConsumerOffsets('g', 'T', new Map([[0, 10]]))
    expect(store.consumerOffset('g', 'T', 0)).toBe(10)
    store.commitConsumerOffset('g', 'T', 0, 51)
    await moved
    store.commitConsumerOffset('g', 'T', 0, 52)
    expect(store.consumerOffset('g', 'T', 0)).toBe(10)
    expect(store.consumerOffsets('g').get('T')).toEqual(new Map([[0, 10]]))
    expect(store.pendingReset('g', 'T', 1)).toBeUndefined()

    store = await reopened(store)
    store.commitConsumerOffset('g', 'T', 0, 53)
    expect(store.consumerOffset('g', 'T', 0)).toBe(10)

    expect(store.takeReset('g', 'T', 0)).toBe(10)
    expect(store.takeReset('g', 'T', 0)).toBeUndefined()
    store.commitConsumerOffset('g', 'T', 0, 11)
    expect(store.consumerOffset('g', 'T', 0)).toBe(11)
    store = await reopened(store)
    expect(store.pendingReset('g', 'T', 0)).toBeUndefined()
    expect(store.consumerOffset('g', 'T', 0)).toBe(11)
  })

  test('may be moved again before they are told, and where it had not begun', async () => {
    const store = await stores.open()
    await store.resetConsumerOffsets('g', 'T', new Map([[0, 10]]))
    const told = store.takeReset('g', 'T', 0)
    await store.resetConsumerOffsets('g', 'T', new Map([[0, 20]]))
    expect([told, store.pendingReset('g', 'T', 0)]).toEqual([10, 20])
    expect([...store.groupsWithOffsets()]).toEqual(['g'])
  })

  test('has nothing in order to wait for any more', async () => {
    const store = await stores.open()
    const queue = { group: 'g', topic: 'T', queueId: 0 }
    store.commitConsumerOffset('g', 'T', 0, 3)
    await store.orderedPops.pop(queue, {
      fromOffset: 3,
      queueOffsets: [3, 4],
      nextOffset: 5,
      untilMs: Number.MAX_SAFE_INTEGER,
      poppedMs: 1,
      attemptId: null,
    })
    expect(store.orderedPops.batch(queue)).toBeDefined()
    await store.resetConsumerOffsets('g', 'T', new Map([[0, 3]]))
    expect(store.orderedPops.batch(queue)).toBeUndefined()
  })

  test('is forgotten with its topic, or with its offsets', async () => {
    const store = await stores.open()
    await store.putTopic(defaultTopicConfig('T', 1))
    await store.resetConsumerOffsets('g', 'T', new Map([[0, 10]]))
    await store.deleteTopic('T')
    expect(store.pendingReset('g', 'T', 0)).toBeUndefined()
    await store.resetConsumerOffsets('g', 'U', new Map([[0, 10]]))
    await store.deleteConsumerOffsets('g')
    expect(store.pendingReset('g', 'U', 0)).toBeUndefined()
    expect(store.consumerOffset('g', 'U', 0)).toBeUndefined()
  })

  test('in more queues than one entry has room for is refused, and stays where it was', async () => {
    let store = await stores.open()
    const group = 'g'.repeat(200)
    store.commitConsumerOffset(group, 'T', 0, 50)
    const queues = new Map(Array.from({ length: 6_000 }, (_, queueId) => [queueId, 10]))
    await expect(store.resetConsumerOffsets(group, 'T', queues)).rejects.toMatchObject({ code: 'TOO_LARGE' })
    expect(store.consumerOffsets(group)).toEqual(new Map([['T', new Map([[0, 50]])]]))
    expect(store.pendingReset(group, 'T', 0)).toBeUndefined()
    store.commitConsumerOffset(group, 'T', 0, 51)
    expect(store.consumerOffset(group, 'T', 0)).toBe(51)
    store = await reopened(store)
    expect(store.consumerOffset(group, 'T', 0)).toBe(51)
  })

  test('while a move of it is under way, by one that is refused, goes on where the first said', async () => {
    const store = await stores.open()
    const group = 'g'.repeat(200)
    const moved = store.resetConsumerOffsets(group, 'T', new Map([[0, 20]]))
    const queues = new Map(Array.from({ length: 6_000 }, (_, queueId) => [queueId, 10]))
    const refused = store.resetConsumerOffsets(group, 'T', queues)
    expect(store.pendingReset(group, 'T', 0)).toBe(20)
    await expect(refused).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await moved
    expect(store.takeReset(group, 'T', 0)).toBe(20)
    expect(store.consumerOffset(group, 'T', 0)).toBe(20)
  })

  test('of no queue, or to no offset, is refused', async () => {
    const store = await stores.open()
    await expect(store.resetConsumerOffsets('g', 'T', new Map([[-1, 10]]))).rejects.toMatchObject({ code: 'INVALID' })
    await expect(store.resetConsumerOffsets('g', 'T', new Map([[0, -10]]))).rejects.toMatchObject({ code: 'INVALID' })
    expect(store.consumerOffset('g', 'T', 0)).toBeUndefined()
  })
})

test('offsets of a group are forgotten, also those that wait to be appended, and those of other groups are not', async () => {
  let store = await stores.open()
  store.commitConsumerOffset('g', 'T', 0, 5)
  await store.flushConsumerOffsets()
  store.commitConsumerOffset('g', 'T', 1, 6)
  store.commitConsumerOffset('gg', 'T', 0, 7)
  await store.deleteConsumerOffsets('g')
  const offsets = (): unknown => [store.consumerOffsets('g'), store.consumerOffset('gg', 'T', 0)]
  expect(offsets()).toEqual([new Map(), 7])
  store = await reopened(store)
  expect(offsets()).toEqual([new Map(), 7])
  expect([...store.groupsWithOffsets()]).toEqual(['gg'])
})

describe('what was told while offsets are being deleted does not come back', () => {
  const cases: [string, (store: MessageStore) => Promise<void>][] = [
    ['with a group', (store) => store.deleteConsumerOffsets('g')],
    ['with a topic', (store) => store.deleteTopic('T')],
  ]
  test.each(cases)('%s: neither what waited to be appended, nor what came in between', async (_name, forget) => {
    const clock = new ManualClock()
    let store = await stores.open({ clock })
    await store.putTopic(defaultTopicConfig('T', 2))
    store.commitConsumerOffset('g', 'T', 0, 5)
    const deleting = forget(store)
    // What waits is appended now.
    clock.advance(200)
    store.commitConsumerOffset('g', 'T', 1, 6)
    await deleting
    await passing(clock, store.flushConsumerOffsets())
    expect(store.consumerOffsets('g')).toEqual(new Map())
    await passing(clock, store.close())
    store = await stores.open()
    expect(store.consumerOffsets('g')).toEqual(new Map())
  })

  test('that a consumer stands where its group was moved', async () => {
    let store = await stores.open()
    await store.resetConsumerOffsets('g', 'T', new Map([[0, 10]]))
    const deleting = store.deleteConsumerOffsets('g')
    expect(store.takeReset('g', 'T', 0)).toBe(10)
    await deleting
    // Behind the end of the reset.
    await store.putGroup(defaultSubscriptionGroupConfig('g'))
    expect(store.consumerOffset('g', 'T', 0)).toBeUndefined()
    store = await reopened(store)
    expect(store.consumerOffset('g', 'T', 0)).toBeUndefined()
  })
})

test('what a group may not do with a topic is kept, counts in the data version, and goes with the group', async () => {
  let store = await stores.open()
  await store.putGroup(defaultSubscriptionGroupConfig('g'))
  const { counter } = store.groupDataVersion()
  for (const flags of [-1, 0.5, Number.NaN]) {
    await expect(store.putForbidden('g', 'T', flags)).rejects.toMatchObject({ code: 'INVALID' })
  }
  await store.putForbidden('g', 'T', 4)
  await store.putForbidden('g', 'T', 4)
  await store.putForbidden('g', 'U', 4)
  await store.putForbidden('g', 'U', 0)
  expect(store.groupDataVersion().counter).toBe(counter + 4)
  store = await reopened(store)
  expect(store.forbiddenTopics()).toEqual(new Map([['g', new Map([['T', 4]])]]))
  await store.deleteGroup('g')
  expect(store.forbidden('g', 'T')).toBe(0)
  store = await reopened(store)
  expect(store.forbiddenTopics()).toEqual(new Map())
})

test('what only others read of a group is kept with it', async () => {
  let store = await stores.open()
  await store.putGroup({ ...defaultSubscriptionGroupConfig('g'), groupRetryPolicy: '{"type":"EXPONENTIAL"}' })
  store = await reopened(store)
  expect(store.groups().get('g')?.groupRetryPolicy).toBe('{"type":"EXPONENTIAL"}')
})
