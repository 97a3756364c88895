/**
 * The files that a store derives from its log, on a drive that loses whatever was not synced: sectors and names, in any order. After
 * kills and power cuts at any moment a reader gets exactly the messages of the log.
 */
import { type Clock, crc32, silentLogger } from '@dledger-ts/base'
import type { CommittedEntry } from '@dledger-ts/dledger'
import { hostAddress, RecordDraft, recordBody } from '@dledger-ts/protocol'
import { type AttachedLog, type GetResult, MemoryMetadata, StoreCore } from '@dledger-ts/store'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Decisions } from './decisions.ts'
import { EventQueue, type Process } from './sim-clock.ts'
import { SimDisk } from './sim-disk.ts'
import { SimDrive } from './sim-drive.ts'

const HOST = hostAddress('127.0.0.1', 10911)
const QUEUES = 3

/** A log that survives everything, for it was synced before anything was derived from it. */
class SyncedLog implements AttachedLog {
  readonly entries: CommittedEntry[] = []
  readonly bodies: string[][] = Array.from({ length: QUEUES }, () => [])
  readonly firstIndex = 0
  readonly forgetBefore = 0
  readonly #events: EventQueue
  readonly #owner: Process
  #pos = 0

  get lastIndex(): number {
    return this.entries.length - 1
  }

  constructor(events: EventQueue, owner: Process) {
    this.#events = events
    this.#owner = owner
  }

  add(queue: number): void {
    const index = this.entries.length
    const bodies = this.bodies[queue] as string[]
    const draft = new RecordDraft({
      topic: `T${queue}`,
      queueId: 0,
      flag: 0,
      sysFlag: 0,
      bornTimestamp: 1,
      bornHost: HOST,
      storeHost: HOST,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: Buffer.from(`message ${index}`),
      properties: '',
    })
    const body = Buffer.alloc(draft.bytes)
    const place = { queueOffset: bodies.length, physicalOffset: this.#pos + 48, storeTimestamp: 1_700_000_000_000 }
    draft.encode(body, 0, place)
    bodies.push(`message ${index}`)
    this.entries.push({ index, term: 1, pos: this.#pos, kind: 'data', body })
    this.#pos += 48 + body.length
  }

  readApplied(
    firstIndex: number,
    lastIndex: number,
    _bytesMax: number,
    callback: (error: Error | null, entries: readonly CommittedEntry[] | null) => void,
  ): void {
    const found = this.entries.slice(firstIndex, Math.min(lastIndex, firstIndex + 3) + 1)
    this.#later(() => callback(null, found))
  }

  readBytes(pos: number, size: number, callback: (error: Error | null, bytes: Buffer | null) => void): void {
    const bytes = Buffer.alloc(size)
    for (const { index, pos: at, body } of this.entries) {
      const header = Buffer.alloc(48)
      header.writeInt32BE(1, 0)
      header.writeInt32BE(48 + body.length, 4)
      header.writeBigInt64BE(BigInt(index), 8)
      header.writeBigInt64BE(BigInt(at), 24)
      header.writeUInt32BE(crc32(body), 40)
      header.writeInt32BE(body.length, 44)
      const entry = Buffer.concat([header, body])
      const from = Math.max(pos, at)
      const to = Math.min(pos + size, at + entry.length)
      if (from < to) entry.copy(bytes, from - pos, from - at, to - at)
    }
    this.#later(() => callback(null, bytes))
  }

  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    const found = this.entries.find((entry) => entry.pos === pos) ?? null
    this.#later(() => callback(null, found))
  }

  firstIndexInFileOf(): number {
    return 0
  }

  propose(): void {
    throw new Error('nothing is proposed here')
  }

  #later(run: () => void): void {
    this.#events.schedule(50, 'log', this.#owner, run)
  }
}

/** What a process that died has scheduled is never run. */
function clockOf(events: EventQueue, owner: Process): Clock {
  return {
    nowMs: () => 1_700_000_000_000 + Math.floor(events.nowUs / 1000),
    monotonicMs: () => events.nowUs / 1000,
    after: (delayMs, callback) => {
      const event = events.schedule(delayMs * 1000, 'timer', owner, callback)
      return () => {
        event.run = null
      }
    },
    defer: (callback) => {
      events.schedule(1, 'defer', owner, callback)
    },
  }
}

class Machine {
  readonly events = new EventQueue()
  readonly owner: Process = { id: 0, incarnation: 1, paused: false, heldBack: [] }
  readonly drive: SimDrive
  readonly log: SyncedLog
  readonly failures: Error[] = []
  readonly #clock: Clock
  #metadata: MemoryMetadata
  #boots = 0
  core: StoreCore

  constructor(seed: number) {
    this.drive = new SimDrive(0, new Decisions(seed))
    this.log = new SyncedLog(this.events, this.owner)
    this.#clock = clockOf(this.events, this.owner)
    this.#metadata = new MemoryMetadata(this.#clock)
    this.core = this.#make()
  }

  #make(): StoreCore {
    const { drive, events, owner } = this
    return new StoreCore({
      clock: this.#clock,
      logger: silentLogger,
      disk: new SimDisk({ drive, events, owner, planted: new Set(), beforeEffect: () => {} }),
      metadata: this.#metadata,
      consumeQueueDirectory: '/srv/consumequeue',
      consumeQueueFileBytes: 2000,
      fileBytes: 1024 * 1024,
      delayLevelsMs: [1000],
      hotBytesMax: 1,
      checkpointIntervalMs: 1_000,
      timerSettings: { timerPrecisionMs: 100, timerMaxDelayMs: 1_000 },
      storeHost: null,
      bootId: `boot ${this.#boots}`,
      keyIndex: null,
      onFailed: (error) => this.failures.push(error),
    })
  }

  start(): void {
    let isLoaded = false
    this.core.load((error) => {
      if (error !== null) throw error
      isLoaded = true
    })
    this.run(60_000, () => isLoaded)
    this.apply()
    this.core.attach(this.log, null)
  }

  apply(): void {
    const { machine } = this.core
    const news = this.log.entries.slice(machine.appliedIndex + 1)
    if (news.length === 0) return
    machine.apply(news)
    machine.durable(machine.appliedIndex)
  }

  run(ms: number, until: () => boolean = () => false): void {
    const untilUs = this.events.nowUs + ms * 1000
    while (!until()) {
      const event = this.events.next(untilUs)
      if (event === null) return
      event.run?.()
    }
  }

  die(death: 'kill' | 'power', keptBatches: number): void {
    this.owner.incarnation++
    if (death === 'kill') {
      this.drive.processKilled()
      this.#metadata = this.#metadata.crash(Number.MAX_SAFE_INTEGER)
    } else {
      this.drive.powerLost()
      this.#metadata = this.#metadata.crash(keptBatches)
      this.#boots++
    }
    this.core = this.#make()
    this.start()
  }

  read(queue: number): string[] {
    const found: string[] = []
    for (let tries = 0; tries < 200; tries++) {
      const request = {
        topic: `T${queue}`,
        queueId: 0,
        queueOffset: found.length,
        maxCount: 7,
        maxBytes: 9_999,
        tagFilter: null,
      }
      let answer: GetResult | string | null = null
      this.core.reader.get(request, (error, result) => {
        answer = error === null ? result : error.message
      })
      this.run(60_000, () => answer !== null)
      if (typeof answer === 'string') throw new Error(answer)
      const { status, records } = answer as unknown as GetResult
      if (status !== 'FOUND') return found
      found.push(...records.map((record) => recordBody(record).toString()))
    }
    throw new Error('no end was reached')
  }
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      queue: fc.nat(QUEUES - 1),
      count: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 900, 1_100, 5_000, 61_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('kill' as const, 'power' as const), keptBatches: fc.nat(30) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('read' as const), queue: fc.nat(QUEUES - 1) }) },
)

describe('a store on a drive that loses what is not synced', () => {
  test('gives exactly the messages of its log, whatever kills and power cuts came', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(step, { minLength: 4, maxLength: 30 }), (seed, steps) => {
        const machine = new Machine(seed)
        machine.start()
        for (const each of steps) {
          if (each.kind === 'put') {
            for (let i = 0; i < each.count; i++) machine.log.add(each.queue)
            machine.apply()
          } else if (each.kind === 'pass') {
            machine.run(each.ms)
          } else if (each.kind === 'read') {
            expect(machine.read(each.queue)).toEqual(machine.log.bodies[each.queue])
          } else {
            machine.die(each.kind, each.keptBatches)
          }
        }
        machine.die('power', 30)
        for (let queue = 0; queue < QUEUES; queue++) expect(machine.read(queue)).toEqual(machine.log.bodies[queue])
        expect(machine.failures).toEqual([])
      }),
      { numRuns: 150 },
    )
  })
})
