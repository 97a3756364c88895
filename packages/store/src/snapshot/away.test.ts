/** A member that was away while the log was trimmed: given state and files, it serves what the others serve. */
import { recordBody } from '@dledger-ts/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { MessageStore } from '../message-store.ts'
import { defaultTopicConfig } from '../metadata/topic-config.ts'
import { get, message } from '../testing/fixture.ts'
import { until } from '../testing/manual-clock.ts'
import { OpenedGroup } from '../testing/opened-group.ts'

const FILE_BYTES = 64 * 1024
let group: OpenedGroup
beforeEach(() => {
  group = new OpenedGroup({
    fileBytes: FILE_BYTES,
    consumeQueueFileBytes: 400,
    checkpointIntervalMs: 50,
    retentionIntervalMs: 50,
    retentionBytes: 4 * FILE_BYTES,
    retainForLaggingBytes: 0,
    hotBytesMax: 0,
    messageDelayLevel: '1h',
  })
})
afterEach(() => group.close())

async function fill(store: MessageStore, from: number, count: number): Promise<void> {
  const puts: Promise<unknown>[] = []
  for (let i = from; i < from + count; i++) {
    const properties = `KEYS\x01key${i}\x02`
    puts.push(store.store(message('T', `m${i}`.padEnd(800, '.'), { queueId: i % 3, properties })))
  }
  await Promise.all(puts)
}

/** All that the log still has of each queue. */
async function served(store: MessageStore): Promise<unknown> {
  const queues: unknown[] = []
  for (const [topic, queueId] of [
    ['T', 0],
    ['T', 1],
    ['T', 2],
    ['Gone', 0],
    ['Dropped', 0],
  ] as const) {
    const minOffset = store.minOffset(topic, queueId)
    const maxOffset = store.maxOffset(topic, queueId)
    const bodies: string[] = []
    for (let at = minOffset; at < maxOffset;) {
      const result = await get(store, { topic, queueId, queueOffset: at, maxCount: 16 })
      expect(result.status).toBe('FOUND')
      for (const record of result.records) bodies.push(recordBody(record).toString().replace(/\.+$/, ''))
      at = result.nextBeginOffset
    }
    queues.push({ topic, queueId, minOffset, maxOffset, bodies })
  }
  return { queues, topics: [...store.topics()], groups: [...store.groups()], offset: store.consumerOffset('g', 'T', 0) }
}

test('a follower that was away while the log was trimmed serves every retained message, also after it is started again', async () => {
  const first = await group.startAll()
  await first.putTopic(defaultTopicConfig('T', 3))
  for (let i = 0; i < 5; i++) await first.store(message('Gone', `g${i}`))
  await fill(first, 0, 60)
  const away = group.follower()
  const { self } = away.status()
  await until(() => away.status().appliedIndex === first.status().lastIndex, 'all have all')
  await group.stop(away)

  const lead = await group.leader()
  await fill(lead, 60, 800)
  await lead.putTopic(defaultTopicConfig('Dropped', 1))
  for (let i = 0; i < 5; i++) await lead.store(message('Dropped', `d${i}`))
  await lead.deleteTopic('Dropped')
  await lead.store(message('Dropped', 'since'))
  await fill(lead, 860, 100)
  lead.commitConsumerOffset('g', 'T', 0, 7)
  await lead.flushConsumerOffsets()
  await until(() => lead.status().firstIndex > 100, 'the head is gone')
  const back = await group.start(self)
  await until(() => back.status().appliedIndex === lead.status().lastIndex, 'it has caught up')
  await fill(lead, 960, 10)
  const isLevel = (store: MessageStore): boolean =>
    store.status().appliedIndex === lead.status().lastIndex &&
    store.status().firstIndex === lead.status().firstIndex &&
    ['T/0', 'T/1', 'T/2', 'Gone/0'].every((name) => {
      const [topic, queueId] = name.split('/') as [string, string]
      return store.minOffset(topic, Number(queueId)) === lead.minOffset(topic, Number(queueId))
    })
  await until(() => isLevel(back), 'it is level, its queues too')
  const expected = await served(lead)
  expect(await served(back)).toEqual(expected)
  const found = await back.query({ topic: 'T', key: 'key950', maxCount: 9 })
  expect(found.records.map((record) => recordBody(record).toString().replace(/\.+$/, ''))).toEqual(['m950'])
  expect(expected).toMatchObject({
    offset: 7,
    queues: [{}, {}, {}, { minOffset: 5, maxOffset: 5, bodies: [] }, { minOffset: 5, bodies: ['since'] }],
  })
  await group.stop(back)
  const again = await group.start(self)
  // Minima are looked for after a start; until then they are those of its last checkpoint.
  await until(() => isLevel(again), 'it is level again')
  expect(await served(again)).toEqual(await served(lead))
  await group.stopAll()
}, 60_000)
