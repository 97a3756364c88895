/** Who votes for whom, and who leads by that (1, 4, 8, 12, 15, 16, 24). */
import type { Member as Named, Message, RoleState } from '@dledger-ts/dledger/internals'
import type { Member } from '../member.ts'
import type { CommitChecks } from './commit-checks.ts'
import type { LeaderChecks } from './leader-checks.ts'
import type { Observed } from './observed.ts'

type RequestVote = Extract<Message, { type: 'RequestVote' }>

export class VoteChecks {
  readonly #observed: Observed
  readonly #commits: CommitChecks
  readonly #leaders: LeaderChecks
  readonly #leaderOfTerm = new Map<number, string>()
  readonly #voteOf = new Map<string, string>()
  /** Which stores of whom voted, by term and candidate. */
  readonly #votesFor = new Map<string, Map<string, string>>()
  /** Those of them that were not recovering. */
  readonly #intactVotesFor = new Map<string, Map<string, string>>()
  /** The newest RequestVote of each member. */
  readonly #campaignOf = new Map<string, RequestVote>()

  constructor(observed: Observed, commits: CommitChecks, leaders: LeaderChecks) {
    this.#observed = observed
    this.#commits = commits
    this.#leaders = leaders
  }

  /** Whoever leads has the votes for it, alone in its term, under nobody else's lease (1, 16, 22, 24); ready means applied (15). */
  roleChanged(member: Member, { role, term, ready }: RoleState): void {
    if (role !== 'LEADER') return
    const seen = this.#observed.seenOf(member)
    if (seen.leadsTerm !== term) {
      seen.leadsTerm = term
      seen.leadsSinceMs = this.#observed.options.nowMs()
    }
    this.#leaders.isUnderNoLease(member)
    const { voters } = this.#observed.configurationOf(member)
    // A lone voter asks nobody, so no message told of its vote.
    if (voters.length === 1 && voters[0]?.id === member.name) {
      this.vote(member, { storeId: member.durableVote.read().storeId, term }, member.name)
    }
    const given = this.#votesFor.get(`${term} ${member.name}`) ?? new Map<string, string>()
    const votes = votesAmong(voters, given)
    if (votes * 2 <= voters.length) {
      this.#observed.violated(`${member.name} leads term ${term} with ${votes} of ${voters.length} votes (1, 16)`)
    }
    const intact = new Map(this.#intactVotesFor.get(`${term} ${member.name}`))
    // Its log has not changed since it asked: what it turned out to hold meanwhile, it held then.
    const own = member.durableVote.read()
    if (own.recovering !== true && given.has(own.storeId)) intact.set(own.storeId, member.name)
    const intactVotes = votesAmong(voters, intact)
    if (intactVotes * 2 <= voters.length && votes < voters.length) {
      this.#observed.violated(
        `${member.name} leads term ${term} with ${intactVotes} intact votes and not all others (24)`,
      )
    }
    if (ready) {
      this.#commits.noticeCommit(member)
      const applied = this.#observed.committed[member.node?.appliedIndex ?? -1]
      if (applied?.term !== term)
        this.#observed.violated(`${member.name} is ready in term ${term} with none of its entries applied (15)`)
    }
    const leader = this.#leaderOfTerm.get(term)
    if (leader === undefined) {
      this.#leaderOfTerm.set(term, member.name)
      const lost = member.node?.lost ?? []
      this.noticeLost(member)
      // Its role is told some time after it was won; what is found meanwhile is found by a leader.
      if (lost.length > 0 && seen.taintedInTerm !== term)
        this.#observed.violated(`${member.name} leads term ${term} and has lost entry ${lost[0]?.firstIndex} (16)`)
    } else if (leader !== member.name)
      this.#observed.violated(`${leader} and ${member.name} both lead term ${term} (1)`)
  }

  /** After an event: were lost entries found, and did it lead then? The core itself asserts that nobody wins with them (16). */
  noticeLost(member: Member): void {
    const { node } = member
    if (node === null) return
    const seen = this.#observed.seenOf(member)
    const isTainted = node.lost.length > 0
    if (isTainted === seen.isTainted) return
    seen.isTainted = isTainted
    const { role, term } = node.raft.status()
    seen.taintedInTerm = isTainted && role === 'LEADER' ? term : -1
  }

  /** It asks for votes, which is a vote for itself. */
  campaigns(member: Member, message: RequestVote): void {
    this.#campaignOf.set(member.name, message)
    this.vote(member, message, message.from)
  }

  /** A store votes once in a term (8), and durably before it says so (12). */
  vote(member: Member, { storeId, term }: Pick<Message, 'storeId' | 'term'>, candidate: string): void {
    const key = `${storeId} ${term}`
    const known = this.#voteOf.get(key)
    if (known === undefined) this.#voteOf.set(key, candidate)
    else if (known !== candidate)
      this.#observed.violated(`store ${storeId} voted for ${known} and ${candidate} in term ${term} (8)`)
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
      this.#observed.violated(
        `${member.name} voted for ${candidate} in term ${term}; durable there: term ${durable.term}, ` +
          `vote ${durable.votedFor} (12)`,
      )
    }
  }

  /** A vote goes to a log that is at least as new as the voter's: what makes committed entries stay (4). */
  voterIsNotNewer(member: Member, vote: Message): void {
    const campaign = this.#campaignOf.get(vote.to)
    const own = member.node?.raft.status()
    // Entries of the voted term may have come since; without them the log is what it was.
    if (campaign === undefined || campaign.term !== vote.term || own === undefined || own.lastTerm >= vote.term) return
    if (
      own.lastTerm > campaign.lastTerm ||
      (own.lastTerm === campaign.lastTerm && own.lastIndex > campaign.lastIndex)
    ) {
      this.#observed.violated(
        `${member.name}, whose log ends with ${own.lastIndex} of term ${own.lastTerm}, voted for ${vote.to}, ` +
          `whose log ends with ${campaign.lastIndex} of term ${campaign.lastTerm} (4)`,
      )
    }
  }
}

/** @returns how many of `voters` are among the stores, and whose they are, that voted. */
function votesAmong(voters: readonly Named[], given: ReadonlyMap<string, string>): number {
  return voters.filter(({ id, storeId }) => {
    for (const [store, voter] of given) if (voter === id && (storeId === null || storeId === store)) return true
    return false
  }).length
}
