/**
 * One message on its way into the log: the log asks it to encode its record straight into the log's buffer.
 *
 * The leader gives the record its place at that moment: physicalOffset from the log, the next queue offset counting what is under
 * way, and a time that never goes back. What was given out is void when the leadership ends (apply.ts, `epoch`).
 *
 * Keeps: the listener is told the outcome exactly once.
 */
import { assert } from '@dledger-ts/base'
import type { DLedgerError, EntryPlace, Proposal } from '@dledger-ts/dledger'
import { isQueued, MessageSysFlag, type RecordDraft, type RecordPlace, withTransactionType } from '@dledger-ts/protocol'
import type { PutListener, PutResult } from './api.ts'
import type { StoreMachine } from './apply.ts'
import { withoutCount } from './delivered-property.ts'
import { StoreError } from './errors.ts'
import { storeErrorOf } from './log-errors.ts'
import { physicalOffsetOf } from './log-place.ts'
import { timerOutMs } from './timer/timer-message.ts'

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
  readonly wantedQueueId: number
  readonly #machine: StoreMachine
  readonly #draft: RecordDraft
  readonly #listener: PutListener
  readonly #order: PutOrder | null

  constructor(
    machine: StoreMachine,
    draft: RecordDraft,
    wantedQueueId: number,
    listener: PutListener,
    order: PutOrder | null,
  ) {
    this.wantedQueueId = wantedQueueId
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

  get timerOutMs(): number | null {
    return timerOutMs(this.#draft.fields.topic, this.#draft.fields.properties)
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
