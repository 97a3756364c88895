/**
 * What is pending (timers, half messages, messages in flight) goes to another member with the state: row by row the same, and whoever leads
 * from there ends each of them once.
 */
import type { StateSnapshot } from '@dledger-ts/dledger'
import { decodeRecord } from '@dledger-ts/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PutResult } from '../api.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { flush, message } from '../testing/fixture.ts'
import { Leaderships } from '../testing/leaderships.ts'
import { passes, until } from '../testing/manual-clock.ts'

const PIECE_BYTES = 97
const NOW_MS = 1_700_000_000_000
const HANDLES = Array.from({ length: 40 }, (_, i) => ({
  group: `g${i % 2}`,
  topic: 'T',
  queueId: i % 3,
  queueOffset: i,
  untilMs: NOW_MS + 60_000 + (i % 5) * 1_000,
}))

let led: Leaderships
beforeEach(() => {
  led = new Leaderships()
})
afterEach(() => led.close())

async function committed<T>(promise: Promise<T>): Promise<T> {
  await passes(8)
  led.log.commit()
  return promise
}

function put(core: StoreCore, kind: 'put' | 'putHalf', body: string, properties: string): Promise<PutResult> {
  const sysFlag = kind === 'put' ? 0 : 4
  const given = message('T', body, { sysFlag, properties: `UNIQ_KEY\x01${body}\x02${properties}` })
  return committed(new Promise((stored, putFailed) => core.putter[kind](given, { stored, putFailed })))
}

function settled(begin: (callback: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => begin((error) => (error === null ? resolve() : reject(error))))
}

/** All rows of all ordered tables, as the database has them. */
function rowsOf(metadata: MemoryMetadata): Promise<readonly string[]> {
  return new Promise((resolve) => {
    metadata.range({ from: '~', before: '~~', limit: 1e9 }, (_, rows) => {
      resolve(rows.map(({ key, value }) => `${key} ${value.toString('hex')}`))
    })
  })
}

async function copyState(from: StoreCore, to: StoreCore): Promise<void> {
  const snapshot = await new Promise<StateSnapshot>((resolve, reject) => {
    from.machine.openSnapshot((error, opened) => (opened === null ? reject(error as Error) : resolve(opened)))
  })
  const restore = to.machine.restore(snapshot.index)
  for (let at = 0; ;) {
    const piece = await new Promise<Buffer>((resolve, reject) => {
      snapshot.read(at, PIECE_BYTES, (error, bytes) => (bytes === null ? reject(error as Error) : resolve(bytes)))
    })
    if (piece.length === 0) break
    await settled((callback) => restore.write(piece, callback))
    at += piece.length
  }
  snapshot.close()
  await settled((callback) => restore.commit(callback))
}

async function halves(core: StoreCore): Promise<readonly unknown[]> {
  return (await core.transactions.halfMessages({ from: 0, storedBeforeMs: Number.MAX_SAFE_INTEGER, limit: 100 })).rows
}

async function inFlight(core: StoreCore): Promise<readonly unknown[]> {
  const found: unknown[] = [(await core.pops.due(NOW_MS * 2, '', 100)).rows]
  for (const group of ['g0', 'g1']) {
    for (const queueId of [0, 1, 2]) found.push((await core.pops.inFlight({ group, topic: 'T', queueId }, 0, 100)).rows)
  }
  return found
}

test('another member has every row of what is pending, and ends each once', async () => {
  const { log, clock } = led
  const metadata = new MemoryMetadata(clock)
  const first = await led.leader(metadata)
  for (let i = 0; i < 30; i++)
    await put(first, 'put', `timer ${i}`, `TIMER_DELIVER_MS\x01${NOW_MS + 30_000 + i * 100}\x02`)
  const prepared: PutResult[] = []
  for (let i = 0; i < 20; i++) prepared.push(await put(first, 'putHalf', `half ${i}`, 'PGROUP\x01pg\x02'))
  await committed(Promise.all(HANDLES.map((handle) => first.pops.pop(handle, handle.untilMs, NOW_MS))))
  // Some have ended, some have changed.
  const recalled = { topic: 'T', deliverMs: NOW_MS + 30_000, uniqKey: 'timer 0' }
  await committed(first.recall.recall(recalled))
  const ending = (i: number): Parameters<StoreCore['transactions']['end']>[0] => {
    const { physicalOffset, queueOffset } = prepared[i] as PutResult
    return { physicalOffset, queueOffset, producerGroup: 'pg', outcome: 'commit' }
  }
  await committed(first.transactions.end(ending(0)))
  await committed(first.transactions.countCheck([(prepared[1] as PutResult).physicalOffset], NOW_MS + 7))
  const [acknowledged, changed, ...others] = HANDLES as [(typeof HANDLES)[0], (typeof HANDLES)[0]]
  await committed(first.pops.acknowledge(acknowledged))
  const changedHandle = { ...changed, untilMs: changed.untilMs + 5_000 }
  await committed(first.pops.changeInvisible(changed, changedHandle.untilMs))
  await flush(first, first.machine.appliedIndex)

  const otherMetadata = new MemoryMetadata(clock)
  const second = await led.open(otherMetadata)
  await copyState(first, second)
  expect(second.machine.applied).toEqual(first.machine.applied)
  const rows = await rowsOf(metadata)
  expect(rows).toHaveLength(29 + 19 + 39 * 2)
  expect(await rowsOf(otherMetadata)).toEqual(rows)
  const files = first.machine.metadata.pendingFiles
  expect([...second.machine.metadata.pendingFiles.all()]).toEqual([...files.all()])
  expect(files.count).toBe(29 + 19)
  expect(await halves(second)).toEqual(await halves(first))
  expect(await inFlight(second)).toEqual(await inFlight(first))

  log.lose(0)
  log.lead(second)
  expect(await second.recall.recall(recalled)).toBe(false)
  expect(await second.transactions.end(ending(0))).toBeNull()
  expect(await second.pops.acknowledge(acknowledged)).toBe(false)
  expect(await second.pops.acknowledge(changed)).toBe(false)
  for (let i = 1; i < prepared.length; i++) expect(await committed(second.transactions.end(ending(i)))).not.toBeNull()
  expect(await committed(second.pops.acknowledge(changedHandle))).toBe(true)
  for (const handle of others) expect(await committed(second.pops.acknowledge(handle))).toBe(true)
  const bodies = (): string[] =>
    log.entries
      .map(({ body }) => decodeRecord(body))
      .filter(({ topic, sysFlag }) => topic === 'T' && (sysFlag & 4) === 0)
      .map(({ body }) => body.toString())
  clock.advance(40_000)
  await until(() => {
    log.commit()
    return bodies().filter((body) => body.startsWith('timer')).length === 29
  }, 'the timers are delivered')
  expect(new Set(bodies()).size).toBe(29 + 20)
  expect(bodies()).toHaveLength(29 + 20)
  await passes(20)
  await flush(second, second.machine.appliedIndex)
  expect(await rowsOf(otherMetadata)).toEqual([])
  expect(second.machine.metadata.pendingFiles.count).toBe(0)
})
