/**
 * What must hold after every event, whatever happened to disks, network and processes. Numbers are those of README.md.
 *
 * Observes from outside: roles and indexes that members report, messages as they leave, what is applied, what proposals are
 * told, and the log as it can be read from each member's simulated drive. Incremental: looks only at what is new.
 *
 *   each event ──► Invariants ──► log, commits, leaders     deaths, starts ──► lives     roles ──► votes
 *   messages ──► messages ──► votes, commits                what is applied and told ──► applying
 */
import type { ImageEntry } from '../log-image.ts'
import type { Member } from '../member.ts'
import { ApplyChecks } from './apply-checks.ts'
import { CommitChecks } from './commit-checks.ts'
import { LeaderChecks } from './leader-checks.ts'
import { LifeChecks } from './life-checks.ts'
import { LogChecks } from './log-checks.ts'
import { MessageChecks } from './message-checks.ts'
import { VoteChecks } from './vote-checks.ts'
import { type InvariantsOptions, Observed } from './observed.ts'

/** The core checks all it keeps after every so-manieth event. */
const CORE_CHECK_EVENTS = 8

export class Invariants {
  readonly lives: LifeChecks
  readonly votes: VoteChecks
  readonly messages: MessageChecks
  readonly applying: ApplyChecks
  readonly #observed: Observed
  readonly #log: LogChecks
  readonly #commits: CommitChecks
  readonly #leaders: LeaderChecks
  #events = 0

  constructor(options: InvariantsOptions) {
    const observed = new Observed(options)
    this.#observed = observed
    this.#log = new LogChecks(observed)
    this.#commits = new CommitChecks(observed, this.#log)
    this.#leaders = new LeaderChecks(observed)
    this.lives = new LifeChecks(observed, this.#log)
    this.votes = new VoteChecks(observed, this.#commits, this.#leaders)
    this.messages = new MessageChecks(observed, this.#commits, this.votes, this.#leaders)
    this.applying = new ApplyChecks(observed, this.#commits)
  }

  /** Every entry that anybody committed, by index. */
  get committed(): readonly ImageEntry[] {
    return this.#observed.committed
  }

  /** A majority lost power and with it what was committed, within what ASYNC_FLUSH promises. */
  get hasLost(): boolean {
    return this.#observed.hasLost
  }

  /** The newest configuration that is committed, and where it stands; null while none is. */
  committedConfiguration(): ReturnType<Observed['committedConfiguration']> {
    return this.#observed.committedConfiguration()
  }

  afterEvent(member: Member): void {
    this.#log.look(member)
    if (member.life !== 'up' && member.life !== 'closing') return
    this.#indexes(member)
    this.votes.noticeLost(member)
    this.#leaders.noticeUnwell(member)
    this.#leaders.leadsWithoutDisk(member)
    if (this.#observed.options.schedule.flush === 'ASYNC_FLUSH') this.lives.noticeIntact(member)
    if (this.#events++ % CORE_CHECK_EVENTS === 0 && member.dying === null) this.#coreInvariants(member)
  }

  #coreInvariants(member: Member): void {
    try {
      member.node?.raft.checkInvariants()
    } catch (error) {
      this.#observed.violated(
        `${member.name}: ${error instanceof Error ? error.message : String(error)} (the core's own check)`,
      )
    }
  }

  /** Term, commit, applied: monotone (10), in order (11); a new commit index is looked into. */
  #indexes(member: Member): void {
    const node = member.node
    if (node === null) return
    const seen = this.#observed.seenOf(member)
    const { term } = node.role
    if (term < seen.term) this.#observed.violated(`${member.name} went from term ${seen.term} back to ${term} (10)`)
    seen.term = term
    this.#commits.noticeCommit(member)
    const applied = node.appliedIndex
    if (applied < seen.appliedIndex) {
      this.#observed.violated(`${member.name} went from applied index ${seen.appliedIndex} back to ${applied} (10)`)
    }
    const { firstIndex } = node
    if (firstIndex < seen.firstIndex) {
      this.#observed.violated(`${member.name}'s log starts at ${firstIndex} and has started at ${seen.firstIndex} (10)`)
    }
    seen.firstIndex = firstIndex
    if (firstIndex - 1 > applied && !node.isRestoring)
      this.#observed.violated(`${member.name} trimmed up to ${firstIndex} beyond what it applied (11)`)
    if (firstIndex > 0 && firstIndex - 1 > member.checkpoint.appliedIndex && !node.isRestoring) {
      this.#observed.violated(`${member.name} trimmed up to ${firstIndex} beyond its checkpoint (11)`)
    }
    seen.leaderTerm = node.role.role === 'LEADER' ? term : -1
    if (applied > node.commitIndex)
      this.#observed.violated(`${member.name} applied ${applied} beyond its commit index (11)`)
    seen.appliedIndex = applied
  }
}
