/**
 * What a log consists of, in memory: where it starts and ends, where terms change, where its configurations stand.
 *
 * Keeps: it moves with the call, ahead of the disk. Term runs ascend, each of another term than the one before, and the first one
 * starts with the log; configuration indexes ascend and lie in the log. An empty log ends where it starts.
 */
import { EntryChannel, type EntryBatch } from './entry-batch.ts'
import { chainCrcAt, channelAt } from './entry-codec.ts'
import type { BeforeFirst, DurableHint, RecoveredLog, TermRun } from './recovery.ts'

/** The last entry of a log, or the one before its first. */
export interface LogEnd {
  readonly lastIndex: number
  readonly endPos: number
  readonly chain: number
  readonly term: number
}

export class LogOutline {
  /** The entry before the first one kept; index -1 when there never was one. */
  before: BeforeFirst
  lastIndex: number
  /** That of the entry before for an empty log. */
  lastTerm: number
  endPos: number
  lastChain: number
  readonly termRuns: TermRun[]
  readonly configurationIndexes: number[]
  /** Entries below may come without checksums. */
  checksummedFrom: number

  constructor(found: RecoveredLog, checksummedFrom: number) {
    this.before = {
      index: found.firstIndex - 1,
      term: found.prevTerm,
      endPos: found.firstEndPos,
      chain: found.firstChain,
    }
    this.lastIndex = found.lastIndex
    this.lastTerm = found.lastTerm
    this.endPos = found.endPos
    this.lastChain = found.lastChain
    this.termRuns = found.termRuns
    this.configurationIndexes = found.configurationIndexes
    this.checksummedFrom = checksummedFrom
  }

  get firstIndex(): number {
    return this.before.index + 1
  }

  get end(): DurableHint {
    return { index: this.lastIndex, endPos: this.endPos, chain: this.lastChain, term: this.lastTerm }
  }

  termAt(index: number): number {
    return this.termRuns.findLast((run) => run.firstIndex <= index)?.term ?? this.before.term
  }

  /** A batch follows the last entry; its configuration entries are told one by one. Hot: once per batch. */
  appended({ firstIndex, count, term, positions, sizes, bytes }: EntryBatch): void {
    if (this.termRuns.length === 0 || term !== this.lastTerm) this.termRuns.push({ firstIndex, term })
    const lastSize = sizes[count - 1] as number
    this.lastIndex += count
    this.lastTerm = term
    this.lastChain = chainCrcAt(bytes, bytes.length - lastSize)
    this.endPos = (positions[count - 1] as number) + lastSize
  }

  /** The log ends with `kept` now. */
  truncated({ lastIndex, endPos, chain, term }: LogEnd): void {
    this.lastIndex = lastIndex
    this.endPos = endPos
    this.lastChain = chain
    this.lastTerm = term
    while ((this.termRuns.at(-1)?.firstIndex ?? -1) > lastIndex) this.termRuns.pop()
    while ((this.configurationIndexes.at(-1) ?? -1) > lastIndex) this.configurationIndexes.pop()
  }

  /** The log starts after `before` now, with an entry that it has. */
  trimmed(before: BeforeFirst): void {
    const firstIndex = before.index + 1
    this.before = before
    while ((this.termRuns[1]?.firstIndex ?? Number.POSITIVE_INFINITY) <= firstIndex) this.termRuns.shift()
    const run = this.termRuns[0]
    if (run !== undefined && run.firstIndex < firstIndex) this.termRuns[0] = { firstIndex, term: run.term }
    const configurations = this.configurationIndexes
    while ((configurations[0] ?? Number.POSITIVE_INFINITY) < firstIndex) configurations.shift()
  }

  /** The terms of these entries, which follow one another, were guessed so far. */
  learnTerms(batches: readonly EntryBatch[]): void {
    const first = batches[0] as EntryBatch
    const last = batches.at(-1) as EntryBatch
    const next = last.firstIndex + last.count
    const termBehind = next <= this.lastIndex ? this.termAt(next) : null
    const runs = this.termRuns.filter((run) => run.firstIndex < first.firstIndex)
    const add = (firstIndex: number, term: number): void => {
      if (runs.at(-1)?.term !== term) runs.push({ firstIndex, term })
    }
    for (const batch of batches) add(batch.firstIndex, batch.term)
    if (termBehind !== null) add(next, termBehind)
    for (const run of this.termRuns) if (run.firstIndex > next) add(run.firstIndex, run.term)
    this.termRuns.splice(0, this.termRuns.length, ...runs)
    this.lastTerm = runs.at(-1)?.term ?? this.before.term
  }

  /** Configurations among entries that were lost so far. */
  learnConfigurations(batch: EntryBatch): void {
    let at = 0
    for (let i = 0; i < batch.count; i++) {
      const index = batch.firstIndex + i
      if (channelAt(batch.bytes, at) === EntryChannel.CONFIGURATION && !this.configurationIndexes.includes(index)) {
        this.configurationIndexes.push(index)
        this.configurationIndexes.sort((a, b) => a - b)
      }
      at += batch.sizes[i] as number
    }
  }
}
