/** Ordered tables: what a page shows is what is applied, whatever is written, under way, lost in a crash or given up. */
import type { Clock } from '@dledger-ts/base'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { TempDirectory } from '../testing/fixture.ts'
import { LevelMetadata } from './level-metadata.ts'
import { MemoryMetadata } from './memory-metadata.ts'
import type { MetadataRow, MetadataStore, MetadataWrite } from './metadata-store.ts'
import type { TableRange } from './ordered-table.ts'
import { SortedMap } from './sorted-map.ts'
import { MetadataState } from './state.ts'

/** Deferred work runs when and in which order the test says. */
class SteppedClock implements Clock {
  readonly deferred: (() => void)[] = []

  nowMs(): number {
    return 0
  }

  monotonicMs(): number {
    return 0
  }

  after(): () => void {
    throw new Error('nothing here waits for time')
  }

  defer(callback: () => void): void {
    this.deferred.push(callback)
  }

  step(n: number): void {
    const [callback] = this.deferred.splice(n % Math.max(1, this.deferred.length), 1)
    callback?.()
  }

  runAll(): void {
    while (this.deferred.length > 0) this.step(0)
  }
}

type Change = readonly [key: string, value: string | null]

/** A state over a log of changes, one to an index, with checkpoints as the store writes them. */
class Subject {
  readonly log: Change[] = []
  readonly clock: SteppedClock
  store: MemoryMetadata
  state = new MetadataState(1024)
  #applied = -1
  #checkpointed = -1
  #isWriting = false
  #clearFirst = true

  constructor(clock: SteppedClock) {
    this.clock = clock
    this.store = new MemoryMetadata(clock)
    this.state.attach(this.store)
  }

  append(change: Change): void {
    this.log.push(change)
    this.#applyAll()
  }

  /** What the table must hold once the first `count` changes are applied. */
  model(count = this.#applied + 1): MetadataRow[] {
    const rows = new Map<string, string>()
    for (const [key, value] of this.log.slice(0, count)) {
      if (value === null) rows.delete(key)
      else rows.set(key, value)
    }
    return [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => ({ key, value: Buffer.from(value) }))
  }

  checkpoint(lag: number, sync: boolean): void {
    if (this.#isWriting) return
    this.#isWriting = true
    const { state, store } = this
    const write = (): void => {
      const index = Math.max(this.#checkpointed, this.#applied - lag)
      this.#checkpointed = index
      state.takeWrites(index, setImmediate, (taken) => {
        const writes = [...taken, { key: 'applied', value: Buffer.from(String(index)) }]
        store.write(writes, { sync }, () => {
          if (this.state !== state) return
          state.written(setImmediate, () => {
            if (this.state === state) this.#isWriting = false
          })
        })
      })
    }
    if (!this.#clearFirst) return write()
    store.clear('applied', () => {
      if (this.state !== state) return
      this.#clearFirst = false
      write()
    })
  }

  /** Checks a page at the moment it is told. */
  read(range: TableRange): void {
    const { state } = this
    state.timers.rows.range(range, (error, page) => {
      expect(error).toBeNull()
      if (this.state !== state || page === null) return
      const inRange = this.model().filter(({ key }) => key >= range.from && (range.before ?? '~') > key)
      const shown = inRange.filter(({ key }) => page.next === null || key < page.next)
      expect(page.rows.map(String)).toEqual(shown.map(String))
      expect(page.rows).toEqual(shown)
      expect(page.rows.length).toBeLessThanOrEqual(range.limit)
      if (page.rows.length === 0 && page.next !== null) expect(page.next > range.from).toBe(true)
    })
  }

  scan(limit: number): MetadataRow[] {
    const found: MetadataRow[] = []
    for (let from: string | null = ''; from !== null;) {
      this.state.timers.rows.range({ from, limit }, (error, page) => {
        expect(error).toBeNull()
        found.push(...(page?.rows ?? []))
        from = page?.next ?? null
      })
      this.clock.runAll()
    }
    return found
  }

  crash(kept: number): void {
    this.clock.deferred.length = 0
    this.store = this.store.crash(kept)
    this.#isWriting = false
    this.state = new MetadataState(1024)
    this.state.attach(this.store)
    this.store.load((_, entries) => {
      expect(entries.every(({ key }) => key === 'applied')).toBe(true)
      // The store sees by its queue files that a state was given up.
      const applied = this.#clearFirst ? undefined : entries.find(({ key }) => key === 'applied')
      this.#applied = applied === undefined ? -1 : Number(applied.value)
      this.#clearFirst = applied === undefined
      this.#checkpointed = this.#applied
      if (applied !== undefined) this.state.restored()
    })
    this.clock.runAll()
    expect(this.scan(3)).toEqual(this.model())
    this.#applyAll()
  }

  /** The kept state is beyond the log, which lost its newest `count` entries: it is built again. */
  discard(count: number): void {
    this.log.length = Math.max(0, this.log.length - count)
    this.state.clear()
    this.#checkpointed = -1
    this.#clearFirst = true
    this.#applied = -1
    this.#applyAll()
  }

  #applyAll(): void {
    while (this.#applied < this.log.length - 1) {
      this.#applied++
      const [key, value] = this.log[this.#applied] as Change
      if (value === null) this.state.timers.rows.remove(this.#applied, key)
      else this.state.timers.rows.put(this.#applied, key, Buffer.from(value))
    }
  }
}

const keys = fc.integer({ min: 0, max: 14 }).map((n) => String(n).padStart(2, '0'))
const steps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant('put' as const), key: keys, value: fc.string({ maxLength: 2 }) }),
    },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('remove' as const), key: keys }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('read' as const),
        from: fc.oneof(fc.constant(''), keys),
        before: fc.option(keys, { nil: undefined }),
        limit: fc.integer({ min: 1, max: 8 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('checkpoint' as const), lag: fc.nat(4), sync: fc.boolean() }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant('step' as const), n: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), kept: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('discard' as const), count: fc.nat(20) }) },
  ),
  { maxLength: 200, size: 'max' },
)

describe('an ordered table', () => {
  test('shows exactly what is applied, through checkpoints, crashes and rebuilds, in any order of what the database does', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const subject = new Subject(new SteppedClock())
        for (const step of all) {
          switch (step.do) {
            case 'put':
              subject.append([step.key, step.value])
              break
            case 'remove':
              subject.append([step.key, null])
              break
            case 'read':
              subject.read({
                from: step.from,
                limit: step.limit,
                ...(step.before === undefined ? {} : { before: step.before }),
              })
              break
            case 'checkpoint':
              subject.checkpoint(step.lag, step.sync)
              break
            case 'step':
              subject.clock.step(step.n)
              break
            case 'crash':
              subject.crash(step.kept)
              break
            case 'discard':
              subject.discard(step.count)
          }
          subject.state.checkInvariants()
        }
        subject.clock.runAll()
        expect(subject.scan(5)).toEqual(subject.model())
        subject.checkpoint(0, true)
        subject.clock.runAll()
        expect(subject.state.timers.rows.unwritten).toBe(0)
        expect(subject.scan(5)).toEqual(subject.model())
      }),
      { numRuns: 400 },
    )
  })

  test('tells one row as it is when it is told, and null for one that is not there', async () => {
    const subject = new Subject(new SteppedClock())
    subject.append(['a', '1'])
    subject.append(['b', '1'])
    const got = new Map<string, string | undefined>()
    const ask = (key: string): void =>
      subject.state.timers.rows.get(key, (_, value) => void got.set(key, value?.toString()))
    for (const key of ['a', 'b', 'c', '']) ask(key)
    subject.append(['b', null])
    await Promise.resolve()
    subject.clock.runAll()
    expect([...got].sort()).toEqual([
      ['', undefined],
      ['a', '1'],
      ['b', undefined],
      ['c', undefined],
    ])
    // It leaves memory while it is asked for.
    ask('a')
    subject.checkpoint(0, true)
    subject.clock.runAll()
    got.delete('a')
    await Promise.resolve()
    subject.clock.runAll()
    expect(got.get('a')).toBe('1')
  })

  test('reads nothing for one row that is in memory', async () => {
    const subject = new Subject(new SteppedClock())
    subject.append(['a', '1'])
    subject.store.range = () => {
      throw new Error('a range was read')
    }
    const told = new Promise((resolve) => subject.state.timers.rows.get('a', (_, value) => resolve(String(value))))
    expect(await told).toBe('1')
  })
})

describe('the database', () => {
  let temp: TempDirectory | null = null
  let level: LevelMetadata | null = null
  afterEach(async () => {
    await new Promise((resolve) => (level === null ? resolve(null) : level.close(resolve)))
    temp?.remove()
  })
  const load = (store: MetadataStore): Promise<readonly MetadataRow[]> =>
    new Promise((resolve, reject) => store.load((error, rows) => (error === null ? resolve(rows) : reject(error))))
  const range = (state: MetadataState, wanted: TableRange): Promise<readonly MetadataRow[]> =>
    new Promise((resolve, reject) => {
      state.timers.rows.range(wanted, (error, page) => (error === null ? resolve(page?.rows ?? []) : reject(error)))
    })

  test('gives rows in order after a restart, and does not load them', async () => {
    temp = new TempDirectory()
    level = await LevelMetadata.open(temp.path)
    const rows = Array.from({ length: 50 }, (_, i) => ({
      key: String((i * 37) % 50).padStart(2, '0'),
      value: Buffer.of(i),
    }))
    const first = new MetadataState(1024)
    first.attach(level)
    for (const [i, { key, value }] of rows.entries()) first.timers.rows.put(i, key, value)
    first.timers.rows.remove(50, '07')
    const taken = await new Promise<readonly MetadataWrite[]>((resolve) => first.takeWrites(50, setImmediate, resolve))
    const writes = [...taken, { key: 'applied', value: Buffer.of(50) }]
    await new Promise((resolve) => level?.write(writes, { sync: true }, resolve))
    await new Promise((resolve) => level?.close(resolve))
    level = await LevelMetadata.open(temp.path)
    expect((await load(level)).map(({ key }) => key)).toEqual(['applied'])
    const second = new MetadataState(1024)
    second.attach(level)
    second.restored()
    second.timers.rows.put(51, '07x', Buffer.of(99))
    second.timers.rows.remove(52, '09')
    const sorted = rows.sort((a, b) => (a.key < b.key ? -1 : 1))
    const found = await range(second, { from: '05', before: '11', limit: 100 })
    expect(found.map(({ key }) => key)).toEqual(['05', '06', '07x', '08', '10'])
    expect(found[0]).toEqual(sorted[5])
  })
})

describe('a sorted map', () => {
  test('is a map whose keys are in order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 3_000 })), { minLength: 2_000, maxLength: 4_000 }),
        (ops) => {
          const map = new SortedMap<number>()
          const model = new Map<string, number>()
          for (const [i, [isSet, n]] of ops.entries()) {
            const key = String(n)
            if (isSet || i < 1_500) {
              map.set(key, i)
              model.set(key, i)
            } else {
              map.delete(key)
              model.delete(key)
            }
            expect(map.get(key)).toBe(model.get(key))
          }
          map.checkInvariants()
          expect(map.size).toBe(model.size)
          const from = String(ops[0]?.[1])
          expect([...map.from(from)]).toEqual(
            [...model].filter(([key]) => key >= from).sort(([a], [b]) => (a < b ? -1 : 1)),
          )
        },
      ),
      { numRuns: 10 },
    )
  })
})
