/** Changes on their way through the log: proposed by the leader, told when they are applied here. */
import type { DLedgerError, EntryPlace, Proposal } from '@dledger-ts/dledger'
import { type HostAddress, RecordDraft } from '@dledger-ts/protocol'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import { storeErrorOf } from '../log-errors.ts'
import { physicalOffsetOf } from '../log-place.ts'
import type { ProposalTarget } from '../put.ts'
import { type Change, changeRecord, encodeChange } from './change.ts'

export interface ChangeProposerOptions {
  readonly machine: StoreMachine
  readonly log: ProposalTarget
  /** Stands in the records as their host. */
  readonly storeHost: HostAddress | null
  readonly recordBytesMax: number
}

export class ChangeProposer {
  readonly #options: ChangeProposerOptions

  constructor(options: ChangeProposerOptions) {
    this.#options = options
  }

  /** Resolves when the change is applied here. @throws StoreError as a put. */
  propose(change: Change): Promise<void> {
    return new Promise((resolve, reject) => {
      this.proposeWith(change, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  /** As `propose`, for callers that a simulation steps through. The callback never runs from within the call. */
  proposeWith(change: Change, callback: (error: StoreError | null) => void): void {
    const { machine, log, storeHost, recordBytesMax } = this.#options
    const draft = new RecordDraft(changeRecord(encodeChange(change), storeHost, 0))
    if (draft.bytes > recordBytesMax) {
      const what = `a change of ${draft.bytes} bytes does not fit a log file`
      throw new StoreError(what, { code: 'TOO_LARGE', what: 'change', bytes: draft.bytes, bytesMax: recordBytesMax })
    }
    log.propose(new ChangeProposal(machine, draft, callback))
  }
}

class ChangeProposal implements Proposal {
  readonly bodyBytes: number
  readonly #machine: StoreMachine
  readonly #draft: RecordDraft
  readonly #callback: (error: StoreError | null) => void

  constructor(machine: StoreMachine, draft: RecordDraft, callback: (error: StoreError | null) => void) {
    this.#machine = machine
    this.#draft = draft
    this.#callback = callback
    this.bodyBytes = draft.bytes
  }

  encodeBody(target: Buffer, at: number, place: EntryPlace): void {
    const storeTimestamp = this.#machine.nextStoreTimestamp()
    this.#draft.fields.bornTimestamp = storeTimestamp
    this.#draft.encode(target, at, { queueOffset: 0, physicalOffset: physicalOffsetOf(place.pos), storeTimestamp })
  }

  committed(): void {
    this.#callback(null)
  }

  failed(error: DLedgerError): void {
    this.#callback(storeErrorOf(error))
  }
}
