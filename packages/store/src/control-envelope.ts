/**
 * The log's own entries as message records, so that every entry of the log can be read by what reads message records.
 *
 * Made by the leader alone; the size does not depend on the place. The time is the leader's, like that of any record.
 */
import type { ControlEnvelope, ControlKind, EntryPlace } from '@dledger-ts/dledger'
import { checkRecord, type HostAddress, RecordDraft, recordBody } from '@dledger-ts/protocol'
import { physicalOffsetOf } from './log-place.ts'
import { changeRecord, decodeControl, encodeControl } from './metadata/change.ts'

export class RecordEnvelope implements ControlEnvelope {
  readonly #storeHost: HostAddress | null
  readonly #nextStoreTimestamp: () => number

  constructor(storeHost: HostAddress | null, nextStoreTimestamp: () => number) {
    this.#storeHost = storeHost
    this.#nextStoreTimestamp = nextStoreTimestamp
  }

  wrap(kind: ControlKind, payload: Buffer, place: EntryPlace): Buffer {
    const storeTimestamp = this.#nextStoreTimestamp()
    const draft = new RecordDraft(changeRecord(encodeControl({ kind, payload }), this.#storeHost, storeTimestamp))
    const record = Buffer.alloc(draft.bytes)
    draft.encode(record, 0, { queueOffset: 0, physicalOffset: physicalOffsetOf(place.pos), storeTimestamp })
    return record
  }

  /** @throws ProtocolError, StoreError for what is no control entry of this kind. */
  unwrap(body: Buffer): Buffer {
    checkRecord(body)
    return decodeControl(recordBody(body), -1).payload
  }
}
