/**
 * Judges what clients saw of one replicated log, in linear time (but for sorting by time): the log numbers its entries itself,
 * so there is nothing to search.
 *
 * What must hold of a history of appends and reads:
 *   - what was acknowledged stands once, at its index, with its bytes, for every reader; what was refused stands nowhere; what
 *     has an unknown outcome stands once at most, and nothing stands there that nobody appended;
 *   - what was appended after an acknowledgement stands behind what was acknowledged;
 *   - all readers see prefixes of one log: no gap, no other order, no change, nothing before it was appended;
 *   - a reader never goes back;
 *   - a linearizable read sees all that was acknowledged, and all that an earlier such read saw, before it began;
 *   - a final read sees everything acknowledged.
 */

/** `unknown`: neither answer came, or one that says that nobody knows. */
export type AppendOutcome = 'acknowledged' | 'refused' | 'unknown'

export interface Append {
  /** Unlike that of any other append. */
  readonly id: string
  /** What was appended, or a digest of it. */
  readonly content: string
  /** Any one clock of the observer. */
  readonly invokedAt: number
  /** Infinity where no answer came. */
  readonly answeredAt: number
  readonly outcome: AppendOutcome
  /** Where it stands as acknowledged; -1 otherwise. */
  readonly index: number
}

export interface SeenEntry {
  readonly index: number
  readonly id: string
  readonly content: string
}

/** One read of the range `from` to `end - 1`: in it stand exactly `entries`; whatever lies between them is no client's. */
export interface LogRead {
  /** Reads of one reader follow one another and never go back. A member that starts anew is another reader. */
  readonly reader: string
  readonly startedAt: number
  readonly endedAt: number
  readonly from: number
  readonly end: number
  /** By ascending index. */
  readonly entries: readonly SeenEntry[]
  /** `linearizable`: it claims to see everything up to its start. `final`: nothing was under way any more. */
  readonly claim: 'prefix' | 'linearizable' | 'final'
}

export interface LogHistory {
  readonly appends: readonly Append[]
  readonly reads: readonly LogRead[]
}

/** No more than this is said: one mistake often breaks many promises. */
const VIOLATIONS_MAX = 20

/** @returns what does not hold, in words; nothing for a good history. */
export function checkLogOrder(history: LogHistory): string[] {
  const checker = new LogOrderChecker(history)
  return checker.violations()
}

class LogOrderChecker {
  readonly #history: LogHistory
  readonly #appends = new Map<string, Append>()
  /** By index: whose entry stands there, or null where a read found none. */
  readonly #log = new Map<number, string | null>()
  readonly #indexOf = new Map<string, number>()
  readonly #violations: string[] = []

  constructor(history: LogHistory) {
    this.#history = history
  }

  violations(): string[] {
    const { appends, reads } = this.#history
    for (const append of appends) this.#takeAppend(append)
    for (const read of reads) this.#takeRead(read)
    this.#checkTimes()
    this.#checkReaders()
    this.#checkClaims()
    return this.#violations
  }

  #violated(what: string): void {
    if (this.#violations.length < VIOLATIONS_MAX) this.#violations.push(what)
  }

  #takeAppend(append: Append): void {
    const { id, outcome, index } = append
    if (this.#appends.has(id)) return this.#violated(`${id} was appended twice: the history is of no use`)
    this.#appends.set(id, append)
    if (outcome !== 'acknowledged') return
    if (!Number.isSafeInteger(index) || index < 0) return this.#violated(`${id} was acknowledged at ${index}`)
    this.#stands(index, id, 'was acknowledged')
  }

  #takeRead(read: LogRead): void {
    let next = read.from
    for (const entry of read.entries) {
      if (entry.index < next || entry.index >= read.end) {
        this.#violated(`${read.reader} saw index ${entry.index} out of order in ${read.from} to ${read.end - 1}`)
        return
      }
      for (; next < entry.index; next++) this.#standsNothing(next, read)
      next++
      this.#takeEntry(entry, read)
    }
    for (; next < read.end; next++) this.#standsNothing(next, read)
  }

  #takeEntry(entry: SeenEntry, read: LogRead): void {
    const { index, id, content } = entry
    const append = this.#appends.get(id)
    if (append === undefined) return this.#violated(`${read.reader} saw ${id} at ${index}, which nobody appended`)
    if (append.content !== content) this.#violated(`${read.reader} saw ${id} at ${index} with other bytes`)
    if (append.outcome === 'refused') this.#violated(`${read.reader} saw ${id} at ${index}, which was refused`)
    if (append.invokedAt > read.endedAt) this.#violated(`${read.reader} saw ${id} before it was appended`)
    this.#stands(index, id, `was seen by ${read.reader}`)
  }

  #stands(index: number, id: string, how: string): void {
    const other = this.#log.get(index)
    if (other === undefined) this.#log.set(index, id)
    else if (other !== id) this.#violated(`${id} ${how} at ${index}, where ${other ?? 'nothing'} stands`)
    const place = this.#indexOf.get(id)
    if (place === undefined) this.#indexOf.set(id, index)
    else if (place !== index) this.#violated(`${id} ${how} at ${index} and stands at ${place}, too`)
  }

  #standsNothing(index: number, read: LogRead): void {
    const other = this.#log.get(index)
    if (other === undefined) this.#log.set(index, null)
    else if (other !== null) this.#violated(`${read.reader} saw nothing at ${index}, where ${other} stands`)
  }

  /** What was appended after an acknowledgement, or after it was seen, stands behind that. */
  #checkTimes(): void {
    const { appends, reads } = this.#history
    const known = [
      ...appends
        .filter((append) => append.outcome === 'acknowledged')
        .map((append) => ({ at: append.answeredAt, index: append.index })),
      ...reads
        .filter((read) => read.entries.length > 0)
        .map((read) => ({ at: read.endedAt, index: (read.entries.at(-1) as SeenEntry).index })),
    ].toSorted((a, b) => a.at - b.at)
    let next = 0
    let highest = -1
    for (const append of appends.toSorted((a, b) => a.invokedAt - b.invokedAt)) {
      for (let fact = known[next]; fact !== undefined && fact.at < append.invokedAt; fact = known[++next]) {
        highest = Math.max(highest, fact.index)
      }
      const index = this.#indexOf.get(append.id)
      if (index !== undefined && index <= highest) {
        this.#violated(`${append.id} stands at ${index}, though ${highest} was known before it was appended`)
      }
    }
  }

  #checkReaders(): void {
    const last = new Map<string, LogRead>()
    for (const read of this.#history.reads.toSorted((a, b) => a.startedAt - b.startedAt)) {
      const before = last.get(read.reader)
      if (before !== undefined && before.endedAt <= read.startedAt && read.end < before.end) {
        this.#violated(`${read.reader} saw up to ${before.end - 1} and later up to ${read.end - 1} only`)
      }
      if (before === undefined || read.end > before.end) last.set(read.reader, read)
    }
  }

  #checkClaims(): void {
    const { appends, reads } = this.#history
    const facts = [
      ...appends
        .filter((append) => append.outcome === 'acknowledged')
        .map((append) => ({ at: append.answeredAt, end: append.index + 1, what: `${append.id} was acknowledged` })),
      ...reads
        .filter((read) => read.claim === 'linearizable')
        .map((read) => ({ at: read.endedAt, end: read.end, what: `${read.reader} read it` })),
    ].toSorted((a, b) => a.at - b.at)
    let next = 0
    let highest = { end: 0, what: '' }
    for (const read of reads.toSorted((a, b) => a.startedAt - b.startedAt)) {
      if (read.claim === 'prefix') continue
      for (let fact = facts[next]; fact !== undefined && fact.at < read.startedAt; fact = facts[++next]) {
        if (fact.end > highest.end) highest = fact
      }
      if (read.end < highest.end) {
        this.#violated(
          `${read.reader}'s ${read.claim} read saw up to ${read.end - 1}; before it began, ${highest.what} at ${highest.end - 1}`,
        )
      }
    }
  }
}
