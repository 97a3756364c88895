/**
 * Decides, on the leader, how much of the log's head may be forgotten: by age, by size, and by how full the fullest disk is.
 *
 *   every `retentionIntervalMs`, at a heartbeat ──► this disk looked at ──► on a leader: files too many ──► a trim is proposed
 *
 * Keeps:
 *   - nothing is forgotten by this alone: it names an index, and Trimming keeps R21 on every member.
 *   - what a member that answers still needs stays, as long as that is no more than `retainForLaggingBytes`.
 *   - the file that is being written stays. For a full disk one file goes at a time, and then the answers are waited for.
 *   - what is off costs nothing: no disk is looked at, no file.
 */
import { localHourOf } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import type { Disk } from '../disk/disk.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { Raft } from '../raft/raft.ts'

/** Looks at which age counts at any hour, once somebody has asked for that: Apache's number. */
const LOOKS_PAST_HOURS = 20

export type RetentionSettings = Pick<
  NodeSettings,
  | 'retentionMs'
  | 'retentionHours'
  | 'retentionEarlyDiskPercent'
  | 'retentionBytes'
  | 'retentionDiskPercent'
  | 'retainForLaggingBytes'
>

/** The log as retention sees it. */
export interface RetentionView {
  /** Wall clock, as files' times are. */
  readonly nowMs: number
  /** Hour of the day by the wall clock, local time. */
  readonly hour: number
  /** Where each file starts, ascending; the last one is being written. */
  readonly starts: readonly number[]
  readonly endPos: number
  /** When the file that starts there was last written. */
  readonly writtenMs: (start: number) => number
  /** The first entry that begins in the file that starts there; null where that is not known. */
  readonly firstIndexIn: (start: number) => number | null
  /** Of the member whose disk is the fullest. */
  readonly usedPercent: number
  /** From here on everything stays, whatever is set. */
  readonly keptFrom: number
  /** The first entry that each of the followers who answer still needs. */
  readonly needed: readonly number[]
}

/** @returns entries below this may go, in whole files; 0 for none. */
export function retainedFrom(settings: RetentionSettings, view: RetentionView): number {
  const { starts, endPos, firstIndexIn, needed } = view
  let count = 0
  while (count < starts.length - 1 && isTooMuch(settings, view, count)) count++
  if (count === 0) return 0
  const before = firstIndexIn(starts[count] as number)
  if (before === null) return 0
  const fileOf = (index: number): number => {
    let file = count
    while (file > 0 && (firstIndexIn(starts[file] as number) ?? Number.POSITIVE_INFINITY) > index) file--
    return file
  }
  let kept = fileOf(view.keptFrom)
  for (const index of needed) {
    if (index >= before) continue
    const file = fileOf(index)
    // Beyond that it is given the files anew.
    if (endPos - (starts[file] as number) <= settings.retainForLaggingBytes) kept = Math.min(kept, file)
  }
  return kept === 0 ? 0 : (firstIndexIn(starts[kept] as number) ?? 0)
}

/** Whether the file goes when all before it do. */
function isTooMuch(settings: RetentionSettings, view: RetentionView, file: number): boolean {
  const { retentionMs, retentionBytes, retentionDiskPercent } = settings
  const start = view.starts[file] as number
  if (retentionBytes !== null && view.endPos - start > retentionBytes) return true
  if (retentionDiskPercent !== null && file === 0 && view.usedPercent >= retentionDiskPercent) return true
  return retentionMs !== null && mayAge(settings, view) && view.nowMs - view.writtenMs(start) > retentionMs
}

/** Whether now is a time at which files go for their age. */
function mayAge({ retentionHours, retentionEarlyDiskPercent }: RetentionSettings, view: RetentionView): boolean {
  if (retentionHours === null || retentionHours.includes(view.hour)) return true
  return retentionEarlyDiskPercent !== null && view.usedPercent >= retentionEarlyDiskPercent
}

export interface RetentionOptions {
  readonly settings: NodeSettings
  readonly disk: Disk
  readonly directory: string
  readonly raft: Raft
  readonly log: SegmentedLog
  /** What the disk keeps free for the worst is given, and there is no room to take it back. */
  readonly lacksReserve: () => boolean
  /** From here on the log must stay: some member can only be helped from it. */
  readonly keptFrom: () => number
  /** The first entry that a follower needs which is being given state and files. */
  readonly neededByInstall: (peer: string) => number
  /** The term in which this member leads and may propose, or null. */
  readonly leadsInTerm: () => number | null
  /** @returns whether it was proposed that entries below this are forgotten. */
  readonly propose: (before: number) => boolean
}

export class Retention {
  readonly #options: RetentionOptions
  readonly #isOff: boolean
  #lookedAtMs = Number.NEGATIVE_INFINITY
  /** What was proposed last, and in which term. */
  #proposed = 0
  #proposedInTerm = -1
  /** Looks left at which age counts at any hour. */
  #looksPastHours = 0
  /** … in this term: whoever asked, asked its leader. */
  #passesOverInTerm: number | null = null
  /** A file went for a full disk at the last look: what the members say of theirs is from before that. */
  #waitsForAnswers = false

  constructor(options: RetentionOptions) {
    const { retentionMs, retentionBytes, retentionDiskPercent } = options.settings
    this.#options = options
    this.#isOff = retentionMs === null && retentionBytes === null && retentionDiskPercent === null
  }

  /** At the next looks, of which the first comes with the next heartbeat, files that are old enough go at any hour. */
  passOverHours(): void {
    this.#looksPastHours = LOOKS_PAST_HOURS
    this.#passesOverInTerm = this.#options.leadsInTerm()
    this.#lookedAtMs = Number.NEGATIVE_INFINITY
  }

  /** A heartbeat has passed. @param nowMs monotonic. @param wallMs as files' times are. */
  wake(nowMs: number, wallMs: number): void {
    const { settings, disk, directory, raft, leadsInTerm } = this.#options
    if (this.#isOff || nowMs - this.#lookedAtMs < settings.retentionIntervalMs) return
    this.#lookedAtMs = nowMs
    const looksAtDisk = settings.retentionDiskPercent !== null || settings.retentionEarlyDiskPercent !== null
    // Without its reserve a disk is full, however much of that is left.
    if (looksAtDisk) raft.diskUsage(this.#options.lacksReserve() ? 100 : disk.usedPercentSync(directory))
    const term = leadsInTerm()
    if (term !== null) this.#decide(term, wallMs)
  }

  #decide(term: number, wallMs: number): void {
    const { log, settings, keptFrom, propose } = this.#options
    if (this.#proposedInTerm !== term) {
      this.#proposedInTerm = term
      this.#proposed = 0
    }
    const usedPercent = this.#usedPercent()
    const passesOver = this.#looksPastHours > 0 && this.#passesOverInTerm === term
    if (passesOver) this.#looksPastHours--
    const before = retainedFrom(passesOver ? { ...settings, retentionHours: null } : settings, {
      nowMs: wallMs,
      hour: localHourOf(wallMs),
      starts: log.starts,
      endPos: log.endPos,
      writtenMs: (start) => log.writtenMs(start),
      firstIndexIn: (start) => log.firstIndexIn(start),
      usedPercent,
      keptFrom: keptFrom(),
      needed: this.#needed(),
    })
    // What was decided and has not happened yet waits for a checkpoint.
    if (before <= Math.max(this.#proposed, log.firstIndex) || !propose(before)) return
    this.#proposed = before
    this.#waitsForAnswers = usedPercent >= (settings.retentionDiskPercent ?? Number.POSITIVE_INFINITY)
  }

  #usedPercent(): number {
    if (!this.#waitsForAnswers) return this.#options.raft.fullestDisk()
    this.#waitsForAnswers = false
    return 0
  }

  #needed(): number[] {
    const { raft, neededByInstall } = this.#options
    return raft
      .neededByFollowers()
      .map(({ id, nextIndex, isGivenFiles }) => (isGivenFiles ? neededByInstall(id) : nextIndex))
  }
}
