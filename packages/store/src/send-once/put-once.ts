/**
 * Storing a client's send once: a repetition within the window is told what became of the first one, and stores nothing.
 *
 *   look up ──► under way? wait for its outcome ──► stored? read the record, compare, tell its place ──► else put
 *
 * Keeps:
 *   O1  Of equal sends one at most is under way. It stays so until its outcome is known: one that was answered TIMEOUT is in the log
 *       and may be committed yet, so a repetition waits for that and is not put beside it.
 *   O2  What is answered for a repetition was read from the log and compared, topic and id: a hash decides nothing.
 *   O3  A look-up counts only for the leadership in which it was made.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import { DLedgerError } from '@dledger-ts/dledger'
import { decodeRecord, getProperty, PropertyName, ProtocolError, type RecordDraft } from '@dledger-ts/protocol'
import type { NewMessage, PutListener, PutResult } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import { type PutOrder, PutProposal } from '../put-proposal.ts'
import { timerOutMs } from '../timer/timer-message.ts'
import { sendKey, sentTopicOf, uniqueIdOf, uniqueIdOfRecord } from './send-identity.ts'
import type { StoredSends } from './stored-sends.ts'

/** Repetitions that wait for the outcome of a send under way; more are refused with BUSY. */
const WAITING_MAX = 10_000
/** Sends whose records are being read to compare them; more are refused with BUSY. */
const COMPARING_MAX = 10_000

export interface PutOnceOptions {
  readonly machine: StoreMachine
  readonly sends: StoredSends
  readonly clock: Clock
  readonly logger: Logger
  /** A repetition waits so long for one whose outcome is unknown. */
  readonly timeoutMs: number
  readonly propose: (proposal: PutProposal) => void
  /** The whole record at a place of the log; undefined when none starts there. */
  readonly messageAt: (physicalOffset: number) => Promise<Buffer | undefined>
}

export class PutOnce {
  readonly #options: PutOnceOptions
  readonly #underWay = new Map<string, Claim>()
  /** Those that were told TIMEOUT and are in the log; a part of `#underWay`. */
  readonly #unknown = new Set<Claim>()
  #waiting = 0
  #comparing = 0
  #repetitions = 0

  constructor(options: PutOnceOptions) {
    this.#options = options
  }

  /** Sends that were recognised as repeated. */
  get repetitions(): number {
    return this.#repetitions
  }

  /** Sends that are looked up, put, or of unknown outcome. */
  get underWay(): number {
    return this.#underWay.size
  }

  /** @returns what looks after this send, or null for a message that is not recognised by an id. */
  claim(message: NewMessage, listener: PutListener): Claim | null {
    const uniqueId = uniqueIdOf(message)
    if (uniqueId === undefined) return null
    const key = sendKey(message.topic, uniqueId)
    const first = this.#underWay.get(key)
    const claim = new Claim(key, this.#options.machine.epoch, listener)
    if (first === undefined) this.#underWay.set(key, claim)
    else this.#wait(first, claim)
    return claim
  }

  /** Finds out whether the send is stored already. @param done is called with false when it was told what became of it. */
  lookUp(claim: Claim, message: NewMessage, done: (isNew: boolean) => void): void {
    const { machine, sends, clock, logger } = this.#options
    const uniqueId = claim.key.slice(message.topic.length + 1)
    const places = sends.candidates(message.topic, uniqueId, machine.timeOfNext() - sends.windowMs)
    if (places.length === 0) return done(true)
    if (this.#comparing >= COMPARING_MAX) {
      clock.defer(() => {
        this.#refused(claim, busy())
        done(false)
      })
      return
    }
    background(this.#settle(claim, places, done), 'a send is compared with the stored ones', logger)
  }

  /** Puts what was looked up and not found. */
  put(claim: Claim, draft: RecordDraft, wantedQueueId: number): void {
    const proposal = this.proposalOf(claim, draft, wantedQueueId, null)
    if (proposal !== undefined) this.#options.propose(proposal)
  }

  /** @returns what is to be proposed for a send that was looked up and not found; undefined when it is refused instead. */
  proposalOf(claim: Claim, draft: RecordDraft, wantedQueueId: number, order: PutOrder | null): PutProposal | undefined {
    const { machine, clock } = this.#options
    const { epoch, role } = machine
    if (claim.epoch !== epoch || !role.ready) {
      clock.defer(() => this.#refused(claim, notLeader(role.role === 'LEADER' ? null : role.leader)))
      return undefined
    }
    const listener: PutListener = {
      stored: (result) => this.#stored(claim, result),
      putFailed: (error) => this.#putFailed(claim, error),
    }
    claim.proposal = new PutProposal(machine, draft, wantedQueueId, listener, order)
    return claim.proposal
  }

  /** A batch was applied: what is in the log by now is stored. */
  applied(): void {
    if (this.#unknown.size === 0) return
    const { physicalEnd } = this.#options.machine.applied
    for (const claim of this.#unknown) {
      const { proposal } = claim
      if (proposal !== null && proposal.physicalOffset < physicalEnd) {
        if (proposal.isVoid) this.#refused(claim, busy())
        else this.#stored(claim, proposal)
      }
    }
  }

  /** The leadership that gave the places has ended: the next leader takes nothing before the fate of the log's end is known. */
  roleChanged(): void {
    for (const claim of this.#unknown) {
      if (claim.epoch !== this.#options.machine.epoch) this.#refused(claim, unknown())
    }
  }

  // ------------------------------------------------------------------------------------------------ inside

  #wait(first: Claim, claim: Claim): void {
    claim.isWaiting = true
    this.#repetitions++
    if (this.#waiting >= WAITING_MAX) {
      this.#options.clock.defer(() => claim.listener.putFailed(busy()))
      return
    }
    this.#waiting++
    first.waiting.push(claim)
    if (this.#unknown.has(first)) this.#limitWait(first)
  }

  /** Who waits for an outcome that may never be known waits no longer than the first one did. */
  #limitWait(first: Claim): void {
    first.cancelLimit ??= this.#options.clock.after(this.#options.timeoutMs, () => {
      first.cancelLimit = null
      this.#tell(first, (listener) => listener.putFailed(unknown()))
    })
  }

  async #settle(claim: Claim, places: readonly number[], done: (isNew: boolean) => void): Promise<void> {
    this.#comparing++
    const found = await this.#compare(claim, places)
    this.#comparing--
    if (found === null) return done(true)
    if (found instanceof StoreError) this.#refused(claim, found)
    else {
      this.#repetitions++
      this.#stored(claim, found)
    }
    done(false)
  }

  /** @returns the place of the first send, null when none of these is it, and why that cannot be known. */
  async #compare(claim: Claim, places: readonly number[]): Promise<PutResult | StoreError | null> {
    for (const place of places) {
      try {
        const record = await this.#options.messageAt(place)
        if (record === undefined) continue
        const sentTopic = sentTopicOf(record)
        const uniqueId = uniqueIdOfRecord(record, sentTopic)
        if (sentTopic === undefined || uniqueId === undefined) continue
        if (sendKey(sentTopic, uniqueId) === claim.key) return resultOf(record)
      } catch (error) {
        if (error instanceof ProtocolError) return damaged(place, error)
        if (!(error instanceof StoreError)) throw error
        // It is not in the store any more.
        if (!isTrimmed(error)) return error
      }
    }
    return null
  }

  /** It was not stored, and is not under way. */
  #refused(claim: Claim, error: StoreError): void {
    this.#forget(claim)
    this.#tell(claim, (listener) => listener.putFailed(error))
  }

  #stored(claim: Claim, result: PutResult): void {
    this.#forget(claim)
    this.#tell(claim, (listener) => listener.stored(result))
  }

  #putFailed(claim: Claim, error: StoreError): void {
    const isInLog = error.code === 'TIMEOUT' && claim.proposal !== null && claim.proposal.physicalOffset >= 0
    if (!isInLog || claim.epoch !== this.#options.machine.epoch) return this.#refused(claim, error)
    this.#unknown.add(claim)
    this.#tell(claim, (listener) => listener.putFailed(error))
  }

  #forget(claim: Claim): void {
    this.#underWay.delete(claim.key)
    this.#unknown.delete(claim)
    claim.cancelLimit?.()
    claim.cancelLimit = null
  }

  /** The first one is told once, those that wait each time that there are some. */
  #tell(claim: Claim, tell: (listener: PutListener) => void): void {
    const { waiting, isTold } = claim
    claim.waiting = []
    claim.isTold = true
    this.#waiting -= waiting.length
    if (!isTold) tell(claim.listener)
    for (const { listener } of waiting) tell(listener)
  }
}

/** One send: the first with its key, or one that waits for that. */
export class Claim {
  readonly key: string
  /** The leadership in which it was looked up. */
  readonly epoch: number
  readonly listener: PutListener
  isWaiting = false
  isTold = false
  proposal: PutProposal | null = null
  waiting: Claim[] = []
  cancelLimit: (() => void) | null = null

  constructor(key: string, epoch: number, listener: PutListener) {
    this.key = key
    this.epoch = epoch
    this.listener = listener
  }
}

function resultOf(record: Buffer): PutResult {
  const { topic, queueId, physicalOffset, queueOffset, storeTimestamp, totalSize, properties } = decodeRecord(record)
  const realQueueId = getProperty(properties, PropertyName.REAL_QUEUE_ID)
  const wantedQueueId =
    sentTopicOf(record, topic) === topic || realQueueId === undefined ? queueId : Number(realQueueId)
  return {
    topic,
    queueId,
    wantedQueueId,
    timerOutMs: timerOutMs(topic, properties),
    physicalOffset,
    queueOffset,
    storeTimestamp,
    recordBytes: totalSize,
  }
}

function isTrimmed(error: StoreError): boolean {
  return error.cause instanceof DLedgerError && error.cause.code === 'TRIMMED'
}

function damaged(physicalOffset: number, cause: ProtocolError): StoreError {
  const what = `the record at ${physicalOffset} cannot be read: ${cause.message}`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset }, { cause })
}

function notLeader(leader: string | null): StoreError {
  return new StoreError('this member does not lead, or has just become leader', { code: 'NOT_LEADER', leader })
}

function busy(): StoreError {
  return new StoreError('too many repetitions of sends under way', { code: 'BUSY' })
}

function unknown(): StoreError {
  return new StoreError('the first send of this id was not committed in time; it may still be', { code: 'TIMEOUT' })
}
