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
  readonly configurations = new Configurations()
  /** Data entries below this index have been handed to the workload. */
  counted = 0
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
