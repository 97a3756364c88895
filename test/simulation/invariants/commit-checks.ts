/** What is committed: by whom, held by how many, and that it never changes (6, 7, 13, 15). */
import type { Member as Named } from '@dledger-ts/dledger/internals'
import type { ImageEntry } from '../log-image.ts'
import { promisedBy } from '../membership.ts'
import type { Member } from '../member.ts'
import type { LogChecks } from './log-checks.ts'
import type { Observed } from './observed.ts'

const NOOP_CHANNEL = 1
const NO_ENTRIES: readonly ImageEntry[] = []

export class CommitChecks {
  readonly #observed: Observed
  readonly #log: LogChecks

  constructor(observed: Observed, log: LogChecks) {
    this.#observed = observed
    this.#log = log
  }

  /** Looks at a member's commit index now, for what is told within one event. */
  noticeCommit(member: Member): void {
    const node = member.node
    if (node === null) return
    const seen = this.#observed.seenOf(member)
    const { commitIndex, role } = node
    if (commitIndex === seen.commitIndex) return
    if (commitIndex < seen.commitIndex) {
      this.#observed.violated(`${member.name} went from commit index ${seen.commitIndex} back to ${commitIndex} (10)`)
    }
    seen.commitIndex = commitIndex
    // In one pass a leader may commit and step down, or step down and hear of a commit. What nobody knew yet, it did itself.
    const led = seen.leaderTerm >= 0
    const stillLeads = role.role === 'LEADER' && role.term === seen.leaderTerm
    const isNews = commitIndex >= this.#observed.committed.length
    if (isNews) {
      // Sent before its leader and the others who had it lost power: who stood still until then takes it when it goes on.
      const isBack = !led && this.#observed.bringBack(commitIndex, (index) => node.raft.termAt(index))
      if (!led && !isBack) {
        this.#observed.violated(`${member.name} follows and has committed ${commitIndex}, which no leader has (13)`)
        return
      }
      if (led) this.newCommit(member, commitIndex)
    }
    const term = this.#observed.committed[commitIndex]?.term
    if (led && (stillLeads || isNews) && term !== undefined && term !== seen.leaderTerm) {
      this.#observed.violated(
        `${member.name} leads term ${seen.leaderTerm} and committed ${commitIndex} of term ${term} itself (13)`,
      )
    }
  }

  /** A leader says that everything up to `index` is committed: that entry is durable on a majority (6). */
  newCommit(leader: Member, index: number): void {
    const { members } = this.#observed.options
    const voters = this.#observed.configurationOf(leader).voters
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
      this.#observed.violated(
        `${leader.name} committed ${index}, which only ${found.count} of ${voters.length} voters hold for good ` +
          `(its term there: ${terms}) (6)`,
      )
      return
    }
    this.#extendCommitted(found.entries, index)
  }

  /**
   * The log for which `leader` may count `member`. Under ASYNC_FLUSH a recovering member does not count (24), but what it had before
   * its power cut does until the leader hears that it is back; a commit of before may be told after that, in the same pass.
   */
  #countedFor(leader: Member, member: Member, index: number): readonly ImageEntry[] {
    if (this.#observed.options.schedule.flush === 'SYNC_FLUSH') return this.promised(member)
    const isCounted = member === leader || member.durableVote.read().recovering !== true
    const entries = isCounted ? this.promised(member) : NO_ENTRIES
    if (entries[index] !== undefined) return entries
    const knows = `${leader.name} ${leader.role?.term ?? leader.node?.role.term}`
    const tail = member.lostTails.find(
      (one) => index <= (one.knownBy.get(knows) ?? index) && one.entries[index] !== undefined,
    )
    return tail?.entries ?? NO_ENTRIES
  }

  /** The log as far as this member's acknowledgement may go: what is durable, or, if so configured, in the page cache. */
  promised(member: Member): readonly ImageEntry[] {
    if (this.#observed.options.schedule.flush === 'SYNC_FLUSH') {
      member.durableImage.refresh()
      return member.durableImage.entries
    }
    this.#log.look(member)
    return member.cacheImage.entries
  }

  #extendCommitted(entries: readonly ImageEntry[], index: number): void {
    const known = this.#observed.committed.length
    if (known > 0 && entries[known - 1]?.chain !== this.#observed.committed[known - 1]?.chain) {
      this.#observed.violated(
        `the log that ${index} was committed in differs from what was committed up to ${known - 1} (7)`,
      )
    }
    for (let i = known; i <= index; i++) {
      const entry = entries[i] as ImageEntry
      const before = this.#observed.committed[i - 1]
      if ((before === undefined || before.term !== entry.term) && entry.channel !== NOOP_CHANNEL) {
        this.#observed.violated(`the first entry of term ${entry.term}, ${i}, is no no-op (15)`)
      }
      this.#observed.committed.push(entry)
      // A leader commits by entries of its own term (13).
      this.#observed.committedIn.push((entries[index] as ImageEntry).term)
    }
  }
}
