/**
 * Reads that must not be stale: up to which index must be applied here, so that a read of the local state is what was asked for?
 *
 *   linearizable   asks the leader, which asks a majority; all reads of one pass ask once.
 *   lease          the leader answers itself while its lease holds; else as above.
 *   bounded        nobody is asked while what is applied here is fresh enough; else waits for a heartbeat or two, then as above.
 *
 * Keeps:
 *   D5  a read is told its outcome exactly once, and its index is applied by then.
 *   D6  a lease is used only while it holds at that moment, by a ready leader whose storage gets anything done.
 */
import type { Clock, Random } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import { DLedgerError } from '../errors.ts'
import type { Message } from '../raft/messages.ts'
import type { ReadRefusal, RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import { Freshness } from './freshness.ts'
import { Lease } from './lease.ts'
import { RoundTimes } from './moments.ts'
import { tellEach } from './tell-each.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'

export type ReadConsistency = 'linearizable' | 'lease' | 'bounded'

export interface ReadRequest {
  readonly consistency: ReadConsistency
  /** Milliseconds; of `bounded` only. */
  readonly maxStalenessMs: number
  /** What is applied up to `index` satisfies the read, and is applied here. */
  done(index: number): void
  /** NOT_LEADER, BUSY, TIMEOUT, CLOSED. */
  failed(error: DLedgerError): void
}

/** Reads without an answer at most; more are refused with BUSY. */
const READS_MAX = 65_536
/** Tokens of this life of the process start anywhere below, so that no answer to an earlier life is taken for one to this. */
const TOKEN_STARTS = 2 ** 31
const TOKENS_APART = 2 ** 20

export interface ReadingOptions {
  readonly settings: NodeSettings
  readonly clock: Clock
  readonly random: Random
  readonly raft: Raft
  readonly faults: ReadonlySet<PlantedDriverFault>
  readonly role: () => RoleState
  readonly commitIndex: () => number
  readonly appliedIndex: () => number
}

/** Reads that share one question. */
interface Asked {
  readonly requests: readonly ReadRequest[]
  readonly deadlineMs: number
}
interface Applying extends Asked {
  readonly index: number
}
interface Waiting {
  readonly request: ReadRequest
  readonly deadlineMs: number
}

export class Reading {
  readonly #options: ReadingOptions
  readonly #times: RoundTimes
  readonly #lease: Lease
  readonly #freshness: Freshness
  #queued: ReadRequest[] = []
  /** Linearizable ones for the next question. */
  #toAsk: ReadRequest[] = []
  readonly #asked = new Map<number, Asked>()
  #applying: Applying[] = []
  /** Bounded ones that a heartbeat may help. */
  #waiting: Waiting[] = []
  #count = 0
  #nextToken: number
  #freshRound = 0
  #freshTerm = -1

  constructor(options: ReadingOptions) {
    this.#options = options
    this.#times = new RoundTimes(options.clock)
    this.#lease = new Lease(options.clock, options.settings, options.faults)
    this.#freshness = new Freshness(options.clock)
    this.#nextToken = options.random.below(TOKEN_STARTS) * TOKENS_APART
  }

  /** How old the state applied here may be at most, in milliseconds; null while that is not known. */
  get stalenessMs(): number | null {
    const stalenessMs = this.#isAlone ? 0 : this.#freshness.stalenessMs
    return Number.isFinite(stalenessMs) ? stalenessMs : null
  }

  /** Milliseconds by this member's clock for which nobody else can lead; 0 for a member that cannot know. */
  get leaseRemainingMs(): number {
    return this.#holdsLease ? this.#lease.remainingMs(this.#options.role().term) : 0
  }

  /** Queues a read for this pass. Its outcome is never told from within this call. */
  queue(request: ReadRequest): void {
    this.#count++
    this.#queued.push(request)
  }

  /** Once a pass: answers what can be answered here, asks for the rest. */
  ask(): void {
    const queued = this.#queued
    if (queued.length > 0) {
      this.#queued = []
      const refused: ReadRequest[] = []
      for (const request of queued) {
        if (this.#count - refused.length > READS_MAX) refused.push(request)
        else this.#begin(request)
      }
      this.#fail(refused, refusal('BUSY', this.#options.role()))
    }
    this.#askForAll()
  }

  /** The core's answer; an index of -1 is a refusal. */
  answered(token: number, index: number): void {
    const asked = this.#asked.get(token)
    // Given up already.
    if (asked === undefined) return
    this.#asked.delete(token)
    if (index < 0) return this.#fail(asked.requests, refusal('NOT_LEADER', this.#options.role()))
    this.#whenApplied(index, asked)
  }

  /** Hot: once for each batch applied. */
  applied(index: number): void {
    if (this.#freshness.applied(index)) this.#serveWaiting()
    if (this.#applying.length === 0) return
    const ready = this.#applying.filter((one) => one.index <= index)
    if (ready.length === 0) return
    this.#applying = this.#applying.filter((one) => one.index > index)
    for (const one of ready) this.#succeed(one.requests, one.index)
  }

  /** Hot: before a message leaves. */
  sending(message: Message): void {
    if (message.type === 'Heartbeat' || message.type === 'HeartbeatResponse') {
      this.#times.sent(message.term, message.round)
    } else if (message.type === 'TimeoutNow') {
      this.#lease.handedOver(message.term)
    }
  }

  /** A heartbeat or an answer to one was taken in. */
  heard(): void {
    const { raft, role, appliedIndex } = this.#options
    const { term } = role()
    const { confirmedRound } = raft
    if (confirmedRound > 0) {
      const sentAt = this.#times.find(term, confirmedRound)
      if (sentAt !== null) this.#lease.confirmed(term, confirmedRound, sentAt)
    }
    const { freshRound } = raft
    if (freshRound === 0 || (term === this.#freshTerm && freshRound <= this.#freshRound)) return
    this.#freshTerm = term
    this.#freshRound = freshRound
    const at = this.#times.find(term, freshRound)
    if (at === null) return
    if (this.#freshness.learned({ at, commitIndex: raft.freshCommit }, appliedIndex())) this.#serveWaiting()
  }

  /** Once a heartbeat. */
  tick(nowMs: number): void {
    if (this.#count === 0) return
    const late = this.#waiting.filter((one) => one.deadlineMs <= nowMs)
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter((one) => one.deadlineMs > nowMs)
      for (const { request } of late) this.#toAsk.push(request)
    }
    for (const [token, asked] of this.#asked) {
      if (asked.deadlineMs > nowMs) break
      this.#asked.delete(token)
      this.#options.raft.forgetRead(token)
      this.#fail(asked.requests, timeout('was not answered by the leader in time'))
    }
    const behind = this.#applying.filter((one) => one.deadlineMs <= nowMs)
    if (behind.length === 0) return
    this.#applying = this.#applying.filter((one) => one.deadlineMs > nowMs)
    for (const one of behind)
      this.#fail(one.requests, timeout(`waits for entry ${one.index}, which is not applied yet`))
  }

  /** The member takes no further part. */
  failAll(error: DLedgerError): void {
    const all = [...this.#queued, ...this.#toAsk, ...this.#waiting.map((one) => one.request)]
    for (const asked of this.#asked.values()) all.push(...asked.requests)
    for (const one of this.#applying) all.push(...one.requests)
    this.#queued = []
    this.#toAsk = []
    this.#waiting = []
    this.#asked.clear()
    this.#applying = []
    this.#fail(all, error)
  }

  #begin(request: ReadRequest): void {
    if (request.consistency === 'bounded') {
      if (this.#isFreshEnough(request)) return this.#succeed([request], this.#options.appliedIndex())
      const { clock, settings } = this.#options
      // A heartbeat tells of the one before the last: waiting for less is in vain.
      if (request.maxStalenessMs >= 2 * settings.heartbeatMs && this.#options.role().leader !== null) {
        this.#waiting.push({ request, deadlineMs: clock.monotonicMs() + 2 * settings.heartbeatMs })
        return
      }
    } else if (request.consistency === 'lease' && this.#holdsLease) {
      return this.#whenApplied(this.#options.commitIndex(), { requests: [request], deadlineMs: this.#deadlineMs })
    }
    this.#toAsk.push(request)
  }

  #askForAll(): void {
    const requests = this.#toAsk
    if (requests.length === 0) return
    this.#toAsk = []
    const token = this.#nextToken++
    const why = this.#options.raft.readIndex(token)
    if (why !== null) return this.#fail(requests, refusal(why, this.#options.role()))
    this.#asked.set(token, { requests, deadlineMs: this.#deadlineMs })
  }

  get #deadlineMs(): number {
    return this.#options.clock.monotonicMs() + this.#options.settings.proposalTimeoutMs
  }

  get #isAlone(): boolean {
    return this.#options.role().ready && this.#options.raft.isLoneVoter
  }

  get #holdsLease(): boolean {
    const { role, raft, faults, settings } = this.#options
    const { ready, term } = role()
    if (!settings.leaseReads || !ready || raft.storageIsSlow) return false
    if (faults.has('lease-survives-pause')) return this.#lease.wasGiven(term)
    return this.#lease.holds(term)
  }

  #isFreshEnough(request: ReadRequest): boolean {
    return this.#isAlone || this.#freshness.stalenessMs <= request.maxStalenessMs
  }

  #serveWaiting(): void {
    if (this.#waiting.length === 0) return
    const ready = this.#waiting.filter((one) => this.#isFreshEnough(one.request))
    if (ready.length === 0) return
    this.#waiting = this.#waiting.filter((one) => !ready.includes(one))
    const index = this.#options.appliedIndex()
    this.#succeed(
      ready.map((one) => one.request),
      index,
    )
  }

  #whenApplied(index: number, asked: Asked): void {
    if (index <= this.#options.appliedIndex()) return this.#succeed(asked.requests, index)
    this.#applying.push({ ...asked, index })
  }

  #succeed(requests: readonly ReadRequest[], index: number): void {
    this.#count -= requests.length
    tellEach(requests, (request) => request.done(index))
  }

  #fail(requests: readonly ReadRequest[], error: DLedgerError): void {
    this.#count -= requests.length
    tellEach(requests, (request) => request.failed(error))
  }
}

function timeout(why: string): DLedgerError {
  return new DLedgerError(`the read ${why}`, { code: 'TIMEOUT' })
}

function refusal(why: ReadRefusal, role: RoleState): DLedgerError {
  if (why === 'BUSY') {
    return new DLedgerError(`more than ${READS_MAX} reads wait; try again later`, { code: 'BUSY', uncommittedBytes: 0 })
  }
  const leader = role.role === 'LEADER' ? null : role.leader
  const text =
    why === 'NOT_READY'
      ? 'this member has just become leader and cannot know yet what is committed'
      : `no leader answers for the read${leader === null ? '; none is known' : `; ${leader} is the leader now`}`
  return new DLedgerError(text, { code: 'NOT_LEADER', leader })
}
