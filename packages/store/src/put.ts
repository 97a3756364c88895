/**
 * Putting messages: one object for each, which the log asks to encode the record straight into its buffer.
 *
 * The leader gives the record its place at that moment: physicalOffset from the log, the next queue offset counting what is
 * under way, and a time that never goes back. What was given out is void when the leadership ends (apply.ts, `epoch`).
 *
 * Keeps:
 *   P1  A listener is told its outcome exactly once, never from within `put`.
 *   P2  Records that must keep their order (a batch, deliveries of a delay level) do: where one before them was refused, the
 *       later ones are encoded as rolled back records, which no queue and no reader sees, and count as refused.
 */
import { assert, type Clock } from '@dledger-ts/base'
import type { DLedgerError, EntryPlace, Proposal } from '@dledger-ts/dledger'
import {
  isQueued,
  MessageSysFlag,
  RecordDraft,
  type RecordPlace,
  topicNameError,
  withTransactionType,
} from '@dledger-ts/protocol'
import type { NewMessage, PutBatchListener, PutListener, PutResult } from './api.ts'
import type { StoreMachine } from './apply.ts'
import { delayed } from './delayed-message.ts'
import { withoutCount, withoutForeignDelivered } from './delivered-property.ts'
import { StoreError } from './errors.ts'
import { storeErrorOf, storeErrorOfDraft } from './log-errors.ts'
import { physicalOffsetOf } from './log-place.ts'
import { CHANGE_TOPIC } from './metadata/change.ts'

/** The part of the log that takes proposals. */
export interface ProposalTarget {
  propose(proposal: Proposal): void
}

export interface PutterOptions {
  readonly machine: StoreMachine
  readonly log: ProposalTarget
  readonly clock: Clock
  readonly delayLevelsMs: readonly number[]
  /** The largest record that the log takes. */
  readonly recordBytesMax: number
}

export class Putter {
  readonly #options: PutterOptions

  constructor(options: PutterOptions) {
    this.#options = options
  }

  // Hot.
  put(message: NewMessage, listener: PutListener): void {
    let proposal: PutProposal
    try {
      proposal = new PutProposal(this.#options.machine, this.#draft(message), listener, null)
    } catch (error) {
      this.#refuse(error, listener)
      return
    }
    this.#options.log.propose(proposal)
  }

  putBatch(messages: readonly NewMessage[], listener: PutBatchListener): void {
    const { machine, log } = this.#options
    const batch = new PutBatch(listener)
    try {
      const first = messages[0]
      if (first === undefined) throw invalid('a batch has messages')
      for (const message of messages) {
        if (message.topic !== first.topic || message.queueId !== first.queueId) {
          throw invalid('the messages of a batch are for one queue')
        }
        // A copy: a record that has to be void is changed.
        const draft = this.#draft({ ...message })
        if (draft.fields.topic !== message.topic) throw invalid('a batch holds no delayed messages')
        batch.add(new PutProposal(machine, draft, batch, batch))
      }
    } catch (error) {
      this.#refuse(error, listener)
      return
    }
    for (const proposal of batch.proposals) log.propose(proposal)
  }

  /** Proposes a record whose order counts: it is stored only if `order` says so when it gets its place. */
  putOrdered(draft: RecordDraft, order: PutOrder, listener: PutListener): PutProposal {
    const proposal = new PutProposal(this.#options.machine, draft, listener, order)
    this.#options.log.propose(proposal)
    return proposal
  }

  /** What is proposed for a client's message. @throws ProtocolError, StoreError. */
  #draft(message: NewMessage): RecordDraft {
    if (this.#options.machine.queues.find(message.topic, message.queueId) === undefined) checkQueue(message)
    let fields = message
    const properties = withoutForeignDelivered(message.properties)
    if (properties !== message.properties) fields = { ...message, properties }
    const draft = delayed(fields, this.#options.delayLevelsMs, this.#options.recordBytesMax) ?? new RecordDraft(fields)
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

  #refuse(cause: unknown, listener: { putFailed(error: StoreError): void }): void {
    const error = cause instanceof StoreError ? cause : storeErrorOfDraft(cause)
    this.#options.clock.defer(() => listener.putFailed(error))
  }
}

/** Whether everything before a record, in an order that counts, was stored. */
export interface PutOrder {
  /** Asked when `proposal` gets its place; answers false when one before it was refused. Told in the order of the log. */
  maySucceed(proposal: PutProposal): boolean
}

export class PutProposal implements Proposal, PutResult, RecordPlace {
  readonly bodyBytes: number
  physicalOffset = -1
  queueOffset = 0
  storeTimestamp = 0
  /** Encoded as a rolled back record: it counts as refused. */
  isVoid = false
  readonly #machine: StoreMachine
  readonly #draft: RecordDraft
  readonly #listener: PutListener
  readonly #order: PutOrder | null

  constructor(machine: StoreMachine, draft: RecordDraft, listener: PutListener, order: PutOrder | null) {
    this.#machine = machine
    this.#draft = draft
    this.#listener = listener
    this.#order = order
    this.bodyBytes = draft.bytes
  }

  get topic(): string {
    return this.#draft.fields.topic
  }

  get queueId(): number {
    return this.#draft.fields.queueId
  }

  get recordBytes(): number {
    return this.bodyBytes
  }

  // Hot.
  encodeBody(target: Buffer, at: number, place: EntryPlace): void {
    assert(this.#machine.role.ready, 'only a leader that has applied its no-op gives places')
    const { fields } = this.#draft
    if (this.#order !== null && !this.#order.maySucceed(this)) {
      this.isVoid = true
      fields.sysFlag = withTransactionType(fields.sysFlag, MessageSysFlag.TRANSACTION_ROLLBACK)
      fields.properties = withoutCount(fields.properties)
    }
    this.physicalOffset = physicalOffsetOf(place.pos)
    this.storeTimestamp = this.#machine.nextStoreTimestamp()
    this.queueOffset = isQueued(fields.sysFlag)
      ? this.#machine.queues.findOrMake(fields.topic, fields.queueId).assign(this.#machine.epoch)
      : 0
    this.#draft.encode(target, at, this)
  }

  committed(): void {
    if (!this.isVoid) return this.#listener.stored(this)
    this.#listener.putFailed(new StoreError('a record that had to come before it was refused', { code: 'BUSY' }))
  }

  failed(error: DLedgerError): void {
    this.#listener.putFailed(storeErrorOf(error))
  }
}

/** A batch under way: consecutive in the log or, beyond the first refusal, void. */
class PutBatch implements PutOrder, PutListener {
  readonly proposals: PutProposal[] = []
  readonly #listener: PutBatchListener
  #encoded = 0
  #told = 0
  #stored = 0
  #failure: StoreError | null = null
  #unknown = false

  constructor(listener: PutBatchListener) {
    this.#listener = listener
  }

  add(proposal: PutProposal): void {
    this.proposals.push(proposal)
  }

  maySucceed(proposal: PutProposal): boolean {
    if (this.proposals[this.#encoded] !== proposal) return false
    this.#encoded++
    return true
  }

  stored(): void {
    this.#stored++
    this.#tell()
  }

  putFailed(error: StoreError): void {
    this.#failure ??= error
    if (error.code === 'TIMEOUT') this.#unknown = true
    this.#tell()
  }

  #tell(): void {
    this.#told++
    if (this.#told < this.proposals.length) return
    if (this.#failure === null) return this.#listener.stored(this.proposals)
    const isPartial = this.#stored > 0 || this.#unknown
    if (!isPartial || this.#failure.code === 'TIMEOUT') return this.#listener.putFailed(this.#failure)
    this.#listener.putFailed(
      new StoreError(
        `${this.#stored} of ${this.proposals.length} messages of the batch are stored`,
        { code: 'TIMEOUT' },
        { cause: this.#failure },
      ),
    )
  }
}

/** Topics become directories: a queue that is new has a proper name. */
function checkQueue({ topic, queueId }: NewMessage): void {
  const wrong = topicNameError(topic)
  if (wrong !== undefined) throw invalid(wrong)
  if (topic === CHANGE_TOPIC) throw invalid(`${CHANGE_TOPIC} is not for messages`)
  if (!(Number.isInteger(queueId) && queueId >= 0)) throw invalid(`queue id ${queueId} is not a whole number from 0`)
}

function invalid(what: string): StoreError {
  return new StoreError(what, { code: 'INVALID', what })
}
