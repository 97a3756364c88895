/** What members say, as it leaves and as it is heard (10, 12, 18, 21). */
import type { LogNode, Message } from '@dledger-ts/dledger/internals'
import type { Member } from '../member.ts'
import type { CommitChecks } from './commit-checks.ts'
import type { LeaderChecks } from './leader-checks.ts'
import type { VoteChecks } from './vote-checks.ts'
import type { Observed } from './observed.ts'

export class MessageChecks {
  readonly #observed: Observed
  readonly #commits: CommitChecks
  readonly #votes: VoteChecks
  readonly #leaders: LeaderChecks

  constructor(observed: Observed, commits: CommitChecks, votes: VoteChecks, leaders: LeaderChecks) {
    this.#observed = observed
    this.#commits = commits
    this.#votes = votes
    this.#leaders = leaders
  }

  sent(member: Member, message: Message): void {
    const seen = this.#observed.seenOf(member)
    if (seen.stopped && message.type !== 'TimeoutNow') {
      this.#observed.violated(`${member.name} sent ${message.type} after its storage failed (21)`)
    }
    if (message.type === 'TimeoutNow') this.#leaders.handsOver(member, message)
    // The term of a repair message is that of its entries.
    const isOfEntries = message.type === 'RepairRequest' || message.type === 'RepairResponse'
    const promises = message.type !== 'PreVote' && message.type !== 'PreVoteResponse' && !isOfEntries
    if (promises && message.term > seen.revealedTerm) {
      seen.revealedTerm = message.term
      const durable = member.durableVote.read().term
      if (durable < message.term) {
        this.#observed.violated(
          `${member.name} sent ${message.type} of term ${message.term}; durable there: ${durable} (12)`,
        )
      }
    }
    if (message.type === 'AppendEntries' || message.type === 'Heartbeat') {
      if (message.commitIndex >= this.#observed.committed.length) this.#commits.newCommit(member, message.commitIndex)
    }
    if (message.type === 'RequestVote') this.#votes.campaigns(member, message)
    if (message.type === 'RequestVoteResponse' && message.granted) {
      this.#votes.vote(member, message, message.to)
      this.#votes.voterIsNotNewer(member, message)
    }
    if (message.type === 'AppendEntriesResponse' && message.success && message.matchIndex >= 0) {
      this.#acknowledges(member, message)
    }
  }

  /** A member that hears of a higher term from a leader, or in an answer, is in that term at once (10). */
  delivered(member: Member, message: Message): void {
    const node = member.node
    if (message.type === 'Recover') {
      const sender = this.#observed.options.members.find((one) => one.name === message.from)
      for (const tail of sender?.lostTails ?? []) {
        const knows = `${member.name} ${message.term}`
        if (tail.incarnation >= message.incarnation || tail.knownBy.has(knows)) continue
        tail.knownBy.set(knows, node?.raft.status().commitIndex ?? -1)
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
          this.#observed.violated(
            `${member.name} heard ${message.type} of term ${message.term} and stays in term ${term} (10)`,
          )
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
    const member = this.#observed.options.members.find((one) => one.name === name)
    return member === undefined || member.node === null || member.life !== 'up' ? null : member.node.storeId
  }

  /** What is acknowledged is durable (12), and it is the leader's entry (18). */
  #acknowledges(member: Member, message: Extract<Message, { type: 'AppendEntriesResponse' }>): void {
    const { members } = this.#observed.options
    const entries = this.#commits.promised(member)
    const held = entries[message.matchIndex]
    if (held === undefined) {
      this.#observed.violated(
        `${member.name} acknowledged ${message.matchIndex}; durable there: up to ${entries.length - 1} (12)`,
      )
      return
    }
    const leader = members.find((one) => one.name === message.to)
    if (leader === undefined || leader.role?.role !== 'LEADER' || leader.role.term !== message.term) return
    const theirs = leader.cacheImage.entries[message.matchIndex]
    if (theirs !== undefined && theirs.chain !== held.chain) {
      this.#observed.violated(
        `${member.name} acknowledged ${message.matchIndex} to ${leader.name}, which has another entry there (18)`,
      )
    }
  }
}
