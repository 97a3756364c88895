/**
 * What is kept beside the log, after kills at any point: always a state that the log had, and after applying the rest the
 * state of a member that was never killed.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { CommittedEntry } from '@dledger-ts/dledger'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { withDelivered } from './delivered-property.ts'
import { type Change, changeRecord, encodeChange } from './metadata/change.ts'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import { defaultSubscriptionGroupConfig } from './metadata/subscription-group-config.ts'
import { defaultTopicConfig } from './metadata/topic-config.ts'
import type { StoreCore } from './store-core.ts'
import {
  close,
  EntryMaker,
  filesBelow,
  flush,
  HOST,
  load,
  makeCore,
  message,
  stateOf,
  TempDirectory,
} from './testing/fixture.ts'
import { SealedMetadata } from './metadata/sealed-metadata.ts'
import { MemoryLog } from './testing/memory-log.ts'
import { ManualClock, passes, until } from './testing/manual-clock.ts'

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

/** Metadata whose batches wait while it is slow. */
class SlowMetadata extends MemoryMetadata {
  isSlow = false
  readonly waiting: (() => void)[] = []

  override write(...given: Parameters<MemoryMetadata['write']>): void {
    if (this.isSlow) this.waiting.push(() => super.write(...given))
    else super.write(...given)
  }
}

function change(maker: EntryMaker, what: Change): CommittedEntry {
  return maker.add(changeRecord(encodeChange(what), HOST, 0))
}

type Step =
  | { readonly kind: 'message'; readonly topic: number; readonly queueId: number; readonly tag: number }
  | { readonly kind: 'topic' | 'group' | 'deleteTopic' | 'rolledBack'; readonly topic: number }
  | { readonly kind: 'offset' | 'lock'; readonly topic: number; readonly value: number }
  | { readonly kind: 'delayed' | 'delivered'; readonly queueId: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('message' as const),
      topic: fc.nat(2),
      queueId: fc.nat(1),
      tag: fc.nat(3),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('topic', 'group', 'deleteTopic', 'rolledBack'),
      topic: fc.nat(2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('offset', 'lock'), topic: fc.nat(2), value: fc.nat(9) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('delayed', 'delivered'), queueId: fc.nat(2) }) },
)

/** Entries of a log with all kinds of content. */
function entriesOf(steps: readonly Step[]): CommittedEntry[] {
  const maker = new EntryMaker()
  const delayed = [0, 0, 0]
  const delivered = [0, 0, 0]
  for (const each of steps) {
    switch (each.kind) {
      case 'message': {
        const properties = each.tag === 0 ? '' : `TAGS\x01tag${each.tag}\x02`
        maker.add(message(`T${each.topic}`, 'body', { queueId: each.queueId, properties }))
        break
      }
      case 'topic':
        change(maker, { kind: 'putTopic', topic: defaultTopicConfig(`T${each.topic}`, 4) })
        break
      case 'deleteTopic':
        change(maker, { kind: 'deleteTopic', topicName: `T${each.topic}` })
        break
      case 'group':
        change(maker, { kind: 'createGroup', group: defaultSubscriptionGroupConfig(`G${each.topic}`) })
        break
      case 'rolledBack':
        maker.add(message(`T${each.topic}`, 'half', { sysFlag: 0xc }))
        break
      case 'offset':
        change(maker, { kind: 'consumerOffsets', offsets: [['G', `T${each.topic}`, 0, each.value]] })
        break
      case 'lock': {
        const clientId = each.value === 0 ? null : `c${each.value}`
        change(maker, { kind: 'queueLocks', locks: [['G', `T${each.topic}`, 0, clientId]] })
        break
      }
      case 'delayed':
        maker.add(
          message('SCHEDULE_TOPIC_XXXX', 'later', {
            queueId: each.queueId,
            properties: `DELAY\x01${each.queueId + 1}\x02`,
          }),
        )
        delayed[each.queueId] = (delayed[each.queueId] ?? 0) + 1
        break
      case 'delivered': {
        const next = delivered[each.queueId] ?? 0
        if (next === delayed[each.queueId]) break
        maker.add(
          message('T0', 'later', {
            properties: withDelivered('', { kind: 'level', level: each.queueId + 1, queueOffset: next }),
          }),
        )
        delivered[each.queueId] = next + 1
      }
    }
  }
  return maker.entries
}

/** The files of queues; what is below a minimum may be gone or not, and what is there of it counts for nothing. */
function countingFiles({ machine }: StoreCore, directory: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, hex] of filesBelow(path.join(directory, 'consumequeue'))) {
    const [topic, queueId, start] = name.split(path.sep)
    const queue = machine.queues.find(topic as string, Number(queueId))
    const below = ((queue?.minOffset ?? 0) * 20 - Number(start)) * 2
    if (below < hex.length) found.set(name, hex.slice(Math.max(0, below)).replace(/^(00)+$/, ''))
  }
  return new Map([...found].filter(([, hex]) => hex !== ''))
}

/** What a life of a member does before it is killed. */
interface Life {
  /** Batches applied, as shares of what is left. */
  readonly batches: readonly number[]
  /** After each batch: how far behind it the log is synced. */
  readonly lag: number
  readonly checkpointAfter: number
  /** null: the kill waits for a checkpoint under way. */
  readonly passesBeforeKill: number | null
  readonly keptBatches: number
}

const life: fc.Arbitrary<Life> = fc.record({
  batches: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 }),
  lag: fc.nat(4),
  checkpointAfter: fc.integer({ min: 1, max: 3 }),
  passesBeforeKill: fc.option(fc.nat(40), { freq: 2 }),
  keptBatches: fc.nat(4),
})

async function live(
  core: StoreCore,
  clock: ManualClock,
  entries: readonly CommittedEntry[],
  plan: Life,
): Promise<number> {
  let durable = core.machine.appliedIndex
  for (const [i, count] of plan.batches.entries()) {
    const from = core.machine.appliedIndex + 1
    const batch = entries.slice(from, from + count)
    if (batch.length === 0) break
    core.machine.apply(batch)
    durable = Math.max(durable, core.machine.appliedIndex - plan.lag)
    core.machine.durable(durable)
    if ((i + 1) % plan.checkpointAfter === 0) clock.advance(1_000)
    await passes(1)
  }
  if (plan.passesBeforeKill === null) await new Promise<void>((resolve) => core.whenIdle(resolve))
  else await passes(plan.passesBeforeKill)
  return durable
}

describe('a member that is killed', () => {
  test('takes up a state that its log had synced, and applying the rest gives what an unharmed member has', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 60 }),
        fc.array(life, { minLength: 1, maxLength: 4 }),
        async (steps, lives) => {
          const entries = entriesOf(steps)
          const directory = fs.mkdtempSync(path.join(temp.path, 'run-'))
          const clock = new ManualClock()
          let metadata = new MemoryMetadata(clock)
          let synced = -1
          for (const plan of lives) {
            const core = makeCore({ directory, clock, metadata })
            await load(core)
            expect(core.machine.appliedIndex).toBeLessThanOrEqual(synced)
            synced = Math.max(synced, await live(core, clock, entries, plan))
            core.checkInvariants()
            metadata = metadata.crash(plan.keptBatches)
            await close(core)
          }
          const unharmed = makeCore({ directory: `${directory}-unharmed`, clock, metadata: new MemoryMetadata(clock) })
          await load(unharmed)
          if (entries.length > 0) unharmed.machine.apply(entries)
          await flush(unharmed, entries.length - 1)

          const last = makeCore({ directory, clock, metadata })
          await load(last)
          const rest = entries.slice(last.machine.appliedIndex + 1)
          if (rest.length > 0) last.machine.apply(rest)
          await flush(last, entries.length - 1)
          expect(stateOf(last.machine, directory)).toEqual(stateOf(unharmed.machine, `${directory}-unharmed`))
          expect(countingFiles(last, directory)).toEqual(countingFiles(unharmed, `${directory}-unharmed`))
          await close(unharmed)
          await close(last)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('what is kept beside the log', () => {
  async function filled(metadata: MemoryMetadata, clock: ManualClock): Promise<CommittedEntry[]> {
    const maker = new EntryMaker()
    for (let i = 0; i < 10; i++) maker.add(message('T', `m${i}`))
    change(maker, { kind: 'putTopic', topic: defaultTopicConfig('T', 4) })
    const core = makeCore({ directory: temp.path, clock, metadata })
    await load(core)
    core.machine.apply(maker.entries)
    await flush(core, 10)
    await close(core)
    return maker.entries
  }

  test('is synced for a trim that waits for it, also one that is applied while an older one is written', async () => {
    const clock = new ManualClock()
    const metadata = new SlowMetadata(clock)
    const core = makeCore({ directory: temp.path, clock, metadata })
    await load(core)
    new MemoryLog().lead(core)
    const maker = new EntryMaker()
    const apply = (entries: readonly CommittedEntry[]): void => {
      core.machine.apply(entries)
      core.machine.durable(maker.entries.length - 1)
    }
    apply([maker.add(message('T', 'before'))])
    metadata.isSlow = true
    clock.advance(1_000)
    await until(() => metadata.waiting.length === 1, 'a checkpoint is written')
    apply([maker.add(message('T', 'meanwhile'))])
    apply([{ ...maker.add(message('control', 'trim')), kind: 'trim' }])
    metadata.isSlow = false
    for (const write of metadata.waiting) write()
    // Less than would pass before files are synced without anybody waiting.
    for (const endMs = clock.nowMs() + 50_000; clock.nowMs() < endMs && core.machine.checkpointIndex < 2;) {
      await new Promise((resolve) => setTimeout(resolve, 0))
      clock.advance(10)
    }
    expect(core.machine.checkpointIndex).toBe(2)
    core.stop()
    await close(core)
  })

  test('is never ahead of what is synced in the log', async () => {
    const clock = new ManualClock()
    const metadata = new MemoryMetadata(clock)
    const maker = new EntryMaker()
    const core = makeCore({ directory: temp.path, clock, metadata })
    await load(core)
    for (let i = 0; i < 6; i++) core.machine.apply([maker.add(message('T', `m${i}`))])
    core.machine.apply([change(maker, { kind: 'putTopic', topic: defaultTopicConfig('T', 4) })])
    core.machine.durable(3)
    clock.advance(1_000)
    await until(() => metadata.unsyncedBatches > 0, 'a checkpoint is written')
    const again = makeCore({ directory: temp.path, clock, metadata: metadata.crash(9) })
    await load(again)
    expect(again.machine.appliedIndex).toBe(3)
    expect(again.machine.metadata.topics.size).toBe(0)
    const file = fs.readFileSync(path.join(temp.path, 'consumequeue/T/0/00000000000000000060'))
    expect(file.subarray(20).every((byte) => byte === 0)).toBe(true)
  })

  const damages: { name: string; harm: (directory: string) => void }[] = [
    { name: 'a missing file', harm: (at) => fs.rmSync(path.join(at, 'consumequeue/T/0/00000000000000000060')) },
    { name: 'a short file', harm: (at) => fs.truncateSync(path.join(at, 'consumequeue/T/0/00000000000000000000'), 30) },
    { name: 'a missing topic', harm: (at) => fs.rmSync(path.join(at, 'consumequeue/T'), { recursive: true }) },
    {
      name: 'zeros where the newest entry was',
      harm: (at) => fs.writeFileSync(path.join(at, 'consumequeue/T/0/00000000000000000180'), Buffer.alloc(60)),
    },
  ]
  test.each(damages)('is built again from the log for the damaged queue alone: $name', async ({ harm }) => {
    const clock = new ManualClock()
    const metadata = new MemoryMetadata(clock)
    const entries = await filled(metadata, clock)
    const before = filesBelow(path.join(temp.path, 'consumequeue'))
    harm(temp.path)
    const core = makeCore({ directory: temp.path, clock, metadata })
    await load(core)
    expect(core.machine.appliedIndex).toBe(10)
    const log = new MemoryLog()
    log.entries.push(...entries)
    log.lead(core)
    const queue = core.machine.queues.findOrMake('T', 0)
    const isLast = !before.has('T/0/00000000000000000060') || queue.isBroken
    await until(() => isLast || queue.isBroken || core.repairs.status.queues === 0, 'the queue is looked at')
    core.repairs.damaged(queue, 'as a read would find')
    await until(() => !queue.isBroken, 'the queue is whole')
    await flush(core, 10)
    await close(core)
    expect(filesBelow(path.join(temp.path, 'consumequeue'))).toEqual(before)
    expect(core.machine.metadata.topicsVersion.counter).toBe(1)
  })

  test('is built again from the log as a whole when the database is not as it was written', async () => {
    const clock = new ManualClock()
    const metadata = new MemoryMetadata(clock)
    const entries = await filled(metadata, clock)
    const before = filesBelow(path.join(temp.path, 'consumequeue'))
    await new Promise<void>((resolve) =>
      metadata.write([{ key: 'queue\0T\x000', value: null }], { sync: true }, () => resolve()),
    )
    const core = makeCore({ directory: temp.path, clock, metadata })
    await load(core)
    expect(core.machine.appliedIndex).toBe(-1)
    core.machine.apply(entries)
    await flush(core, 10)
    await close(core)
    expect(filesBelow(path.join(temp.path, 'consumequeue'))).toEqual(before)
  })

  test('stops the member when it cannot be written, and is not tried again', async () => {
    const clock = new ManualClock()
    const failure = new Error('no space left on device')
    let writes = 0
    class FullMetadata extends MemoryMetadata {
      override write(_writes: unknown, _options: unknown, callback: (error: Error | null) => void): void {
        writes++
        clock.defer(() => callback(failure))
      }
    }
    const maker = new EntryMaker()
    const told: Error[] = []
    const metadata = new FullMetadata(clock)
    const core = makeCore({ directory: temp.path, clock, metadata, onFailed: (error) => told.push(error) })
    await load(core)
    core.machine.apply([maker.add(message('T', 'x'))])
    core.machine.durable(0)
    clock.advance(1_000)
    await until(() => told.length > 0, 'the failure is told')
    expect(() => core.machine.apply([maker.add(message('T', 'y'))])).toThrow(failure)
    core.machine.durable(0)
    clock.advance(60_000)
    await passes()
    expect([told, writes]).toEqual([[failure], 1])
    await expect(flush(core, 0)).rejects.toBe(failure)
    await close(core)
  })

  test('is forgotten when it is beyond the log', async () => {
    const clock = new ManualClock()
    const metadata = new MemoryMetadata(clock)
    const entries = await filled(metadata, clock)
    const core = makeCore({ directory: temp.path, clock, metadata })
    await load(core)
    expect(core.machine.appliedIndex).toBe(10)
    core.machine.discard()
    expect(core.machine.appliedIndex).toBe(-1)
    expect(filesBelow(path.join(temp.path, 'consumequeue')).size).toBe(0)
    core.machine.apply(entries.slice(0, 4))
    await flush(core, 3)
    await close(core)
    const again = makeCore({ directory: temp.path, clock, metadata })
    await load(again)
    expect(again.machine.appliedIndex).toBe(3)
    expect(again.machine.metadata.topics.size).toBe(0)
  })

  test('refuses a newer format and changes nothing', async () => {
    const clock = new ManualClock()
    const metadata = new MemoryMetadata(clock)
    await filled(metadata, clock)
    const value = new Packr({ useRecords: false }).pack({ v: 3 })
    const sealed = new SealedMetadata(metadata)
    await new Promise<void>((resolve) => sealed.load(() => resolve()))
    await new Promise<void>((resolve) => sealed.write([{ key: 'checkpoint', value }], { sync: true }, () => resolve()))
    const before = filesBelow(temp.path)
    await expect(load(makeCore({ directory: temp.path, clock, metadata }))).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
    expect(filesBelow(temp.path)).toEqual(before)
  })
})

describe('applying', () => {
  const rows: { name: string; entry: (maker: EntryMaker) => CommittedEntry; expected: string | RegExp }[] = [
    {
      name: 'a queue offset that is not the next one',
      entry: (maker) => maker.add(message('T', 'x'), { queueOffset: 5 }),
      expected: 'its queue offset is 5, the next one of queue T/0 is 0',
    },
    {
      name: 'a change of an unknown version',
      entry: (maker) => maker.add(changeRecord(Buffer.from('81a17602', 'hex'), HOST, 0)),
      expected: /version 2; this program knows version 1/,
    },
    {
      name: 'a change of an unknown kind',
      entry: (maker) => maker.add(changeRecord(Buffer.from('82a17601a46b696e64a178', 'hex'), HOST, 0)),
      expected: /kind "x"/,
    },
    {
      name: 'a change that is no map',
      entry: (maker) => maker.add(changeRecord(Buffer.from('a178', 'hex'), HOST, 0)),
      expected: /a change is no map/,
    },
    {
      name: 'an entry that is no record',
      entry: () => ({ index: 0, term: 1, pos: 0, kind: 'data', body: Buffer.alloc(100) }),
      expected: /holds no message record/,
    },
    {
      name: 'a delivery out of order',
      entry: (maker) =>
        maker.add(message('T', 'x', { properties: withDelivered('', { kind: 'level', level: 1, queueOffset: 3 }) })),
      expected: 'it delivers entry 3 of delay level 1, where 0 is the next',
    },
  ]
  test.each(rows)('stops at $name', async ({ entry, expected }: (typeof rows)[number]) => {
    const clock = new ManualClock()
    const core = makeCore({ directory: temp.path, clock, metadata: new MemoryMetadata(clock) })
    await load(core)
    expect(() => core.machine.apply([entry(new EntryMaker())])).toThrow(expected)
  })
})
