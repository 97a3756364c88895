/**
 * A store over a log that survives everything, on a drive that loses whatever was not synced: sectors and names, in any order.
 *
 * Keeps: what a process that died has asked for is never told to another one.
 */
import { type Clock, crc32, silentLogger } from '@dledger-ts/base'
import type { CommittedEntry, StateSnapshot } from '@dledger-ts/dledger'
import { hostAddress, RecordDraft, recordBody } from '@dledger-ts/protocol'
import { type AttachedLog, type GetResult, MemoryMetadata, StoreCore } from '@dledger-ts/store'
import { Decisions } from './decisions.ts'
import { EventQueue, type Process } from './sim-clock.ts'
import { ProcessDied, SimDisk } from './sim-disk.ts'
import { SimDrive } from './sim-drive.ts'

const HOST = hostAddress('127.0.0.1', 10911)
export const QUEUES = 3

/** A log that survives everything, for it was synced before anything was derived from it. */
export class SyncedLog implements AttachedLog {
  readonly entries: CommittedEntry[] = []
  readonly bodies: string[][] = Array.from({ length: QUEUES }, () => [])
  firstIndex = 0
  readonly forgetBefore = 0
  readonly #events: EventQueue
  readonly #owner: Process
  #pos = 0

  get lastIndex(): number {
    return this.entries.length - 1
  }

  /** @param other has the entries with which it begins. */
  constructor(events: EventQueue, owner: Process, other: SyncedLog | null) {
    this.#events = events
    this.#owner = owner
    if (other === null) return
    this.entries.push(...other.entries)
    this.#pos = other.#pos
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
      properties: `KEYS\x01key${index % 4}\x02`,
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

  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target = Buffer.alloc(size),
  ): void {
    target.fill(0)
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
      if (from < to) entry.copy(target, from - pos, from - at, to - at)
    }
    this.#later(() => callback(null, target))
  }

  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    const found = this.entries.find((entry) => entry.pos === pos) ?? null
    this.#later(() => callback(null, found))
  }

  firstIndexInFileOf(): number {
    return this.firstIndex
  }

  get startPos(): number {
    return this.entries[this.firstIndex]?.pos ?? this.#pos
  }

  /** Bodies of a queue that the log still has. */
  kept(queue: number): string[] {
    const gone = new Set(this.entries.slice(0, this.firstIndex).map(({ body }) => recordBody(body).toString()))
    return (this.bodies[queue] as string[]).filter((body) => !gone.has(body))
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

/** What a member is given of another one. */
export interface GivenState {
  readonly index: number
  readonly bytes: Buffer
}

export class Machine {
  readonly events = new EventQueue()
  readonly owner: Process = { id: 0, incarnation: 1, paused: false, heldBack: [] }
  readonly drive: SimDrive
  readonly log: SyncedLog
  readonly failures: Error[] = []
  readonly #clock: Clock
  #metadata: MemoryMetadata
  #boots = 0
  /** Effects on the drive since it was made. */
  effects = 0
  /** The process dies instead of this effect. */
  diesAt = Number.POSITIVE_INFINITY
  core: StoreCore

  /** @param log of another machine, for one that has applied nothing of it. */
  constructor(seed: number, log: SyncedLog | null = null) {
    this.drive = new SimDrive(0, new Decisions(seed))
    this.log = new SyncedLog(this.events, this.owner, log)
    this.#clock = clockOf(this.events, this.owner)
    this.#metadata = new MemoryMetadata(this.#clock)
    this.core = this.#make()
  }

  #make(): StoreCore {
    const { drive, events, owner } = this
    return new StoreCore({
      clock: this.#clock,
      logger: silentLogger,
      disk: new SimDisk({ drive, events, owner, planted: new Set(), beforeEffect: () => this.#effect() }),
      metadata: this.#metadata,
      consumeQueueDirectory: '/srv/consumequeue',
      consumeQueueFileBytes: 2000,
      fileBytes: 1024 * 1024,
      delayLevelsMs: [1000],
      hotBytesMax: 1,
      inMemoryBytes: Number.POSITIVE_INFINITY,
      checkpointIntervalMs: 1_000,
      timerSettings: { timerPrecisionMs: 100, timerMaxDelayMs: 1_000 },
      storeHost: null,
      bootId: `boot ${this.#boots}`,
      keyIndex: { directory: '/srv/index', shape: { slotCount: 5, entryCountMax: 31 } },
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
    const { firstIndex, startPos } = this.log
    if (firstIndex > 0) this.core.machine.logStarts(firstIndex, startPos)
    this.apply()
    this.core.attach(this.log, null)
  }

  /** The log forgets what it may, but for its newest entries. */
  trim(): void {
    const { machine } = this.core
    const { log } = this
    log.firstIndex = Math.max(log.firstIndex, Math.min(machine.checkpointIndex + 1, log.lastIndex - 2))
    machine.logStarts(log.firstIndex, log.startPos)
  }

  /** All that is derived is deleted while the store is down. */
  loseDerived(): void {
    this.owner.incarnation++
    this.drive.processKilled()
    this.#metadata = new MemoryMetadata(this.#clock)
    this.core = this.#make()
    this.start()
  }

  /** The state at the newest checkpoint, as another member is given it. */
  async snapshot(): Promise<GivenState> {
    const opened: StateSnapshot[] = []
    this.core.machine.openSnapshot((error, snapshot) => {
      if (snapshot === null) throw error as Error
      opened.push(snapshot)
    })
    this.run(1_000, () => opened.length > 0)
    const [snapshot] = opened as [StateSnapshot]
    const pieces: Buffer[] = []
    for (let at = 0, piece: Buffer | null = null; piece?.length !== 0; at += piece.length) {
      const told: Buffer[] = []
      snapshot.read(at, 1_000, (error, bytes) => {
        if (bytes === null) throw error as Error
        told.push(Buffer.from(bytes))
      })
      while (told.length === 0) {
        await Promise.resolve()
        this.run(10, () => told.length > 0)
      }
      piece = told[0] as Buffer
      pieces.push(piece)
    }
    return { index: snapshot.index, bytes: Buffer.concat(pieces) }
  }

  /** Takes the state of another member up; entries behind it come from the log. */
  restore({ index, bytes }: GivenState): void {
    const restore = this.core.machine.restore(index)
    let isDone = false
    const next = (at: number): void => {
      const told = (error: Error | null): void => {
        if (error !== null) throw error
        if (at < bytes.length) next(at + 700)
        else isDone = true
      }
      if (at < bytes.length) restore.write(bytes.subarray(at, at + 700), told)
      else restore.commit(told)
    }
    next(0)
    this.run(60_000, () => isDone)
    this.apply()
  }

  #effect(): void {
    this.effects++
    if (this.effects < this.diesAt) return
    this.diesAt = Number.POSITIVE_INFINITY
    this.owner.incarnation++
    throw new ProcessDied()
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
    let next = this.core.machine.queues.find(`T${queue}`, 0)?.minOffset ?? 0
    for (let tries = 0; tries < 200; tries++) {
      const request = {
        topic: `T${queue}`,
        queueId: 0,
        queueOffset: next,
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
      const { status, nextBeginOffset, records } = answer as unknown as GetResult
      if (status !== 'FOUND' && status !== 'OFFSET_TOO_SMALL') return found
      next = nextBeginOffset
      found.push(...records.map((record) => recordBody(record).toString()))
    }
    throw new Error('no end was reached')
  }
}
