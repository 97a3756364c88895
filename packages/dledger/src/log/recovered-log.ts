/** What recovery is given, and what it says of a log. */
import type { LostRange, TermRun } from './lost-ranges.ts'
import type { SegmentDirectory } from './segment-directory.ts'

/** The end of the log as it is known to be synced. */
export interface DurableHint {
  readonly index: number
  readonly endPos: number
  readonly chain: number
  /** Of that entry; left out by older versions. */
  readonly term?: number
}
/** The entry before the first one kept. */
export interface BeforeFirst {
  readonly index: number
  readonly term: number
  readonly endPos: number
  readonly chain: number
}
export interface RecoveryInput {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly durableHint: DurableHint | null
  readonly checksummedFrom: number
  readonly beforeFirst: BeforeFirst | null
  /** Configuration entries up to the hint, kept with it; null: read the whole log to find them. */
  readonly configurationIndexes: readonly number[] | null
  /** Simulation only: damage in the middle is taken for the end of the log. */
  readonly cutsAtDamage?: boolean
  /** Simulation only: an entry need not continue the chain. */
  readonly ignoresChain?: boolean
  /** No entry has a higher term; where it is not given, an end that is lost has at least the term before it. */
  readonly termMax?: number
}
/** Part of a log whose ends are known to be good. */
export interface SuspectedRun {
  readonly data: SegmentDirectory
  readonly index: SegmentDirectory
  readonly checksummedFrom: number
  /** The entry before the first one suspected, which is good. */
  readonly from: {
    readonly index: number
    readonly term: number
    readonly endPos: number
    readonly chain: number | null
  }
  /** Looked at at least up to this entry. */
  readonly lastIndex: number
  /** An end of the log behind it, all of it written. */
  readonly end: DurableHint
  /** Simulation only. */
  readonly ignoresChain?: boolean
}
export interface RecoveredLog {
  readonly firstIndex: number
  readonly prevTerm: number
  /** End and chain value of what is before the first entry. */
  readonly firstEndPos: number
  readonly firstChain: number
  readonly lastIndex: number
  readonly lastTerm: number
  readonly endPos: number
  readonly lastChain: number
  readonly termRuns: TermRun[]
  readonly configurationIndexes: number[]
  /** Index units from here on are to be written again; the entry lies at `rebuildPos`. -1: none. */
  readonly rebuildFrom: number
  readonly rebuildPos: number
  readonly scannedEntries: number
  /** Entries that are not good, ascending. */
  readonly lost: readonly LostRange[]
  /** A lost entry may be a configuration entry that is not among `configurationIndexes`. */
  readonly configurationsUnknown: boolean
  /** Where a file's rest is to be made a blank again. */
  readonly badBlanks: readonly number[]
  /** Data files from this start on may hold entries that were never synced. */
  readonly syncFrom: number
  /** Why the end is the end; null when zeros follow. */
  readonly torn: { readonly file: string; readonly at: number; readonly what: string } | null
}
