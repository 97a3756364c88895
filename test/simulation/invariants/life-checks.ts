/** What a member that dies and comes back must still have, and what a lost disk or page cache may take (6, 7, 10, 12, 25). */
import type { ImageEntry } from '../log-image.ts'
import type { Member } from '../member.ts'
import type { Death } from '../schedule.ts'
import type { LogChecks } from './log-checks.ts'
import type { Observed } from './observed.ts'

export interface LogBeforeDeath {
  readonly cache: readonly ImageEntry[]
  readonly durable: readonly ImageEntry[]
}

export class LifeChecks {
  readonly #observed: Observed
  readonly #log: LogChecks

  constructor(observed: Observed, log: LogChecks) {
    this.#observed = observed
    this.#log = log
  }

  /** Before anything of a dying process or of its unsynced data is gone. @returns what its log looks like then. */
  beforeDeath(member: Member): LogBeforeDeath {
    member.durableImage.refresh()
    return { cache: [...member.cacheImage.entries], durable: [...member.durableImage.entries] }
  }

  /** The tears and losses have happened: from now on it is known what the next start must find. */
  afterDeath(member: Member, death: Death, before: LogBeforeDeath): void {
    const seen = this.#observed.seenOf(member)
    this.#log.look(member)
    let { cache } = before
    let count: number
    if (death === 'kill') {
      cache = member.cacheImage.entries
      count = cache.length
    } else {
      // What is durable and was not about to be cut.
      count = Math.min(cache.length, before.durable.length)
      while (count > 0 && cache[count - 1]?.chain !== before.durable[count - 1]?.chain) count--
    }
    seen.mustKeep = { count, chain: chainBefore(cache, count) }
    seen.leaderTerm = -1
    seen.stopped = false
    if (this.#observed.options.schedule.flush !== 'ASYNC_FLUSH') return
    if (death === 'power') {
      const { incarnation, recovering } = member.durableVote.read()
      if (!recovering) member.lostTails.push({ entries: before.cache, incarnation, knownBy: new Map() })
    }
    // What a message of before brought back may be in memory only.
    if (death === 'power' || this.#observed.hasBroughtBack) this.#loseWhatNobodyHolds(member)
  }

  /**
   * Acknowledged means: in the page cache of a majority. What no voter's drive holds any more is lost, and may be only if every member of
   * such a majority had it and lost power: at least so many must have a tail that counted and is gone (6).
   */
  #loseWhatNobodyHolds(member: Member): void {
    const { members, workload } = this.#observed.options
    // What only a learner still holds is lost: nobody can elect it.
    const voting = this.#observed.committedConfiguration()?.configuration.voters
    const isHeld = (entry: ImageEntry): boolean =>
      members.some(
        (one) =>
          (voting === undefined || voting.some(({ id }) => id === one.name)) &&
          one.cacheImage.entries[entry.index]?.chain === entry.chain,
      )
    let kept = this.#observed.committed.length
    while (kept > 0 && !isHeld(this.#observed.committed[kept - 1] as ImageEntry)) kept--
    if (kept === this.#observed.committed.length) return
    const lost = this.#observed.committed[kept] as ImageEntry
    const losers = members.filter((one) => one.lostTails.some(({ entries }) => entries[kept]?.chain === lost.chain))
    const voters = voting ?? this.#observed.configurationOf(member).voters
    // The configuration may have changed since by one voter.
    if (losers.length * 2 < voters.length) {
      this.#observed.violated(
        `entry ${kept} is committed and gone, and only ${losers.length} of ${voters.length} voters lost it with their power (6)`,
      )
    }
    this.#observed.loseFrom(kept)
    this.#observed.counted = Math.min(this.#observed.counted, kept)
    workload.lost(kept)
    this.#observed.options.lost(kept)
  }

  /** It has another, empty drive: nothing it promised is remembered there. */
  lostDisk(member: Member): void {
    const seen = this.#observed.seenOf(member)
    seen.mustKeep = { count: 0, chain: 0 }
    seen.firstIndex = 0
    seen.revealedTerm = 0
  }

  /** Recovery is over: nothing durable is gone, the term is not older than any promise. */
  started(member: Member): void {
    const seen = this.#observed.seenOf(member)
    this.#log.look(member, { comparing: false })
    const { count, chain } = seen.mustKeep
    const entries = member.cacheImage.entries
    if (entries.length < count || chainBefore(entries, count) !== chain) {
      this.#observed.violated(`${member.name} had ${count} durable entries and recovered ${entries.length} (7)`)
    }
    const term = member.node?.role.term ?? 0
    if (term < seen.revealedTerm) {
      this.#observed.violated(
        `${member.name} is back with term ${term} and had revealed term ${seen.revealedTerm} (10, 12)`,
      )
    }
    seen.term = term
    seen.commitIndex = -1
    seen.appliedIndex = -1
    seen.leaderTerm = -1
  }

  /** Its storage failed: from now on it only hands over. */
  stopped(member: Member): void {
    this.#observed.seenOf(member).stopped = true
  }

  /** Whoever counts again has durably whatever it counted for and was committed (25). */
  noticeIntact(member: Member): void {
    const seen = this.#observed.seenOf(member)
    const recovering = member.durableVote.read().recovering === true
    if (seen.recovering === recovering) return
    seen.recovering = recovering
    if (recovering) return
    member.durableImage.refresh()
    for (const { entries } of member.lostTails) {
      const lacking = entries.find(
        ({ index, chain }) =>
          this.#observed.committed[index]?.chain === chain && member.durableImage.entries[index]?.chain !== chain,
      )
      if (lacking !== undefined)
        this.#observed.violated(
          `${member.name} says that it is intact and lacks ${lacking.index}, which is committed (25)`,
        )
    }
    member.lostTails = []
  }
}

function chainBefore(entries: readonly ImageEntry[], count: number): number {
  return entries[count - 1]?.chain ?? 0
}
