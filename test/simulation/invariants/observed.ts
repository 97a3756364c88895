/** What all invariants look at: the group as it is seen from outside, and what is remembered of it. */
import type { Configuration, NodeSettings } from '@dledger-ts/dledger/internals'
import type { ImageEntry } from '../log-image.ts'
import { CONFIGURATION_CHANNEL, Configurations } from '../membership.ts'
import type { Member } from '../member.ts'
import type { Schedule } from '../schedule.ts'
import type { Workload } from '../workload.ts'

/** What is remembered of a member, some of it across its deaths. */
export interface Seen {
  term: number
  commitIndex: number
  appliedIndex: number
  /** Where its log starts; across deaths. */
  firstIndex: number
  /** Highest term that a message of this store promised. */
  revealedTerm: number
  /** What its log must still hold after the next start: so many entries, ending with this chain value. */
  mustKeep: { readonly count: number; readonly chain: number }
  /** The newest term that it led, and since when. */
  leadsTerm: number
  leadsSinceMs: number
  /** The term it led when last looked at, or -1. */
  leaderTerm: number
  /** It had lost entries when last looked at; and the term that its core led when they were found, or -1. */
  isTainted: boolean
  taintedInTerm: number
  stopped: boolean
  /** As its durable hard state says. */
  recovering: boolean
}

/** An entry that was committed and is lost, and the term in which it was committed. */
interface LostEntry {
  readonly entry: ImageEntry
  readonly committedIn: number
}

export interface InvariantsOptions {
  readonly schedule: Schedule
  readonly members: readonly Member[]
  readonly workload: Workload
  readonly settings: NodeSettings
  readonly nowMs: () => number
  /** Committed entries from this index on are lost, within what ASYNC_FLUSH promises. */
  readonly lost: (from: number) => void
  readonly violated: (what: string) => void
}

export class Observed {
  readonly options: InvariantsOptions
  /** Every entry that anybody committed, by index: it grows and never changes (7). */
  readonly committed: ImageEntry[] = []
  /** For each of these the term in which it was committed: at least its own. Only leaders of later terms must have it. */
  readonly committedIn: number[] = []
  /** A majority lost power and with it what was committed, within what ASYNC_FLUSH promises. */
  hasLost = false
  /** A message of before brought some of that to who had not taken it yet. */
  hasBroughtBack = false
  readonly configurations = new Configurations()
  /** Data entries below this index have been handed to the workload. */
  counted = 0
  /** What a majority lost with its power, by index. */
  readonly #lost = new Map<number, LostEntry[]>()
  readonly #seen: Seen[]

  constructor(options: InvariantsOptions) {
    this.options = options
    this.#seen = options.members.map(() => ({
      term: 0,
      commitIndex: -1,
      appliedIndex: -1,
      firstIndex: 0,
      revealedTerm: 0,
      mustKeep: { count: 0, chain: 0 },
      leadsTerm: -1,
      leadsSinceMs: 0,
      leaderTerm: -1,
      isTainted: false,
      taintedInTerm: -1,
      stopped: false,
      recovering: false,
    }))
  }

  /** Committed entries from this index on are lost, within what ASYNC_FLUSH promises. */
  loseFrom(kept: number): void {
    for (const [i, entry] of this.committed.entries()) {
      if (i < kept) continue
      const known = this.#lost.get(i) ?? []
      known.push({ entry, committedIn: this.committedIn[i] as number })
      this.#lost.set(i, known)
    }
    this.committed.length = kept
    this.committedIn.length = kept
    this.hasLost = true
  }

  /**
   * What was lost up to `index` is back, if all of it is in this log, where an entry is told by its index and term: then it is
   * committed as it was, and all that goes for committed entries goes for these.
   */
  bringBack(index: number, termAt: (index: number) => number): boolean {
    const back: LostEntry[] = []
    for (let i = this.committed.length; i <= index; i++) {
      const term = termAt(i)
      const lost = this.#lost.get(i)?.find(({ entry }) => entry.term === term)
      if (lost === undefined) return false
      back.push(lost)
    }
    for (const { entry, committedIn } of back) {
      this.committed.push(entry)
      this.committedIn.push(committedIn)
    }
    this.hasBroughtBack = true
    return true
  }

  /** The newest configuration that is committed, and where it stands; null while none is. */
  committedConfiguration(): { readonly index: number; readonly configuration: Configuration } | null {
    for (let index = this.committed.length - 1; index >= 0; index--) {
      const entry = this.committed[index] as ImageEntry
      const configuration = entry.channel === CONFIGURATION_CHANNEL ? this.configurations.known(entry) : undefined
      if (configuration !== undefined) return { index, configuration }
    }
    return null
  }

  /** What a leader or candidate counts by: the newest configuration of its log. */
  configurationOf(member: Member): Configuration {
    const configuration = member.node?.raft.configuration()
    if (configuration !== undefined) return configuration
    const voters = this.options.members.filter((one) => !one.joins)
    return { voters: voters.map((one) => ({ id: one.name, storeId: null, address: null })), learners: [] }
  }

  seenOf(member: Member): Seen {
    return this.#seen[member.id] as Seen
  }

  violated(what: string): void {
    this.options.violated(what)
  }
}
