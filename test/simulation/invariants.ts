/**
 * What must hold after every event, whatever happened to disks, network and processes. Numbers are those of README.md.
 *
 * Observes from outside: roles and indexes that members report, messages as they leave, what is applied, what proposals are
 * told, and the log as it can be read from each member's simulated drive. Incremental: looks only at what is new.
 */
import type {
  CommittedEntry,
  Message,
  NodeSettings,
  RoleState,
  Configuration,
  LogNode,
  Member as Named,
} from '@dledger-ts/dledger/internals'
import { crc32 } from '@dledger-ts/base'
import type { ImageEntry } from './log-image.ts'
import { CONFIGURATION_CHANNEL, Configurations, promisedBy } from './membership.ts'
import type { Member } from './member.ts'
import type { Death, Schedule } from './schedule.ts'
import type { ClientProposal, Workload } from './workload.ts'

const NOOP_CHANNEL = 1
/** The core checks all it keeps after every so-manieth event. */
const CORE_CHECK_EVENTS = 8
/** Members' clocks run fast or slow by less than this. */
const CLOCK_SLACK = 0.95
/** (index, term) as one number. */
const TERMS_MAX = 100_000
const NO_ENTRIES: readonly ImageEntry[] = []

type RequestVote = Extract<Message, { type: 'RequestVote' }>

/** What is remembered of a member, some of it across its deaths. */
interface Seen {
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
  stopped: boolean
  /** As its durable hard state says. */
  recovering: boolean
}

export interface LogBeforeDeath {
  readonly cache: readonly ImageEntry[]
  readonly durable: readonly ImageEntry[]
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

export class Invariants {
  /** Every entry that anybody committed, by index: it grows and never changes (7). */
  readonly committed: ImageEntry[] = []
  /** A majority lost power and with it what was committed, within what ASYNC_FLUSH promises. */
  hasLost = false
  readonly #options: InvariantsOptions
  readonly #seen: Seen[]
  readonly #leaderOfTerm = new Map<number, string>()
  readonly #voteOf = new Map<string, string>()
  /** Which stores of whom voted, by term and candidate. */
  readonly #votesFor = new Map<string, Map<string, string>>()
  /** Those of them that were not recovering. */
  readonly #intactVotesFor = new Map<string, Map<string, string>>()
  /** The newest RequestVote of each member. */
  readonly #campaignOf = new Map<string, RequestVote>()
  readonly #chainAt = new Map<number, number>()
  readonly #configurations = new Configurations()
  /** Data entries below this index have been handed to the workload. */
  #counted = 0
  #events = 0

  constructor(options: InvariantsOptions) {
    this.#options = options
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
      stopped: false,
      recovering: false,
    }))
  }

  /** The newest configuration that is committed, and where it stands; null while none is. */
  committedConfiguration(): { readonly index: number; readonly configuration: Configuration } | null {
    for (let index = this.committed.length - 1; index >= 0; index--) {
      const entry = this.committed[index] as ImageEntry
      const configuration = entry.channel === CONFIGURATION_CHANNEL ? this.#configurations.known(entry) : undefined
      if (configuration !== undefined) return { index, configuration }
    }
    return null
  }

  // ------------------------------------------------------------------------------------------------ lives

  /** Before anything of a dying process or of its unsynced data is gone. @returns what its log looks like then. */
  beforeDeath(member: Member): LogBeforeDeath {
    this.afterEvent(member)
    member.durableImage.refresh()
    return { cache: [...member.cacheImage.entries], durable: [...member.durableImage.entries] }
  }

  /** The tears and losses have happened: from now on it is known what the next start must find. */
  afterDeath(member: Member, death: Death, before: LogBeforeDeath): void {
    const seen = this.#seenOf(member)
    this.#image(member)
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
    if (death === 'power' && this.#options.schedule.flush === 'ASYNC_FLUSH') this.#lostPower(member, before)
  }

  /**
   * Acknowledged means: in the page cache of a majority. What no voter's drive holds any more is lost, and may be only if every member of
   * such a majority had it and lost power: at least so many must have a tail that counted and is gone (6).
   */
  #lostPower(member: Member, before: LogBeforeDeath): void {
    const { incarnation, recovering } = member.durableVote.read()
    if (!recovering) member.lostTails.push({ entries: before.cache, incarnation, knownBy: new Set() })
    const { members, workload } = this.#options
    // What only a learner still holds is lost: nobody can elect it.
    const voting = this.committedConfiguration()?.configuration.voters
    const isHeld = (entry: ImageEntry): boolean =>
      members.some(
        (one) =>
          (voting === undefined || voting.some(({ id }) => id === one.name)) &&
          one.cacheImage.entries[entry.index]?.chain === entry.chain,
      )
    let kept = this.committed.length
    while (kept > 0 && !isHeld(this.committed[kept - 1] as ImageEntry)) kept--
    if (kept === this.committed.length) return
    const lost = this.committed[kept] as ImageEntry
    const losers = members.filter((one) => one.lostTails.some(({ entries }) => entries[kept]?.chain === lost.chain))
    const { voters } = this.#configurationOf(member)
    // The configuration may have changed since by one voter.
    if (losers.length * 2 < voters.length) {
      this.#violated(
        `entry ${kept} is committed and gone, and only ${losers.length} of ${voters.length} voters lost it with their power (6)`,
      )
    }
    this.committed.length = kept
    this.hasLost = true
    this.#counted = Math.min(this.#counted, kept)
    workload.lost(kept)
    this.#options.lost(kept)
  }

  /** It has another, empty drive: nothing it promised is remembered there. */
  lostDisk(member: Member): void {
    const seen = this.#seenOf(member)
    seen.mustKeep = { count: 0, chain: 0 }
    seen.firstIndex = 0
    seen.revealedTerm = 0
  }

  /** Recovery is over: nothing durable is gone, the term is not older than any promise. */
  started(member: Member): void {
    const seen = this.#seenOf(member)
    this.#image(member, { comparing: false })
    const { count, chain } = seen.mustKeep
    const entries = member.cacheImage.entries
    if (entries.length < count || chainBefore(entries, count) !== chain) {
      this.#violated(`${member.name} had ${count} durable entries and recovered ${entries.length} (7)`)
    }
    const term = member.node?.role.term ?? 0
    if (term < seen.revealedTerm) {
      this.#violated(`${member.name} is back with term ${term} and had revealed term ${seen.revealedTerm} (10, 12)`)
    }
    seen.term = term
    seen.commitIndex = -1
    seen.appliedIndex = -1
    seen.leaderTerm = -1
  }

  /** Its storage failed: from now on it only hands over. */
  stopped(member: Member): void {
    this.#seenOf(member).stopped = true
  }

  // ------------------------------------------------------------------------------------------------ after every event

  afterEvent(member: Member): void {
    this.#image(member)
    if (member.life !== 'up' && member.life !== 'closing') return
    this.#indexes(member)
    this.#leadsWithoutDisk(member)
    if (this.#options.schedule.flush === 'ASYNC_FLUSH') this.#noticeIntact(member)
    if (this.#events++ % CORE_CHECK_EVENTS === 0 && member.dying === null) this.#coreInvariants(member)
  }

  /** Whoever counts again has durably whatever it counted for and was committed (25). */
  #noticeIntact(member: Member): void {
    const seen = this.#seenOf(member)
    const recovering = member.durableVote.read().recovering === true
    if (seen.recovering === recovering) return
    seen.recovering = recovering
    if (recovering) return
    member.durableImage.refresh()
    for (const { entries } of member.lostTails) {
      const lacking = entries.find(
        ({ index, chain }) =>
          this.committed[index]?.chain === chain && member.durableImage.entries[index]?.chain !== chain,
      )
      if (lacking !== undefined)
        this.#violated(`${member.name} says that it is intact and lacks ${lacking.index}, which is committed (25)`)
    }
    member.lostTails = []
  }

  #coreInvariants(member: Member): void {
    try {
      member.node?.raft.checkInvariants()
    } catch (error) {
      this.#violated(`${member.name}: ${error instanceof Error ? error.message : String(error)} (the core's own check)`)
    }
  }

  /** Term, commit, applied: monotone (10), in order (11); a new commit index is looked into. */
  #indexes(member: Member): void {
    const node = member.node
    if (node === null) return
    const seen = this.#seenOf(member)
    const { term } = node.role
    if (term < seen.term) this.#violated(`${member.name} went from term ${seen.term} back to ${term} (10)`)
    seen.term = term
    this.noticeCommit(member)
    const applied = node.appliedIndex
    if (applied < seen.appliedIndex) {
      this.#violated(`${member.name} went from applied index ${seen.appliedIndex} back to ${applied} (10)`)
    }
    const { firstIndex } = node
    if (firstIndex < seen.firstIndex) {
      this.#violated(`${member.name}'s log starts at ${firstIndex} and has started at ${seen.firstIndex} (10)`)
    }
    seen.firstIndex = firstIndex
    if (firstIndex - 1 > applied && !node.isRestoring)
      this.#violated(`${member.name} trimmed up to ${firstIndex} beyond what it applied (11)`)
    if (firstIndex > 0 && firstIndex - 1 > member.checkpoint.appliedIndex && !node.isRestoring) {
      this.#violated(`${member.name} trimmed up to ${firstIndex} beyond its checkpoint (11)`)
    }
    seen.leaderTerm = node.role.role === 'LEADER' ? term : -1
    if (applied > node.commitIndex) this.#violated(`${member.name} applied ${applied} beyond its commit index (11)`)
    seen.appliedIndex = applied
  }

  /** Looks at a member's commit index now, for what is told within one event. */
  noticeCommit(member: Member): void {
    const node = member.node
    if (node === null) return
    const seen = this.#seenOf(member)
    const { commitIndex, role } = node
    if (commitIndex === seen.commitIndex) return
    if (commitIndex < seen.commitIndex) {
      this.#violated(`${member.name} went from commit index ${seen.commitIndex} back to ${commitIndex} (10)`)
    }
    seen.commitIndex = commitIndex
    // In one pass a leader may commit and step down, or step down and hear of a commit. What nobody knew yet, it did itself.
    const led = seen.leaderTerm >= 0
    const stillLeads = role.role === 'LEADER' && role.term === seen.leaderTerm
    const isNews = commitIndex >= this.committed.length
    if (isNews) {
      if (!led) {
        this.#violated(`${member.name} follows and has committed ${commitIndex}, which no leader has (13)`)
        return
      }
      this.#newCommit(member, commitIndex)
    }
    const term = this.committed[commitIndex]?.term
    if (led && (stillLeads || isNews) && term !== undefined && term !== seen.leaderTerm) {
      this.#violated(
        `${member.name} leads term ${seen.leaderTerm} and committed ${commitIndex} of term ${term} itself (13)`,
      )
    }
  }

  /** A leader says that everything up to `index` is committed: that entry is durable on a majority (6). */
  #newCommit(leader: Member, index: number): void {
    const { members } = this.#options
    const voters = this.#configurationOf(leader).voters
    const counts = new Map<number, number>()
    let found: { readonly entries: readonly ImageEntry[]; readonly count: number } = { entries: [], count: 0 }
    const promisedOf = (voter: Named): readonly ImageEntry[] => {
      const member = members.find((one) => one.name === voter.id) as Member
      return promisedBy(voter, member, () => this.#countedFor(leader, member, index))
    }
    for (const voter of voters) {
      const entries = promisedOf(voter)
      const chain = entries[index]?.chain
      if (chain === undefined) continue
      const count = 1 + (counts.get(chain) ?? 0)
      counts.set(chain, count)
      if (count > found.count) found = { entries, count }
    }
    if (found.count * 2 <= voters.length) {
      const terms = voters.map((voter) => `${voter.id} ${promisedOf(voter)[index]?.term ?? '-'}`).join(', ')
      this.#violated(
        `${leader.name} committed ${index}, which only ${found.count} of ${voters.length} voters hold for good ` +
          `(its term there: ${terms}) (6)`,
      )
      return
    }
    this.#extendCommitted(found.entries, index)
  }

  /** What a leader or candidate counts by: the newest configuration of its log. */
  #configurationOf(member: Member): Configuration {
    const configuration = member.node?.raft.configuration()
    if (configuration !== undefined) return configuration
    const voters = this.#options.members.filter((one) => !one.joins)
    return { voters: voters.map((one) => ({ id: one.name, storeId: null, address: null })), learners: [] }
  }

  /**
   * The log for which `leader` may count `member`. Under ASYNC_FLUSH a recovering member does not count (24), but what it had before
   * its power cut does until the leader hears that it is back.
   */
  #countedFor(leader: Member, member: Member, index: number): readonly ImageEntry[] {
    if (this.#options.schedule.flush === 'SYNC_FLUSH') return this.#promised(member)
    const isCounted = member === leader || member.durableVote.read().recovering !== true
    const entries = isCounted ? this.#promised(member) : NO_ENTRIES
    if (entries[index] !== undefined) return entries
    const knows = `${leader.name} ${leader.role?.term ?? leader.node?.role.term}`
    const tail = member.lostTails.find((one) => !one.knownBy.has(knows) && one.entries[index] !== undefined)
    return tail?.entries ?? NO_ENTRIES
  }

  /** The log as far as this member's acknowledgement may go: what is durable, or, if so configured, in the page cache. */
  #promised(member: Member): readonly ImageEntry[] {
    if (this.#options.schedule.flush === 'SYNC_FLUSH') {
      member.durableImage.refresh()
      return member.durableImage.entries
    }
    this.#image(member)
    return member.cacheImage.entries
  }

  #extendCommitted(entries: readonly ImageEntry[], index: number): void {
    const known = this.committed.length
    if (known > 0 && entries[known - 1]?.chain !== this.committed[known - 1]?.chain) {
      this.#violated(`the log that ${index} was committed in differs from what was committed up to ${known - 1} (7)`)
    }
    for (let i = known; i <= index; i++) {
      const entry = entries[i] as ImageEntry
      const before = this.committed[i - 1]
      if ((before === undefined || before.term !== entry.term) && entry.channel !== NOOP_CHANNEL) {
        this.#violated(`the first entry of term ${entry.term}, ${i}, is no no-op (15)`)
      }
      this.committed.push(entry)
    }
  }

  // ------------------------------------------------------------------------------------------------ the log

  /** Looks at what changed in a member's log on its drive. */
  #image(member: Member, options: { readonly comparing: boolean } = { comparing: true }): void {
    const { cacheImage } = member
    const change = cacheImage.refresh()
    const { entries } = cacheImage
    if (options.comparing && (member.life === 'up' || member.life === 'closing')) {
      for (const old of change.before) {
        if (entries[old.index]?.chain === old.chain) continue
        this.#cut(member, old)
        break
      }
    }
    for (let i = change.from; i < entries.length; i++) this.#appeared(member, entries[i] as ImageEntry)
  }

  /** `old` and all after it are no longer in the member's log. */
  #cut(member: Member, old: ImageEntry): void {
    const role = member.node?.role
    const last = this.committed[old.index]
    if (last !== undefined && last.chain === old.chain) {
      this.#violated(`${member.name} cut entry ${old.index} of its log, which is committed (14)`)
    }
    if (role?.role === 'LEADER' && old.term === role.term) {
      this.#violated(`${member.name} leads term ${role.term} and cut its own entry ${old.index} (2)`)
    }
  }

  /**
   * Before the next configuration, the one before is committed, and an entry of the same term; they differ by one voter at most, so
   * that their majorities meet (9).
   */
  #configurationAppeared(member: Member, entry: ImageEntry): void {
    const { entries } = member.cacheImage
    const next = this.#configurations.of(member, entry)
    let at = entry.index - 1
    while (at >= 0 && entries[at]?.channel !== CONFIGURATION_CHANNEL) at--
    const before = entries[at]
    if (before !== undefined && this.committed[at]?.chain !== before.chain) {
      this.#violated(
        `${member.name} holds configuration ${entry.index}, and the one before, ${at}, is not committed (9)`,
      )
    }
    if (!this.committed.some(({ term }) => term === entry.term)) {
      this.#violated(
        `configuration ${entry.index} of term ${entry.term} comes before its term has anything committed (9)`,
      )
    }
    const former = before === undefined ? undefined : this.#configurations.known(before)
    if (former === undefined) return
    const names = ({ voters }: Configuration): string[] => voters.map(({ id, storeId }) => `${id} ${storeId}`)
    const [was, is] = [names(former), names(next)]
    const bound = former.voters.filter(({ storeId }) => storeId === null).length
    const differing = was.filter((name) => !is.includes(name)).length + is.filter((name) => !was.includes(name)).length
    if (differing - 2 * bound > 1) {
      this.#violated(`configuration ${entry.index} has more than one voter less or more than the one before (9)`)
    }
  }

  #appeared(member: Member, entry: ImageEntry): void {
    if (entry.channel === CONFIGURATION_CHANNEL) this.#configurationAppeared(member, entry)
    const key = entry.index * TERMS_MAX + entry.term
    const known = this.#chainAt.get(key)
    if (known === undefined) this.#chainAt.set(key, entry.chain)
    else if (known !== entry.chain) {
      this.#violated(
        `two logs hold different entries ${entry.index} of term ${entry.term}, one of them ${member.name} (3)`,
      )
    }
    // What was written before may show again when a write over it was lost: only what is new was written now.
    const committed = known === undefined ? this.committed[entry.index] : undefined
    if (committed !== undefined && entry.term > committed.term) {
      this.#violated(
        `the leader of term ${entry.term} wrote entry ${entry.index}, where term ${committed.term}'s is committed (4)`,
      )
    }
  }

  // ------------------------------------------------------------------------------------------------ what is said

  roleChanged(member: Member, { role, term, ready }: RoleState): void {
    if (role !== 'LEADER') return
    const seen = this.#seenOf(member)
    if (seen.leadsTerm !== term) {
      seen.leadsTerm = term
      seen.leadsSinceMs = this.#options.nowMs()
    }
    this.#isUnderNoLease(member)
    const { voters } = this.#configurationOf(member)
    // A lone voter asks nobody, so no message told of its vote.
    if (voters.length === 1 && voters[0]?.id === member.name) {
      this.#vote(member, { storeId: member.durableVote.read().storeId, term }, member.name)
    }
    const given = this.#votesFor.get(`${term} ${member.name}`) ?? new Map<string, string>()
    const votes = votesAmong(voters, given)
    if (votes * 2 <= voters.length) {
      this.#violated(`${member.name} leads term ${term} with ${votes} of ${voters.length} votes (1, 16)`)
    }
    const intact = this.#intactVotesFor.get(`${term} ${member.name}`) ?? new Map<string, string>()
    const intactVotes = votesAmong(voters, intact)
    if (intactVotes * 2 <= voters.length && votes < voters.length) {
      this.#violated(`${member.name} leads term ${term} with ${intactVotes} intact votes and not all others (24)`)
    }
    if (ready) {
      this.noticeCommit(member)
      const applied = this.committed[member.node?.appliedIndex ?? -1]
      if (applied?.term !== term)
        this.#violated(`${member.name} is ready in term ${term} with none of its entries applied (15)`)
    }
    const leader = this.#leaderOfTerm.get(term)
    if (leader === undefined) {
      this.#leaderOfTerm.set(term, member.name)
      const lost = member.node?.status.lost ?? []
      if (lost.length > 0)
        this.#violated(`${member.name} leads term ${term} and has lost entry ${lost[0]?.firstIndex} (16)`)
    } else if (leader !== member.name) this.#violated(`${leader} and ${member.name} both lead term ${term} (1)`)
  }

  /** Whoever could still read under a lease is alone in leading, also while it is paused (22). */
  #isUnderNoLease(leader: Member): void {
    for (const member of this.#options.members) {
      if (member === leader || !member.isUp || member.node === null) continue
      const remainingMs = member.node.leaseRemainingMs
      if (remainingMs > 0) {
        this.#violated(
          `${leader.name} leads term ${leader.node?.role.term} while the lease of ${member.name} in term ` +
            `${member.node.role.term} has ${remainingMs} ms left (22)`,
        )
      }
    }
  }

  sent(member: Member, message: Message): void {
    const seen = this.#seenOf(member)
    if (seen.stopped && message.type !== 'TimeoutNow') {
      this.#violated(`${member.name} sent ${message.type} after its storage failed (21)`)
    }
    if (message.type === 'TimeoutNow') this.#handsOver(member, message)
    // The term of a repair message is that of its entries.
    const isOfEntries = message.type === 'RepairRequest' || message.type === 'RepairResponse'
    const promises = message.type !== 'PreVote' && message.type !== 'PreVoteResponse' && !isOfEntries
    if (promises && message.term > seen.revealedTerm) {
      seen.revealedTerm = message.term
      const durable = member.durableVote.read().term
      if (durable < message.term) {
        this.#violated(`${member.name} sent ${message.type} of term ${message.term}; durable there: ${durable} (12)`)
      }
    }
    if (message.type === 'AppendEntries' || message.type === 'Heartbeat') {
      if (message.commitIndex >= this.committed.length) this.#newCommit(member, message.commitIndex)
    }
    if (message.type === 'RequestVote') {
      this.#campaignOf.set(member.name, message)
      this.#vote(member, message, message.from)
    }
    if (message.type === 'RequestVoteResponse' && message.granted) {
      this.#vote(member, message, message.to)
      this.#voterIsNotNewer(member, message)
    }
    if (message.type === 'AppendEntriesResponse' && message.success && message.matchIndex >= 0) {
      this.#acknowledges(member, message)
    }
  }

  /** Unasked, by a member that is well, the leadership goes to the preferred one, and not as soon as it was won (R18). */
  #handsOver(member: Member, message: Message): void {
    const { settings, nowMs } = this.#options
    const seen = this.#seenOf(member)
    const status = member.node?.raft.status()
    if (status === undefined || seen.stopped || member.life !== 'up' || status.storageHealth !== 0) return
    // What began while its storage was not well may end when it is; one that fails hands over with its last words.
    if (member.drive.wasTroubled || member.metDiskError) return
    // It removed itself, and that is committed.
    const { voters } = this.#configurationOf(member)
    if (!voters.some(({ id }) => id === member.name)) return
    if (nowMs() - member.askedToHandOverMs < 2 * settings.electionTimeoutMs) return
    if (nowMs() - Math.max(member.resumedAtMs, 0) < settings.electionTimeoutMs) return
    if (message.to !== settings.preferredLeader) {
      this.#violated(`${member.name} hands over to ${message.to}, whom nobody prefers (R18)`)
      return
    }
    const ledMs = nowMs() - seen.leadsSinceMs
    // It may have been elected right before a beat, which counts as a whole one.
    if (ledMs < (settings.preferredStableMs - settings.heartbeatMs) * CLOCK_SLACK) {
      this.#violated(`${member.name} hands over to ${message.to} ${Math.round(ledMs)} ms after it was elected (R18)`)
    }
  }

  /** A leader whose disk does nothing is one for a bounded time only (R19). */
  #leadsWithoutDisk(member: Member): void {
    const { settings, nowMs, members } = this.#options
    if (member.node?.role.role !== 'LEADER' || member.paused || members.length === 1) return
    const oldest = member.drive.askedFor.values().next().value
    if (oldest === undefined) return
    const sinceMs = Math.max(oldest.atUs / 1000, this.#seenOf(member).leadsSinceMs, member.resumedAtMs)
    const mostMs = (settings.electionTimeoutMs + settings.storageSlowMs) / CLOCK_SLACK + 5 * settings.heartbeatMs
    if (nowMs() - sinceMs > mostMs) {
      this.#violated(
        `${member.name} leads though its disk has done nothing for ${Math.round(nowMs() - sinceMs)} ms (R19)`,
      )
    }
  }

  #vote(member: Member, { storeId, term }: Pick<Message, 'storeId' | 'term'>, candidate: string): void {
    const key = `${storeId} ${term}`
    const known = this.#voteOf.get(key)
    if (known === undefined) this.#voteOf.set(key, candidate)
    else if (known !== candidate)
      this.#violated(`store ${storeId} voted for ${known} and ${candidate} in term ${term} (8)`)
    const votes = this.#votesFor.get(`${term} ${candidate}`)
    if (votes === undefined) this.#votesFor.set(`${term} ${candidate}`, new Map([[storeId, member.name]]))
    else votes.set(storeId, member.name)
    const durable = member.durableVote.read()
    if (durable.recovering !== true) {
      const intactVotes = this.#intactVotesFor.get(`${term} ${candidate}`)
      if (intactVotes === undefined) this.#intactVotesFor.set(`${term} ${candidate}`, new Map([[storeId, member.name]]))
      else intactVotes.set(storeId, member.name)
    }
    if (durable.term < term || (durable.term === term && durable.votedFor !== candidate)) {
      this.#violated(
        `${member.name} voted for ${candidate} in term ${term}; durable there: term ${durable.term}, ` +
          `vote ${durable.votedFor} (12)`,
      )
    }
  }

  /** A vote goes to a log that is at least as new as the voter's: what makes committed entries stay (4). */
  #voterIsNotNewer(member: Member, vote: Message): void {
    const campaign = this.#campaignOf.get(vote.to)
    const own = member.node?.raft.status()
    // Entries of the voted term may have come since; without them the log is what it was.
    if (campaign === undefined || campaign.term !== vote.term || own === undefined || own.lastTerm >= vote.term) return
    if (
      own.lastTerm > campaign.lastTerm ||
      (own.lastTerm === campaign.lastTerm && own.lastIndex > campaign.lastIndex)
    ) {
      this.#violated(
        `${member.name}, whose log ends with ${own.lastIndex} of term ${own.lastTerm}, voted for ${vote.to}, ` +
          `whose log ends with ${campaign.lastIndex} of term ${campaign.lastTerm} (4)`,
      )
    }
  }

  /** A member that hears of a higher term from a leader, or in an answer, is in that term at once (10). */
  delivered(member: Member, message: Message): void {
    const node = member.node
    if (message.type === 'Recover') {
      const sender = this.#options.members.find((one) => one.name === message.from)
      for (const tail of sender?.lostTails ?? []) {
        if (tail.incarnation < message.incarnation) tail.knownBy.add(`${member.name} ${message.term}`)
      }
    }
    if (node === null || !member.isUp || node.isSwitching || message.term <= node.role.term) return
    if (message.storeId !== this.#storeIdOf(message.from) || !this.#isHeard(node, message)) return
    switch (message.type) {
      case 'AppendEntries':
      case 'AppendEntriesResponse':
      case 'Heartbeat':
      case 'HeartbeatResponse': {
        const { term } = node.raft.status()
        if (term < message.term) {
          this.#violated(`${member.name} heard ${message.type} of term ${message.term} and stays in term ${term} (10)`)
        }
      }
    }
  }

  /** Whether the receiver's configuration takes the sender for a member, under this store. */
  #isHeard({ raft }: LogNode, { from, storeId }: Message): boolean {
    const bound = raft.boundStoreOf(from)
    return raft.isNamed(from) && (bound === null || bound === storeId)
  }

  #storeIdOf(name: string): string | null {
    const member = this.#options.members.find((one) => one.name === name)
    return member === undefined || member.node === null || member.life !== 'up' ? null : member.node.storeId
  }

  /** What is acknowledged is durable (12), and it is the leader's entry (18). */
  #acknowledges(member: Member, message: Extract<Message, { type: 'AppendEntriesResponse' }>): void {
    const { members } = this.#options
    const entries = this.#promised(member)
    const held = entries[message.matchIndex]
    if (held === undefined) {
      this.#violated(
        `${member.name} acknowledged ${message.matchIndex}; durable there: up to ${entries.length - 1} (12)`,
      )
      return
    }
    const leader = members.find((one) => one.name === message.to)
    if (leader === undefined || leader.role?.role !== 'LEADER' || leader.role.term !== message.term) return
    const theirs = leader.cacheImage.entries[message.matchIndex]
    if (theirs !== undefined && theirs.chain !== held.chain) {
      this.#violated(
        `${member.name} acknowledged ${message.matchIndex} to ${leader.name}, which has another entry there (18)`,
      )
    }
  }

  // ------------------------------------------------------------------------------------------------ apply, proposals

  applied(member: Member, entry: CommittedEntry): void {
    this.noticeCommit(member)
    const committed = this.committed[entry.index]
    if (committed === undefined) {
      this.#violated(`${member.name} applied ${entry.index}, which is not committed (11)`)
      return
    }
    if (committed.term !== entry.term || committed.pos !== entry.pos || committed.bodyCrc !== crc32(entry.body)) {
      this.#violated(`${member.name} applied another entry ${entry.index} than what is committed there (5)`)
    }
    if (entry.kind === 'data' && !this.#countedUpTo(entry.index)) {
      this.#options.workload.committedEntry(entry.index, entry.body)
    }
  }

  /** Data entries are counted when first applied by anybody, in order. */
  #countedUpTo(index: number): boolean {
    if (index < this.#counted) return true
    this.#counted = index + 1
    return false
  }

  acknowledged(member: Member, proposal: ClientProposal): void {
    this.noticeCommit(member)
    const place = proposal.place
    if (place === null) return
    const committed = this.committed[place.index]
    if (committed === undefined || committed.term !== place.term || committed.pos !== place.pos) {
      this.#violated(`proposal ${proposal.id} was acknowledged at ${place.index}, where it is not committed (6, 20)`)
    } else if (proposal.committedAt !== place.index) {
      this.#violated(
        `proposal ${proposal.id} was acknowledged at ${place.index} and applied at ${proposal.committedAt} (20)`,
      )
    }
  }

  #seenOf(member: Member): Seen {
    return this.#seen[member.id] as Seen
  }

  #violated(what: string): void {
    this.#options.violated(what)
  }
}

/** @returns how many of `voters` are among the stores, and whose they are, that voted. */
function votesAmong(voters: readonly Named[], given: ReadonlyMap<string, string>): number {
  return voters.filter(({ id, storeId }) => {
    for (const [store, voter] of given) if (voter === id && (storeId === null || storeId === store)) return true
    return false
  }).length
}

function chainBefore(entries: readonly ImageEntry[], count: number): number {
  return entries[count - 1]?.chain ?? 0
}
