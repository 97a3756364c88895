/**
 * Counts over the last minute, hour and day, by key.
 *
 * Each counter only grows; at times it is noted how far it had come. What happened in a window is the difference between now and the oldest
 * note of that window, so a count shows at once, and a window of a minute covers between 50 and 60 seconds.
 *
 * Keeps:
 *   C1  counting costs a look into a map and three additions, noting is done for all at once;
 *   C2  there are at most KEYS_MAX keys, each with notes of one size; a key that nothing was counted for in a day goes.
 *
 * Pure: the caller says what time it is. Source: StatsItem, StatsItemSet.
 */
import { assert } from '@dledger-ts/base'

/** More are not counted until others have gone. */
export const KEYS_MAX = 10_000
/** No rate is told of less. */
const ELAPSED_MS_MIN = 1_000
const COLUMNS = 3

const WINDOWS = ['tenSeconds', 'minute', 'tenMinutes', 'hour', 'day'] as const
export type WindowName = (typeof WINDOWS)[number]
export type Column = 'nums' | 'size' | 'times'

const NOTES: Record<WindowName, { readonly everyMs: number; readonly count: number }> = {
  tenSeconds: { everyMs: 10_000, count: 2 },
  minute: { everyMs: 10_000, count: 6 },
  tenMinutes: { everyMs: 60_000, count: 10 },
  hour: { everyMs: 600_000, count: 6 },
  day: { everyMs: 3_600_000, count: 24 },
}
const NOTES_IN_ALL = WINDOWS.reduce((sum, name) => sum + NOTES[name].count, 0)

export interface WindowCount {
  readonly sum: number
  /** Of `sum`, each second. */
  readonly perSecond: number
  /** Of `sum`, each time that something was counted. */
  readonly perTime: number
}

export class Counter {
  nums = 0
  size = 0
  times = 0
  /** Where it was, note by note; all zero for what came later. */
  readonly notes = new Float64Array(NOTES_IN_ALL * COLUMNS)

  // Hot.
  add(nums: number, size: number): void {
    this.nums += nums
    this.size += size
    this.times++
  }
}

/** When the notes were made: the same for all counters that share it. */
export class Notebook {
  readonly #at = new Map<WindowName, number>()
  readonly #timesMs = new Float64Array(NOTES_IN_ALL)
  readonly #made = new Map<WindowName, number>()
  readonly #dueMs = new Map<WindowName, number>()

  constructor(nowMs: number) {
    let at = 0
    for (const name of WINDOWS) {
      this.#at.set(name, at)
      // The first note, of nothing counted.
      this.#timesMs[at] = nowMs
      this.#made.set(name, 1)
      this.#dueMs.set(name, nowMs + NOTES[name].everyMs)
      at += NOTES[name].count
    }
  }

  /** Makes the notes that are due. @returns whether a note of the day is among them. */
  note(nowMs: number, counters: () => Iterable<Counter>): boolean {
    const places: number[] = []
    let isDay = false
    for (const name of WINDOWS) {
      if (nowMs < (this.#dueMs.get(name) as number)) continue
      const made = this.#made.get(name) as number
      places.push((this.#at.get(name) as number) + (made % NOTES[name].count))
      this.#made.set(name, made + 1)
      this.#dueMs.set(name, nowMs + NOTES[name].everyMs)
      if (name === 'day') isDay = true
    }
    if (places.length === 0) return false
    for (const place of places) this.#timesMs[place] = nowMs
    for (const { nums, size, times, notes } of counters()) {
      for (const place of places) {
        notes[place * COLUMNS] = nums
        notes[place * COLUMNS + 1] = size
        notes[place * COLUMNS + 2] = times
      }
    }
    return isDay
  }

  count(counter: Counter, column: Column, window: WindowName, nowMs: number): WindowCount {
    const oldest = this.#oldest(window)
    const columnAt = oldest * COLUMNS + (column === 'nums' ? 0 : column === 'size' ? 1 : 2)
    const sum = counter[column] - (counter.notes[columnAt] as number)
    const times = counter.times - (counter.notes[oldest * COLUMNS + 2] as number)
    assert(sum >= 0 && times >= 0, 'a counter only grows')
    const elapsedMs = Math.max(ELAPSED_MS_MIN, nowMs - (this.#timesMs[oldest] as number))
    return { sum, perSecond: (sum * 1_000) / elapsedMs, perTime: times === 0 ? 0 : sum / times }
  }

  /** Whether nothing was counted since the oldest note of the day, which is not the first one. */
  isIdle(counter: Counter): boolean {
    if ((this.#made.get('day') as number) <= NOTES.day.count) return false
    return counter.notes[this.#oldest('day') * COLUMNS + 2] === counter.times
  }

  #oldest(window: WindowName): number {
    const made = this.#made.get(window) as number
    const { count } = NOTES[window]
    return (this.#at.get(window) as number) + (made <= count ? 0 : made % count)
  }
}

export class CounterTable {
  readonly #counters = new Map<string, Counter>()
  /** Messages come in runs of one topic: the last one looked up is asked first. */
  #lastKey = ''
  #last: Counter | undefined

  get size(): number {
    return this.#counters.size
  }

  // Hot.
  add(key: string, nums: number, size: number): void {
    if (key !== this.#lastKey || this.#last === undefined) {
      const found = this.#counters.get(key) ?? this.#make(key)
      if (found === undefined) return
      this.#last = found
      this.#lastKey = key
    }
    this.#last.add(nums, size)
  }

  find(key: string): Counter | undefined {
    return this.#counters.get(key)
  }

  all(): IterableIterator<Counter> {
    return this.#counters.values()
  }

  removeIdle(notebook: Notebook): void {
    for (const [key, counter] of this.#counters) if (notebook.isIdle(counter)) this.#counters.delete(key)
    this.#last = undefined
  }

  #make(key: string): Counter | undefined {
    if (this.#counters.size >= KEYS_MAX) return undefined
    const counter = new Counter()
    this.#counters.set(key, counter)
    return counter
  }
}
