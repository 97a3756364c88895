/**
 * Looking up messages by key in the index: files newest first, each chain newest first, the real key compared in the record.
 *
 * Keeps:
 *   - only records that are applied and still in the log are given, each once, newest first.
 *   - the work of one query is bounded; where a bound ends it, the answer says so (`isComplete`).
 *   - many queries at once keep nothing else of this process waiting for long, also where all that they look for is in memory.
 *   - an entry that cannot be right makes its file a damaged one; it never makes a wrong answer.
 *
 * Source: org.apache.rocketmq.store.index.IndexService.queryOffset, IndexFile.selectPhyOffset.
 */
import { type Clock, readInt32 } from '@dledger-ts/base'
import { DLedgerError } from '@dledger-ts/dledger'
import { recordStoreTimestamp } from '@dledger-ts/protocol'
import type { QueryRequest, QueryResult } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import type { MessageReader } from '../read.ts'
import type { IndexBuilder } from './builder.ts'
import type { IndexFile } from './index-file.ts'
import type { KeyIndex } from './key-index.ts'
import {
  entryAt,
  entryKeyHash,
  entryOlder,
  entryPhysicalOffset,
  entrySeconds,
  INDEX_ENTRY_BYTES,
  INDEX_SLOT_BYTES,
  slotAt,
} from './layout.ts'
import { hasKey, hasKeyHash, hasUniqueKey, indexKeyHash } from './message-keys.ts'
import { QueryTurns } from './query-turns.ts'

/** Messages that one query gives at most, whatever it asks for. */
const QUERY_COUNT_MAX = 1_000
/** Bytes of records that one query gives at most (one record always goes). */
const QUERY_BYTES_MAX = 8 * 1024 * 1024
/** Entries of chains that one query looks at. */
const QUERY_STEPS_MAX = 100_000
/** Queries under way; each may hold QUERY_BYTES_MAX. */
const QUERIES_MAX = 32
/** Records read at a time. */
const FETCH_COUNT = 16
/** Entries looked at before the clock is. */
const STEPS_UNTIMED = 64
/** Entries read at a time: chains of a busy key lie close together. */
const BLOCK_ENTRIES = 200

export interface KeyQueriesOptions {
  readonly index: KeyIndex
  readonly machine: StoreMachine
  readonly reader: MessageReader
  readonly clock: Clock
}

export class KeyQueries {
  readonly #options: KeyQueriesOptions
  readonly #turns: QueryTurns
  /** One for all: thousands of queries may be refused in a moment, and where an error comes from costs more to tell than all the rest of that. */
  readonly #busy = new StoreError(`${QUERIES_MAX} queries are under way`, { code: 'BUSY' })
  #underWay = 0

  constructor(options: KeyQueriesOptions) {
    this.#options = options
    this.#turns = new QueryTurns(options.clock)
  }

  /** @throws StoreError BUSY, STORAGE_FAILED. */
  async query(request: QueryRequest): Promise<QueryResult> {
    if (this.#underWay >= QUERIES_MAX) throw this.#busy
    this.#underWay++
    try {
      const { index } = this.#options
      const isCaughtUp = await new Promise<boolean>((resolve) => index.catchUp(resolve))
      const lookup = new Lookup(this.#options, this.#turns, request)
      await lookup.run()
      return lookup.result(isCaughtUp)
    } finally {
      this.#underWay--
      this.#turns.ended()
    }
  }
}

class Lookup {
  readonly #index: KeyIndex
  readonly #reader: MessageReader
  readonly #turns: QueryTurns
  readonly #request: QueryRequest
  readonly #keyHash: number
  readonly #countMax: number
  readonly #beginTime: number
  readonly #endTime: number
  /** Records from here on are not applied. */
  readonly #machine: StoreMachine
  readonly #appliedEnd: number
  readonly #files: readonly IndexFile[]
  readonly #records: Buffer[] = []
  #recordBytes = 0
  #steps = 0
  #isCutShort = false
  /** Found in chains, not read yet. */
  #candidates: number[] = []
  #lastCandidate = -1

  constructor({ index, machine, reader }: KeyQueriesOptions, turns: QueryTurns, request: QueryRequest) {
    this.#index = index
    this.#reader = reader
    this.#turns = turns
    this.#request = request
    this.#keyHash = indexKeyHash(request.topic, request.key)
    this.#countMax = Math.min(request.maxCount, QUERY_COUNT_MAX)
    this.#beginTime = request.beginTime ?? 0
    this.#endTime = request.endTime ?? Number.POSITIVE_INFINITY
    this.#machine = machine
    this.#appliedEnd = machine.applied.physicalEnd
    this.#files = index.newestFirst()
  }

  async run(): Promise<void> {
    for (const file of this.#files) {
      if (this.#isEnough) return
      const beginTimestamp = file.builder?.beginTimestamp ?? file.header.beginTimestamp
      if (file.builder === null && file.header.endTimestamp < this.#beginTime) return
      if (beginTimestamp > this.#endTime) continue
      if (file.state === 'damaged') this.#isCutShort = true
      else await this.#lookInto(file, beginTimestamp)
    }
  }

  result(isCaughtUp: boolean): QueryResult {
    const newest = this.#files[0]
    return {
      records: this.#records,
      recordBytes: this.#recordBytes,
      isComplete: isCaughtUp && !this.#isCutShort,
      lastStoreTimestamp: newest?.builder?.endTimestamp ?? newest?.header.endTimestamp ?? 0,
      lastPhysicalOffset: newest?.builder?.endOffset ?? newest?.header.endOffset ?? 0,
    }
  }

  get #isEnough(): boolean {
    return this.#records.length >= this.#countMax || this.#recordBytes >= QUERY_BYTES_MAX || this.#isCutShortByBound
  }

  get #isCutShortByBound(): boolean {
    return this.#steps >= QUERY_STEPS_MAX
  }

  async #lookInto(file: IndexFile, beginTimestamp: number): Promise<void> {
    try {
      await this.#walkChain(file, new ChainReader(file, this.#keyHash), beginTimestamp)
    } catch (error) {
      if (!(error instanceof DamagedChain)) throw error
      // A file that has left meanwhile is none of ours any more.
      this.#index.damaged(file)
      this.#candidates = []
      this.#isCutShort = true
    }
  }

  async #walkChain(file: IndexFile, chain: ChainReader, beginTimestamp: number): Promise<void> {
    for (let number = await chain.head(); number !== 0; number = chain.older) {
      if (this.#steps++ >= QUERY_STEPS_MAX) {
        this.#isCutShort = true
        break
      }
      if (this.#steps % STEPS_UNTIMED === 0 && this.#turns.isOver) await this.#turns.next()
      if (!chain.stepInMemory(number)) await chain.step(number)
      const { physicalOffset } = chain
      const earliest = beginTimestamp + chain.seconds * 1000
      // Times never go back in the log, and an entry has whole seconds only.
      if (earliest + 999 < this.#beginTime || physicalOffset < this.#index.firstOffset) break
      if (chain.keyHash !== this.#keyHash || earliest > this.#endTime) continue
      // Nothing is indexed before it is applied.
      if (!(physicalOffset < this.#machine.applied.physicalEnd)) throw new DamagedChain(file)
      if (physicalOffset >= this.#appliedEnd || physicalOffset === this.#lastCandidate) continue
      this.#lastCandidate = physicalOffset
      this.#candidates.push(physicalOffset)
      if (this.#candidates.length < Math.min(FETCH_COUNT, this.#countMax - this.#records.length)) continue
      await this.#fetch(file)
      if (this.#isEnough) return
    }
    await this.#fetch(file)
  }

  /** Reads the candidates and keeps those that are what was asked for. */
  async #fetch(file: IndexFile): Promise<void> {
    if (this.#turns.isOver) await this.#turns.next()
    const candidates = this.#candidates
    this.#candidates = []
    const records = await Promise.all(candidates.map((physicalOffset) => this.#record(physicalOffset)))
    for (const [i, record] of records.entries()) {
      if (record === undefined) {
        if ((candidates[i] as number) >= this.#index.firstOffset) throw new DamagedChain(file)
      } else if (record !== null && this.#isWanted(record, file) && !this.#isEnough) {
        this.#records.push(record)
        this.#recordBytes += record.length
      }
    }
    if (this.#recordBytes >= QUERY_BYTES_MAX && this.#records.length < this.#countMax) this.#isCutShort = true
  }

  /** @returns undefined when no record stands there; null when it has left the log or waits for repair. */
  async #record(physicalOffset: number): Promise<Buffer | undefined | null> {
    try {
      return await this.#reader.messageAt(physicalOffset)
    } catch (error) {
      const cause = error instanceof StoreError ? error.cause : undefined
      if (!(cause instanceof DLedgerError)) throw error
      if (cause.code === 'CORRUPT') this.#isCutShort = true
      else if (cause.code !== 'TRIMMED') throw error
      return null
    }
  }

  #isWanted(record: Buffer, file: IndexFile): boolean {
    const { topic, key, uniqueKeyOnly = false } = this.#request
    if (!(uniqueKeyOnly ? hasUniqueKey(record, topic, key) : hasKey(record, topic, key))) {
      // Another key of the same hash, or an entry that points elsewhere than it did.
      if (!hasKeyHash(record, this.#keyHash)) throw new DamagedChain(file)
      return false
    }
    const time = recordStoreTimestamp(record)
    return time >= this.#beginTime && time <= this.#endTime
  }
}

/** What stands in the file cannot have been written. */
class DamagedChain extends Error {
  constructor(file: IndexFile) {
    super(`${file.path} is damaged`)
  }
}

/** Reads one chain of one file. What is in the builder is in no file yet; what was written meanwhile is in the file. */
class ChainReader {
  readonly #file: IndexFile
  readonly #builder: IndexBuilder | null
  readonly #slot: number
  readonly #keyHash: number
  readonly #entry = Buffer.alloc(INDEX_ENTRY_BYTES)
  #block: Buffer | null = null
  #blockFrom = 0
  keyHash = 0
  physicalOffset = 0
  seconds = 0
  /** The next entry of the chain; 0 at its end. */
  older = 0

  constructor(file: IndexFile, keyHash: number) {
    this.#file = file
    this.#builder = file.builder
    this.#keyHash = keyHash
    this.#slot = keyHash % file.shape.slotCount
  }

  async head(): Promise<number> {
    if (this.#builder !== null) return this.#builder.headOf(this.#keyHash)
    const bytes = await this.#read(slotAt(this.#slot), INDEX_SLOT_BYTES)
    const head = readInt32(bytes, 0)
    if (head < 0 || head >= this.#file.header.entryCount) throw new DamagedChain(this.#file)
    return head
  }

  /** Looks at entry `number` if it is at hand. Without waiting: a builder forgets what is written. */
  stepInMemory(number: number): boolean {
    if (this.#builder?.isUnwritten(number) === true) {
      this.#builder.readUnwritten(number, this.#entry)
      this.#look(this.#entry, 0, number)
      return true
    }
    if (this.#block === null || number < this.#blockFrom) return false
    this.#look(this.#block, (number - this.#blockFrom) * INDEX_ENTRY_BYTES, number)
    return true
  }

  async step(number: number): Promise<void> {
    const from = Math.max(1, number - BLOCK_ENTRIES + 1)
    const block = await this.#read(entryAt(this.#file.shape, from), (number - from + 1) * INDEX_ENTRY_BYTES)
    this.#block = block
    this.#blockFrom = from
    this.#look(block, (number - from) * INDEX_ENTRY_BYTES, number)
  }

  #look(bytes: Buffer, at: number, number: number): void {
    this.keyHash = entryKeyHash(bytes, at)
    this.physicalOffset = entryPhysicalOffset(bytes, at)
    this.seconds = entrySeconds(bytes, at)
    this.older = entryOlder(bytes, at)
    const isOfSlot = this.keyHash >= 0 && this.keyHash % this.#file.shape.slotCount === this.#slot
    const isInOrder = this.older >= 0 && this.older < number && this.seconds >= 0
    if (!isOfSlot || !isInOrder || !(this.physicalOffset >= 0)) throw new DamagedChain(this.#file)
  }

  #read(at: number, size: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#file.read(at, size, (error, bytes) => {
        if (error !== null || bytes === null) reject(new DamagedChain(this.#file))
        else resolve(bytes)
      })
    })
  }
}
