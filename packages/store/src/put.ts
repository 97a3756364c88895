/**
 * Putting messages: checks and drafts, then one object for each that the log encodes into its buffer (put-proposal.ts).
 *
 * Keeps:
 *   P1  A listener is told its outcome exactly once, never from within `put`.
 *   P2  Records that must keep their order (a batch, deliveries of a delay level) do: where one before them was refused, the
 *       later ones are encoded as rolled back records, which no queue and no reader sees, and count as refused.
 *   P3  What is refused here was not proposed: of a batch with one message that cannot be stored, none is.
 *   P4  Nothing is taken while too much of the state waits in memory to be written: memory is bounded.
 */
import type { Clock } from '@dledger-ts/base'
import type { Proposal } from '@dledger-ts/dledger'
import { getProperty, PropertyName, RecordDraft } from '@dledger-ts/protocol'
import type { NewMessage, PutBatchListener, PutListener } from './api.ts'
import type { StoreMachine } from './apply.ts'
import { checkDelivery, delayed } from './delayed-message.ts'
import { withoutForeignDelivered } from './delivered-property.ts'
import { StoreError } from './errors.ts'
import { storeErrorOfDraft } from './log-errors.ts'
import { PutBatch } from './put-batch.ts'
import { checkBatch, checkMessage, checkNewQueue, invalid } from './put-checks.ts'
import { type PutOrder, PutProposal } from './put-proposal.ts'
import type { Claim, PutOnce } from './send-once/put-once.ts'
import { timed, type TimerSettings } from './timer/timer-message.ts'
import { HALF_GROWTH_BYTES_MAX, halfMessage } from './transaction/half-message.ts'

/** Rows that the metadata database does not have yet, and that memory has, while messages are taken: some 350 bytes each. */
export const UNWRITTEN_MAX = 524_288

/** The part of the log that takes proposals. */
export interface ProposalTarget {
  propose(proposal: Proposal): void
}

export interface PutterOptions {
  readonly machine: StoreMachine
  readonly log: ProposalTarget
  readonly clock: Clock
  readonly delayLevelsMs: readonly number[]
  readonly timerSettings: TimerSettings
  /** The largest record that the log takes. */
  readonly recordBytesMax: number
  /** Recognises repeated sends; null when that is off. */
  readonly once: PutOnce | null
}

export class Putter {
  readonly #options: PutterOptions

  constructor(options: PutterOptions) {
    this.#options = options
  }

  // Hot.
  put(message: NewMessage, listener: PutListener, wantedQueueId = message.queueId): void {
    const { machine, log, once } = this.#options
    let draft: RecordDraft
    try {
      draft = this.#draft(message)
    } catch (error) {
      this.#refuse(error, listener)
      return
    }
    const claim = once === null ? null : once.claim(message, listener)
    if (once === null || claim === null) {
      log.propose(new PutProposal(machine, draft, wantedQueueId, listener, null))
      return
    }
    if (claim.isWaiting) return
    once.lookUp(claim, message, (isNew) => {
      if (isNew) once.put(claim, draft, wantedQueueId)
    })
  }

  putBatch(messages: readonly NewMessage[], listener: PutBatchListener): void {
    const drafts: RecordDraft[] = []
    try {
      checkBatch(messages)
      for (const message of messages) {
        // A copy: a record that has to be void is changed.
        const draft = this.#draft({ ...message })
        if (draft.fields.topic !== message.topic) throw invalid('a batch holds no delayed messages')
        drafts.push(draft)
      }
    } catch (error) {
      this.#refuse(error, listener)
      return
    }
    const batch = new PutBatch(messages.length, listener)
    if (this.#options.once === null) this.#putAll(drafts, batch)
    else this.#putOnce(this.#options.once, messages, drafts, batch)
  }

  /** Proposes a record whose order counts: it is stored only if `order` says so when it gets its place. */
  putOrdered(draft: RecordDraft, order: PutOrder, listener: PutListener): PutProposal {
    const { machine, log } = this.#options
    const proposal = new PutProposal(machine, draft, draft.fields.queueId, listener, order)
    log.propose(proposal)
    return proposal
  }

  #putAll(drafts: readonly RecordDraft[], batch: PutBatch): void {
    const { machine, log } = this.#options
    const proposals = drafts.map(
      (draft, i) => new PutProposal(machine, draft, draft.fields.queueId, batch.slot(i), batch),
    )
    for (const proposal of proposals) batch.add(proposal)
    for (const proposal of proposals) log.propose(proposal)
  }

  /** Puts those messages of a batch that are neither stored nor under way, together, once that is known of all. */
  #putOnce(once: PutOnce, messages: readonly NewMessage[], drafts: readonly RecordDraft[], batch: PutBatch): void {
    const { machine, log } = this.#options
    const claims = messages.map((message, i) => once.claim(message, batch.slot(i)))
    const isPut = claims.map((claim) => claim === null)
    const putThem = (): void => {
      const proposals = drafts.flatMap((draft, i) => {
        if (isPut[i] !== true) return []
        const claim = claims[i] ?? null
        if (claim !== null) return once.proposalOf(claim, draft, draft.fields.queueId, batch) ?? []
        return new PutProposal(machine, draft, draft.fields.queueId, batch.slot(i), batch)
      })
      for (const proposal of proposals) batch.add(proposal)
      for (const proposal of proposals) log.propose(proposal)
    }
    const own = claims.map((claim, i) => ({ claim, i })).filter(isLookedUp)
    let left = own.length
    if (left === 0) return putThem()
    for (const { claim, i } of own) {
      once.lookUp(claim, messages[i] as NewMessage, (isNew) => {
        isPut[i] = isNew
        left--
        if (left === 0) putThem()
      })
    }
  }

  /** What is proposed for a client's message. @throws ProtocolError, StoreError. */
  #draft(message: NewMessage): RecordDraft {
    if (this.#options.machine.metadata.origin === 'takenOver') {
      throw new StoreError("a log of Apache's is being taken over", { code: 'BUSY' })
    }
    if (this.#options.machine.metadata.unwrittenCount >= UNWRITTEN_MAX) {
      throw new StoreError('the metadata database does not keep up with what is stored', { code: 'BUSY' })
    }
    const { topic, queueId } = message
    checkMessage(message)
    if (this.#options.machine.queues.find(topic, queueId) === undefined) checkNewQueue(topic, queueId)
    let fields = message
    const properties = withoutForeignDelivered(message.properties)
    if (properties !== message.properties) fields = { ...message, properties }
    const draft = this.delayedOf(fields) ?? new RecordDraft(fields)
    if (draft.bytes > this.#options.recordBytesMax) {
      throw new StoreError(
        `a record of ${draft.bytes} bytes is too large; ${this.#options.recordBytesMax} are allowed`,
        {
          code: 'TOO_LARGE',
          what: 'record',
          bytes: draft.bytes,
          bytesMax: this.#options.recordBytesMax,
        },
      )
    }
    return draft
  }

  /** The draft of a message that waits for its delay; null for any other. Hot: two searches. @throws StoreError. */
  delayedOf(fields: NewMessage): RecordDraft | null {
    const { delayLevelsMs, timerSettings, clock, recordBytesMax } = this.#options
    const atLevel = delayed(fields, delayLevelsMs, recordBytesMax)
    return atLevel ?? timed(fields, timerSettings, clock.nowMs(), recordBytesMax)
  }

  /** Puts a producer's prepared message: it waits in the half topic for its end. */
  putHalf(message: NewMessage, listener: PutListener): void {
    let half: NewMessage
    try {
      half = halfMessage(message)
      // What would be refused at its end is refused now.
      this.delayedOf({ ...message, sysFlag: half.sysFlag })
      checkDelivery(new RecordDraft(half), HALF_GROWTH_BYTES_MAX, this.#options.recordBytesMax)
      if (getProperty(half.properties, PropertyName.PRODUCER_GROUP) === undefined)
        throw invalid('a half message has a PGROUP')
      checkMessage(message)
      checkNewQueue(message.topic, message.queueId)
    } catch (error) {
      this.#refuse(error, listener)
      return
    }
    this.put(half, listener, message.queueId)
  }

  #refuse(cause: unknown, listener: { putFailed(error: StoreError): void }): void {
    const error = cause instanceof StoreError ? cause : storeErrorOfDraft(cause)
    this.#options.clock.defer(() => listener.putFailed(error))
  }
}

function isLookedUp(one: { claim: Claim | null; i: number }): one is { claim: Claim; i: number } {
  return one.claim !== null && !one.claim.isWaiting
}
