/** A directory that Apache's broker group wrote, opened: what it served is served, and the group goes on. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { decodeRecord, recordPropertyMap } from '@dledger-ts/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MessageStore } from '../message-store.ts'
import type { HalfMessageRow } from '../metadata/half-messages.ts'
import { defaultTopicConfig } from '../metadata/topic-config.ts'
import type { MessageStoreOptions } from '../options.ts'
import { filesBelow, get, message, TempDirectory } from '../testing/fixture.ts'

const ARCHIVE = new URL('../../../../test/vectors/dledger-store/n1.tar.gz', import.meta.url).pathname

interface Line {
  readonly level: string
  readonly fields: Record<string, unknown>
  readonly text: string
}

let temp: TempDirectory
let lines: Line[]
const open: MessageStore[] = []
beforeEach(() => {
  temp = new TempDirectory()
  lines = []
  execFileSync('tar', ['-xzf', ARCHIVE, '-C', temp.path])
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((store) => store.close()))
  temp.remove()
})

const directory = (): string => path.join(temp.path, 'store')

async function openStore(more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
  const note =
    (level: string) =>
    (fields: object, text: string): void =>
      void lines.push({ level, fields: { ...fields }, text })
  const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
  const store = await MessageStore.open({
    dir: directory(),
    self: 'n1',
    group: 'RaftNode00',
    fileBytes: 65_536,
    consumeQueueFileBytes: 2_000,
    flushDiskType: 'ASYNC_FLUSH',
    logger,
    ...more,
  })
  open.push(store)
  return store
}

/** Resolves when everything that the first leader appends is applied. */
async function tookOver(store: MessageStore): Promise<Line> {
  while (store.groups().get('GoldCG') === undefined || store.topics().get('GoldFill') === undefined) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  // Behind whatever was proposed before.
  await store.createTopic(defaultTopicConfig('After', 1))
  const line = lines.find(({ text }) => text.startsWith("took over what Apache's broker knew"))
  if (line === undefined) throw new Error('nothing was said of it')
  return line
}

async function allOf(store: MessageStore, topic: string, queueId: number): Promise<number[]> {
  const offsets: number[] = []
  for (let next = 0; next < store.maxOffset(topic, queueId);) {
    const { records, nextBeginOffset } = await get(store, { topic, queueId, queueOffset: next })
    for (const record of records) {
      const decoded = decodeRecord(record)
      expect([decoded.topic, decoded.queueId]).toEqual([topic, queueId])
      offsets.push(decoded.queueOffset)
    }
    next = nextBeginOffset
  }
  return offsets
}

/** How many entries Apache's broker left in the files of each queue. */
function queuesOfApache(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const [file, hex] of filesBelow(path.join(directory(), 'consumequeue'))) {
    const bytes = Buffer.from(hex, 'hex')
    let count = 0
    while (count * 20 < bytes.length && bytes.readInt32BE(count * 20 + 8) > 0) count++
    const queue = path.dirname(file)
    counts.set(queue, (counts.get(queue) ?? 0) + count)
  }
  return counts
}

async function countsOf(store: MessageStore, queues: Iterable<string>): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const queue of queues) {
    const offsets = await allOf(store, path.dirname(queue), Number(path.basename(queue)))
    expect(offsets).toEqual(offsets.map((_, i) => i))
    counts.set(queue, offsets.length)
  }
  return counts
}

test('a transaction that was open is pending, once however often Apache put it again, and ends once', async () => {
  const all = { from: 0, storedBeforeMs: Number.MAX_SAFE_INTEGER, limit: 100 }
  const store = await openStore()
  await tookOver(store)
  // Three that were committed or rolled back are in op records; the fourth was asked for again and again, in 33 records.
  const { rows } = await store.halfMessages(all)
  const [open] = rows
  expect(rows).toEqual([expect.objectContaining({ queueOffset: 35, checkCount: 12, producerGroup: 'GoldTxPG' })])
  expect(
    lines.filter(({ text }) => text.startsWith('transactions that were open')).map(({ fields }) => fields),
  ).toEqual([{ messages: 1 }])
  await store.close()

  const again = await openStore()
  await again.whenSettled()
  expect((await again.halfMessages(all)).rows).toEqual([open])
  const before = await bodiesOf(again, 'GoldTx')
  const { physicalOffset, queueOffset, producerGroup } = open as HalfMessageRow
  const end = { physicalOffset, queueOffset, producerGroup, outcome: 'commit' } as const
  await again.endTransaction(end)
  await again.endTransaction(end)
  expect(await bodiesOf(again, 'GoldTx')).toEqual([...before, 'transaction unknown'].sort())
  expect((await again.halfMessages(all)).rows).toEqual([])
  await again.close()

  const last = await openStore()
  await last.whenSettled()
  expect((await last.halfMessages(all)).rows).toEqual([])
  expect(await bodiesOf(last, 'GoldTx')).toEqual([...before, 'transaction unknown'].sort())
})

/** Of all queues of a topic. */
async function bodiesOf(store: MessageStore, topic: string): Promise<string[]> {
  const bodies: string[] = []
  for (let queueId = 0; queueId < (store.topics().get(topic)?.readQueueNums ?? 0); queueId++) {
    const { records } = await get(store, { topic, queueId, queueOffset: 0, maxCount: 100 })
    for (const record of records) bodies.push(decodeRecord(record).body.toString())
  }
  return bodies.sort()
}

test("queues, topics, groups and offsets are Apache's, in the place where Apache's broker put its log", async () => {
  const expected = queuesOfApache()
  expect(expected.size).toBe(16)
  const store = await openStore()
  const line = await tookOver(store)
  expect(line.fields).toMatchObject({ topics: 9, groups: 1, offsets: 5, levels: 2 })
  // The one delayed message that Apache had not delivered was due meanwhile; those that it had are not delivered again.
  const scheduled = await get(store, { topic: 'SCHEDULE_TOPIC_XXXX', queueId: 17 })
  const properties = recordPropertyMap(scheduled.records[0] as Buffer)
  const [topic, queueId] = [properties.get('REAL_TOPIC') as string, Number(properties.get('REAL_QID'))]
  const before = expected.get(`${topic}/${queueId}`) ?? 0
  while (store.maxOffset(topic, queueId) === before) await new Promise((resolve) => setImmediate(resolve))
  expected.set(`${topic}/${queueId}`, before + 1)
  expect(await countsOf(store, expected.keys())).toEqual(expected)
  expect([...store.topics().keys()].sort()).toEqual(
    ['%DLQ%GoldCG', '%RETRY%GoldCG', 'After', 'GoldA', 'GoldB', 'GoldFill', 'GoldTx']
      .concat('RaftCluster', 'RaftCluster_REPLY_TOPIC', 'RaftNode00')
      .sort(),
  )
  expect(store.topics().get('GoldB')).toMatchObject({ readQueueNums: 3, writeQueueNums: 3, perm: 6 })
  expect(store.consumerOffsets('GoldCG')).toEqual(
    new Map([
      ['GoldA', new Map(Object.entries({ 0: 4, 1: 3 }).map(([queueId, offset]) => [Number(queueId), offset]))],
      ['%RETRY%GoldCG', new Map([[0, 2]])],
    ]),
  )
  await store.store(message('GoldB', 'new', { queueId: 2 }))
  store.commitConsumerOffset('GoldCG', 'GoldA', 0, 5)
  await store.close()

  const again = await openStore()
  expected.set('GoldB/2', (expected.get('GoldB/2') ?? 0) + 1)
  expect(await countsOf(again, expected.keys())).toEqual(expected)
  expect(again.consumerOffset('GoldCG', 'GoldA', 0)).toBe(5)
  await again.close()

  // Nothing but the log: what was taken over is in it, and the files of Apache's configuration are not asked again.
  for (const name of ['metadata', 'consumequeue']) fs.rmSync(path.join(directory(), name), { recursive: true })
  fs.writeFileSync(path.join(directory(), 'config/topics.json'), '{"topicConfigTable":{"Late":{}}}')
  const rebuilt = await openStore()
  expect(await countsOf(rebuilt, expected.keys())).toEqual(expected)
  expect(rebuilt.consumerOffset('GoldCG', 'GoldA', 0)).toBe(5)
  expect(rebuilt.topics().has('Late')).toBe(false)
  expect(fs.existsSync(path.join(directory(), 'commitlog'))).toBe(false)
  expect(lines.filter(({ text }) => text.startsWith('took over'))).toHaveLength(1)
})

test('without the files of its configuration, queues get their topics and delayed messages go out again, which is told', async () => {
  fs.rmSync(path.join(directory(), 'config'), { recursive: true })
  const store = await openStore()
  while (store.topics().get('GoldFill') === undefined) await new Promise((resolve) => setImmediate(resolve))
  expect(store.topics().get('GoldB')).toMatchObject({ readQueueNums: 3, writeQueueNums: 3, perm: 6 })
  expect(
    [...store.topics().keys()].filter((topic) => topic.startsWith('RMQ_SYS') || topic.startsWith('SCHED')),
  ).toEqual([])
  const told = lines.filter(({ text }) => text.startsWith('no delayOffset.json'))
  expect(told.map(({ fields }) => fields).sort((a, b) => Number(a['level']) - Number(b['level']))).toEqual([
    { level: 1, messages: 3 },
    { level: 2, messages: 1 },
    { level: 18, messages: 1 },
  ])
})

test('a configuration that cannot be read is refused, and nothing is changed', async () => {
  for (const name of ['topics.json', 'topics.json.bak']) {
    fs.writeFileSync(path.join(directory(), 'config', name), '{"topicConfigTable":')
  }
  await expect(openStore()).rejects.toThrow(/topics\.json of Apache's broker cannot be read: .*Mend it, or remove it/)
  expect(fs.existsSync(path.join(directory(), 'dledger-n1/currterm'))).toBe(true)
})

test('a broken file of the configuration gives way to the one before it', async () => {
  fs.writeFileSync(path.join(directory(), 'config/consumerOffset.json'), '\0'.repeat(100))
  const store = await openStore()
  await tookOver(store)
  expect(store.consumerOffset('GoldCG', '%RETRY%GoldCG', 0)).toBeTypeOf('number')
})

test('a log in both places is refused', async () => {
  fs.cpSync(path.join(directory(), 'dledger-n1'), path.join(directory(), 'commitlog/dledger-n1'), { recursive: true })
  await expect(openStore()).rejects.toThrow(/both hold a log of member n1: move the one away/)
})

test('a log under storePathCommitLog is opened there', async () => {
  fs.mkdirSync(path.join(directory(), 'commitlog'))
  fs.renameSync(path.join(directory(), 'dledger-n1'), path.join(directory(), 'commitlog/dledger-n1'))
  const store = await openStore()
  await tookOver(store)
  expect(store.maxOffset('GoldFill', 0)).toBe(55)
})

/** As Apache's broker leaves it after `fileReservedTime`: its first data files are gone, its ConsumeQueues go on. */
function deleteOldFiles(count: number): void {
  const data = path.join(directory(), 'dledger-n1/data')
  for (const name of fs.readdirSync(data).sort().slice(0, count)) fs.rmSync(path.join(data, name))
}

test('a log whose head Apache has deleted is served from where it begins, and queue offsets go on', async () => {
  const ends = queuesOfApache()
  deleteOldFiles(3)
  const store = await openStore()
  const line = await tookOver(store)
  expect(line.fields).toMatchObject({ topics: 9, groups: 1 })
  expect(store.status().firstIndex).toBeGreaterThan(60)
  for (const [queue, end] of ends) {
    const [topic, queueId] = [path.dirname(queue), Number(path.basename(queue))]
    const min = store.minOffset(topic, queueId)
    expect([queue, store.maxOffset(topic, queueId) >= end, min <= end]).toEqual([queue, true, true])
    if (store.maxOffset(topic, queueId) === min) continue
    const first = await get(store, { topic, queueId, queueOffset: min })
    expect(first.status).toBe('FOUND')
  }
  // All of its messages are gone; the next one does not begin anew.
  expect([store.minOffset('%DLQ%GoldCG', 0), store.maxOffset('%DLQ%GoldCG', 0)]).toEqual([1, 1])
  expect(await store.store(message('%DLQ%GoldCG', 'dead too'))).toMatchObject({ queueOffset: 1 })
  expect(store.minOffset('GoldFill', 0)).toBeGreaterThan(0)
  const next = store.maxOffset('GoldFill', 0)
  expect(await store.store(message('GoldFill', 'new'))).toMatchObject({ queueOffset: next })
  const queues = [...ends.keys(), '%DLQ%GoldCG/0'].map((queue) => [path.dirname(queue), Number(path.basename(queue))])
  const ranges = (of: MessageStore): unknown =>
    queues.map(([topic, id]) => [
      of.minOffset(topic as string, id as number),
      of.maxOffset(topic as string, id as number),
    ])
  await store.close()
  const again = await openStore()
  expect(ranges(again)).toEqual(ranges(store))
  await again.close()
  for (const name of ['metadata', 'consumequeue']) fs.rmSync(path.join(directory(), name), { recursive: true })
  const rebuilt = await openStore()
  expect(ranges(rebuilt)).toEqual(ranges(store))
  expect(await get(rebuilt, { topic: 'GoldFill', queueOffset: next })).toMatchObject({ status: 'FOUND' })
})
