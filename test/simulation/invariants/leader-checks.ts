/** How long a leader is one: its lease, its disk, and to whom it hands over unasked (22; raft R18, R19). */
import type { Message } from '@dledger-ts/dledger/internals'
import type { Member } from '../member.ts'
import type { Observed } from './observed.ts'

/** Members' clocks run fast or slow by less than this. */
const CLOCK_SLACK = 0.95

export class LeaderChecks {
  readonly #observed: Observed
  /** When a leader's storage was last seen not to be well. */
  readonly #lastUnwellMs = new Map<Member, number>()

  constructor(observed: Observed) {
    this.#observed = observed
  }

  /**
   * Whoever could still read under a lease is alone in leading, also while it is paused (22). But for one who hears of its election late:
   * a majority has entered the later term, and answers it nothing.
   */
  isUnderNoLease(leader: Member): void {
    for (const member of this.#observed.options.members) {
      if (member === leader || !member.isUp || member.node === null) continue
      const remainingMs = member.node.leaseRemainingMs
      const isLate = (leader.node?.role.term ?? 0) < member.node.role.term
      if (remainingMs > 0 && !isLate) {
        this.#observed.violated(
          `${leader.name} leads term ${leader.node?.role.term} while the lease of ${member.name} in term ` +
            `${member.node.role.term} has ${remainingMs} ms left (22)`,
        )
      }
    }
  }

  /** Unasked, by a member that is well, the leadership goes to the preferred one, and not as soon as it was won (R18). */
  handsOver(member: Member, message: Message): void {
    const { settings, nowMs } = this.#observed.options
    const seen = this.#observed.seenOf(member)
    const status = member.node?.raft.status()
    if (status === undefined || seen.stopped || member.life !== 'up') return
    if (status.storageHealth !== 0) {
      this.#lastUnwellMs.set(member, nowMs())
      return
    }
    // A try goes on for an election timeout, though the disk has room again; its target may be level only then.
    if (nowMs() - (this.#lastUnwellMs.get(member) ?? Number.NEGATIVE_INFINITY) < settings.electionTimeoutMs) return
    // What began while its storage was not well may end when it is; one that fails hands over with its last words.
    if (member.drive.wasTroubled || member.metDiskError) return
    // It removed itself, and that is committed.
    const { voters } = this.#observed.configurationOf(member)
    if (!voters.some(({ id }) => id === member.name)) return
    if (nowMs() - member.askedToHandOverMs < 2 * settings.electionTimeoutMs) return
    if (nowMs() - Math.max(member.resumedAtMs, 0) < settings.electionTimeoutMs) return
    if (message.to !== settings.preferredLeader) {
      this.#observed.violated(`${member.name} hands over to ${message.to}, whom nobody prefers (R18)`)
      return
    }
    const ledMs = nowMs() - seen.leadsSinceMs
    // It may have been elected right before a beat, which counts as a whole one.
    if (ledMs < (settings.preferredStableMs - settings.heartbeatMs) * CLOCK_SLACK) {
      this.#observed.violated(
        `${member.name} hands over to ${message.to} ${Math.round(ledMs)} ms after it was elected (R18)`,
      )
    }
  }

  /** After each event. */
  noticeUnwell(member: Member): void {
    const { node } = member
    if (node === null || node.role.role !== 'LEADER' || node.raft.status().storageHealth === 0) return
    this.#lastUnwellMs.set(member, this.#observed.options.nowMs())
  }

  /** A leader whose disk does nothing is one for a bounded time only (R19). */
  leadsWithoutDisk(member: Member): void {
    const { settings, nowMs } = this.#observed.options
    const { node } = member
    if (node === null || node.role.role !== 'LEADER' || member.paused) return
    // One that is asked to stop hands over within two election timeouts; after that it leads nobody and waits for its disk.
    const handsOverMs = 2 * settings.electionTimeoutMs
    if (member.life !== 'up' && nowMs() - member.askedToStopMs >= handsOverMs) return
    const oldest = member.drive.askedFor.values().next().value
    if (oldest === undefined) return
    const sinceMs = Math.max(oldest.atUs / 1000, this.#observed.seenOf(member).leadsSinceMs, member.resumedAtMs)
    const mostMs = (settings.electionTimeoutMs + settings.storageSlowMs) / CLOCK_SLACK + 5 * settings.heartbeatMs
    if (nowMs() - sinceMs > mostMs) {
      // Nobody else could lead.
      if (node.raft.configuration().voters.length === 1) return
      this.#observed.violated(
        `${member.name} leads though its disk has done nothing for ${Math.round(nowMs() - sinceMs)} ms (R19)`,
      )
    }
  }
}
