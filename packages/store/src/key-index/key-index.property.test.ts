/**
 * The index against a model: whatever is put, however much of the log is synced, wherever the member dies and whatever happens to
 * the files then, a query never gives a wrong message, and gives all of them once damage had time to be found and mended.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { CommittedEntry } from '@dledger-ts/dledger'
import { unsyncedDisk } from '@dledger-ts/dledger/internals'
import { isQueued, RecordDraft, recordPhysicalOffset } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, flush, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock, passes, passing, until } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'

/** "Aa" and "BB", and what is built of them, have one hash in Java. */
const KEYS = ['Aa', 'BB', 'k1', 'k2', 'größe']
/** 12 keys in a file, in slots that they share. */
const SHAPE = { slotCount: 3, entryCountMax: 13 }
const INTERVAL_MS = 1_000

interface Put {
  readonly uniqueId: number | null
  readonly keys: readonly string[]
  readonly sysFlag: number
  readonly laterMs: number
}

type Damage = { readonly file: number; readonly at: number; readonly how: 'flip' | 'cut' | 'zero' | 'remove' }

type Step =
  | { readonly do: 'put'; readonly puts: readonly Put[] }
  | { readonly do: 'sync'; readonly share: number }
  | { readonly do: 'wait'; readonly passes: number }
  | {
      readonly do: 'query'
      readonly key: number
      readonly maxCount: number
      readonly from: number
      readonly to: number
    }
  | { readonly do: 'stop' }
  | { readonly do: 'crash'; readonly lost: number; readonly kept: number; readonly damage: readonly Damage[] }

const put: fc.Arbitrary<Put> = fc.record({
  uniqueId: fc.option(fc.nat(20)),
  keys: fc.array(fc.constantFrom(...KEYS), { maxLength: 6 }),
  sysFlag: fc.constantFrom(0, 0, 0, 0, 4, 8, 12),
  laterMs: fc.constantFrom(0, 1, 400, 1_700),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), puts: fc.array(put, { maxLength: 8 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('sync' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), passes: fc.nat(12) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('query' as const),
      key: fc.nat(KEYS.length - 1),
      maxCount: fc.integer({ min: 1, max: 40 }),
      from: fc.integer({ min: -2_000, max: 30_000 }),
      to: fc.integer({ min: -2_000, max: 60_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      lost: fc.double({ min: 0, max: 1, noNaN: true }),
      kept: fc.nat(3),
      damage: fc.array(
        fc.record({ file: fc.nat(4), at: fc.nat(1_000), how: fc.constantFrom('flip', 'cut', 'zero', 'remove') }),
        { maxLength: 2 },
      ),
    }),
  },
)

class World {
  readonly clock = new ManualClock()
  readonly startMs = this.clock.nowMs()
  readonly #roots = new TempDirectory()
  #lives = 0
  #metadata = new MemoryMetadata(this.clock)
  #log = new MemoryLog()
  #core!: StoreCore
  #durable = -1
  #isHarmed = false

  async open(): Promise<void> {
    this.#core = makeCore({
      directory: this.#directory,
      clock: this.clock,
      metadata: this.#metadata,
      indexShape: SHAPE,
      disk: unsyncedDisk,
    })
    await load(this.#core)
    this.#log.lead(this.#core)
  }

  put(puts: readonly Put[]): void {
    const made = puts.map((each) => this.#made(each))
    if (made.length > 0) this.#core.machine.apply(made)
  }

  sync(share: number): void {
    const waiting = this.#log.entries.length - 1 - this.#durable
    this.#durable += Math.round(waiting * share)
    this.#core.machine.durable(this.#durable)
  }

  async wait(count: number): Promise<void> {
    this.clock.advance(INTERVAL_MS)
    await passes(count)
  }

  async check(key: string, maxCount: number, from: number, to: number, isWhole: boolean): Promise<void> {
    const request = { topic: 'T', key, maxCount, beginTime: this.startMs + from, endTime: this.startMs + to }
    const expected = this.#expected(key, request.beginTime, request.endTime)
    const asked = this.#core.queries?.query(request)
    const { records, isComplete } = await passing(this.clock, asked as NonNullable<typeof asked>)
    const found = records.map((record) => recordPhysicalOffset(record))
    const all = expected.slice(0, maxCount)
    if (isWhole) expect([found, isComplete]).toEqual([all, true])
    else if (isComplete && !this.#isHarmed) expect(found).toEqual(all)
    else expect(found).toEqual(expected.filter((offset) => found.includes(offset)))
    this.#core.checkInvariants()
  }

  /** Until everything is taken up, compared with its checksums and mended. */
  async settle(): Promise<void> {
    this.sync(1)
    const isSettled = (): boolean => {
      const { indexedPhysicalOffset, appliedPhysicalOffset, damagedFiles, uncheckedFiles } = this.#index.progress
      this.clock.advance(INTERVAL_MS / 10)
      return damagedFiles + uncheckedFiles === 0 && indexedPhysicalOffset >= appliedPhysicalOffset
    }
    await until(isSettled, 'everything is taken up, checked and mended')
  }

  async stop(): Promise<void> {
    this.sync(1)
    this.#core.stop()
    await flush(this.#core, this.#durable)
    await close(this.#core)
    await this.open()
  }

  /** The member dies now. Of its log a part of what is not synced is lost, and something else comes in its place. */
  async crash(lost: number, kept: number, damage: readonly Damage[]): Promise<void> {
    const before = this.#directory
    this.#lives++
    fs.mkdirSync(before, { recursive: true })
    fs.cpSync(before, this.#directory, { recursive: true })
    this.#metadata = this.#metadata.crash(kept)
    const dead = this.#core
    const { entries } = this.#log
    const survivors = entries.length - Math.round((entries.length - 1 - this.#durable) * lost)
    this.#log = new MemoryLog()
    this.#log.entries.push(...entries.slice(0, survivors))
    dead.stop()
    await close(dead)
    for (const each of damage) this.#harm(each)
    this.#isHarmed ||= damage.length > 0
    await this.open()
  }

  async remove(): Promise<void> {
    this.#core.stop()
    await close(this.#core)
    this.#roots.remove()
  }

  get #directory(): string {
    return path.join(this.#roots.path, String(this.#lives))
  }

  get #index(): NonNullable<StoreCore['keyIndex']> {
    const index = this.#core.keyIndex
    if (index === null) throw new Error('keys are indexed here')
    return index
  }

  #harm({ file, at, how }: Damage): void {
    const directory = path.join(this.#directory, 'index')
    const names = fs.existsSync(directory) ? fs.readdirSync(directory).sort() : []
    const name = names[names.length - 1 - file]
    if (name === undefined) return
    const full = path.join(directory, name)
    const bytes = fs.readFileSync(full)
    if (how === 'remove') return fs.unlinkSync(full)
    if (how === 'cut') return fs.truncateSync(full, at % bytes.length)
    const from = at % bytes.length
    if (how === 'zero') bytes.fill(0, from, Math.min(from + 64, bytes.length))
    else bytes.writeUInt8(bytes.readUInt8(from) ^ (1 << (at % 8)), from)
    fs.writeFileSync(full, bytes)
  }

  /** Newest first. */
  #expected(key: string, beginTime: number, endTime: number): number[] {
    const found: number[] = []
    for (const entry of this.#log.entries) {
      const { keys, sysFlag, storeTimestamp } = described.get(entry) as Described
      const hasKey = (sysFlag & 0xc) !== 0xc && keys.includes(key)
      if (hasKey && storeTimestamp >= beginTime && storeTimestamp <= endTime) found.unshift(entry.pos + 48)
    }
    return found
  }

  #made({ uniqueId, keys, sysFlag, laterMs }: Put): CommittedEntry {
    this.clock.advance(laterMs)
    const { entries } = this.#log
    const last = entries[entries.length - 1]
    const pos = last === undefined ? 0 : last.pos + 48 + last.body.length
    const unique = uniqueId === null ? '' : `UNIQ_KEY\x01u${uniqueId}\x02`
    const properties = `${unique}KEYS\x01${keys.join(' ')}\x02`
    const draft = new RecordDraft(message('T', String(this.clock.nowMs()), { properties, sysFlag }))
    const queued = entries.filter((entry) => isQueued((described.get(entry) as Described).sysFlag)).length
    const queueOffset = isQueued(sysFlag) ? queued : 0
    const storeTimestamp = this.clock.nowMs()
    const body = Buffer.alloc(draft.bytes)
    draft.encode(body, 0, { queueOffset, physicalOffset: pos + 48, storeTimestamp })
    const entry: CommittedEntry = { index: entries.length, term: 1, pos, kind: 'data', body }
    described.set(entry, { keys, sysFlag, storeTimestamp })
    entries.push(entry)
    return entry
  }
}

interface Described {
  readonly keys: readonly string[]
  readonly sysFlag: number
  readonly storeTimestamp: number
}

const described = new WeakMap<CommittedEntry, Described>()

it(
  'gives the messages of the model, through crashes and whatever happens to its files',
  { timeout: 120_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = new World()
        try {
          await world.open()
          for (const each of steps) {
            if (each.do === 'put') world.put(each.puts)
            else if (each.do === 'sync') world.sync(each.share)
            else if (each.do === 'wait') await world.wait(each.passes)
            else if (each.do === 'query')
              await world.check(KEYS[each.key] as string, each.maxCount, each.from, each.to, false)
            else if (each.do === 'stop') await world.stop()
            else await world.crash(each.lost, each.kept, each.damage)
          }
          await world.settle()
          for (const key of KEYS) {
            await world.check(key, 1_000, -1_000_000, 1_000_000_000, true)
            await world.check(key, 3, 1_000, 20_000, true)
          }
          await world.stop()
          await world.settle()
          for (const key of KEYS) await world.check(key, 1_000, -1_000_000, 1_000_000_000, true)
        } finally {
          await world.remove()
        }
      }),
      { numRuns: Number(process.env['KEY_INDEX_RUNS'] ?? 40), endOnFailure: true },
    )
  },
)

it('notices any flipped bit of an open and of a whole file, and answers as before', { timeout: 120_000 }, async () => {
  const world = new World()
  try {
    await world.open()
    const keys = ['Aa', 'BB', 'k1']
    // 18 keys: a whole file and a half.
    world.put([0, 1, 2, 3, 4, 5].map((uniqueId) => ({ uniqueId: null, keys, sysFlag: 0, laterMs: uniqueId * 700 })))
    await world.settle()
    // Of every byte some bit, in both files: header, slots and entries in use.
    for (let at = 0; at < 40 + 3 * 4 + 13 * 20; at++) {
      await world.stop()
      await world.crash(0, 9, [
        { file: 0, at, how: 'flip' },
        { file: 1, at, how: 'flip' },
      ])
      await world.settle()
      for (const key of keys) await world.check(key, 1_000, -1_000_000, 1_000_000_000, true)
    }
  } finally {
    await world.remove()
  }
})
