/**
 * Random sends, answers, timeouts and failovers against what the log must hold in the end: of each topic and id, never two records
 * within the span, and an answer is always the place of a record with just this topic and id.
 */
import { decodeRecord, getProperty } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import type { NewMessage, PutResult } from '../api.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock, passes } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'
import { SendHash } from './send-identity.ts'

const WINDOW_MS = 100
const TIMEOUT_MS = 30

const sendOf = fc.record({
  topic: fc.constantFrom('T', 'U'),
  id: fc.constantFrom('A', 'B', 'C'),
  queueId: fc.nat({ max: 1 }),
})
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), send: sendOf, isDelayed: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('batch' as const),
      topic: fc.constantFrom('T', 'U'),
      ids: fc.array(fc.constantFrom('A', 'B', 'C'), { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('commit' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('failover' as const), kept: fc.nat({ max: 3 }), isSame: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('refuse' as const) }) },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

interface Sent {
  readonly topic: string
  readonly ids: readonly string[]
  readonly atMs: number
  /** What was in the log and not applied then was under way, however old. */
  readonly appliedEnd: number
  told: number
  results: readonly PutResult[]
}

class Run {
  readonly log = new MemoryLog()
  readonly clock = new ManualClock()
  readonly sent: Sent[] = []
  readonly cores: StoreCore[] = []
  readonly #directory: string
  #core: StoreCore | null = null

  constructor(directory: string) {
    this.#directory = directory
  }

  async lead(isSame: boolean): Promise<void> {
    if (!isSame || this.#core === null) {
      const core = makeCore({
        directory: `${this.#directory}/${this.cores.length}`,
        clock: this.clock,
        metadata: new MemoryMetadata(this.clock),
        sendOnce: { windowMs: WINDOW_MS, idsMax: 1000, timeoutMs: TIMEOUT_MS },
        delayLevelsMs: [50],
      })
      this.cores.push(core)
      await load(core)
      // Half of the members follow the log from its start, half read it when they have applied it.
      const isEarly = this.cores.length % 2 === 0
      if (isEarly) await core.takeUpSends()
      this.#core = core
      this.log.lead(core)
      if (!isEarly) await core.takeUpSends()
    } else {
      this.log.lead(this.#core)
    }
    await passes(4)
  }

  async take(one: Step): Promise<void> {
    const { log, clock } = this
    switch (one.kind) {
      case 'put':
        this.#put(one.send.topic, [one.send.id], one.send.queueId, one.isDelayed ? 'DELAY\x011\x02' : '')
        break
      case 'batch':
        this.#put(one.topic, one.ids, 0, null)
        break
      case 'commit':
        log.commit(one.count)
        break
      case 'wait':
        clock.advance(one.ms)
        break
      case 'expire':
        log.expire()
        break
      case 'failover':
        log.lose(one.kept)
        await this.lead(one.isSame)
        break
      case 'refuse':
        log.refuseNext()
        break
      default:
        one satisfies never
    }
    await passes(4)
  }

  #put(topic: string, ids: readonly string[], queueId: number, delay: string | null): void {
    const { putter, machine } = this.#core as StoreCore
    const sent: Sent = {
      topic,
      ids,
      atMs: machine.timeOfNext(),
      appliedEnd: machine.applied.physicalEnd,
      told: 0,
      results: [],
    }
    this.sent.push(sent)
    const messages = ids.map((id): NewMessage => {
      return message(topic, 'x', { queueId, properties: `UNIQ_KEY\x01${id}\x02${delay ?? ''}` })
    })
    const putFailed = (): void => {
      sent.told++
    }
    if (delay === null) {
      putter.putBatch(messages, {
        stored: (results) => {
          sent.told++
          sent.results = results
        },
        putFailed,
      })
      return
    }
    putter.put(messages[0] as NewMessage, {
      stored: (result) => {
        sent.told++
        sent.results = [result]
      },
      putFailed,
    })
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 6; i++) {
      this.log.commit()
      await passes(4)
      this.clock.advance(TIMEOUT_MS)
      await passes(4)
    }
  }

  check(): void {
    const byPlace = new Map<number, { key: string; storeTimestamp: number }>()
    const lastOf = new Map<string, number>()
    for (const { body } of this.log.entries) {
      const record = decodeRecord(body)
      if ((record.sysFlag & 0xc) !== 0 || record.properties.startsWith('DLEDGER_DELIVERED')) continue
      const topic = getProperty(record.properties, 'REAL_TOPIC') ?? record.topic
      const key = `${topic}/${getProperty(record.properties, 'UNIQ_KEY') ?? ''}`
      byPlace.set(record.physicalOffset, { key, storeTimestamp: record.storeTimestamp })
      const last = lastOf.get(key)
      if (last !== undefined) expect(record.storeTimestamp - last, `${key} is stored twice`).toBeGreaterThan(WINDOW_MS)
      lastOf.set(key, record.storeTimestamp)
    }
    for (const { topic, ids, atMs, appliedEnd, told, results } of this.sent) {
      expect(told).toBe(1)
      results.forEach(({ physicalOffset }, i) => {
        const found = byPlace.get(physicalOffset)
        expect(found?.key).toBe(`${topic}/${ids[i] ?? ''}`)
        if (physicalOffset < appliedEnd) expect(found?.storeTimestamp).toBeGreaterThanOrEqual(atMs - WINDOW_MS)
      })
    }
  }
}

let temp: TempDirectory | null = null
afterEach(() => {
  vi.restoreAllMocks()
  temp?.remove()
  temp = null
})

test.each([
  { name: 'with hashes', isColliding: false },
  { name: 'though all hashes are equal', isColliding: true },
])(
  'no two records of one topic and id within the span, $name',
  async ({ isColliding }) => {
    // Fewer than are compared: beyond that, equal hashes would be stored.
    const length = isColliding ? 14 : 60
    if (isColliding) vi.spyOn(SendHash.prototype, 'take').mockImplementation(() => {})
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: length }), async (steps) => {
        temp = new TempDirectory()
        const run = new Run(temp.path)
        try {
          await run.lead(false)
          for (const one of steps) await run.take(one)
          await run.settle()
          run.check()
        } finally {
          for (const core of run.cores) await close(core)
          temp.remove()
        }
      }),
      { numRuns: 150 },
    )
  },
  60_000,
)
