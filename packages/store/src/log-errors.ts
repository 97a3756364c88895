/** What the log says of a proposal, in the store's words. */
import type { DLedgerError } from '@dledger-ts/dledger'
import { ProtocolError } from '@dledger-ts/protocol'
import { StoreError } from './errors.ts'

export function storeErrorOf(error: DLedgerError): StoreError {
  const options = { cause: error }
  const { detail } = error
  switch (detail.code) {
    case 'NOT_LEADER':
      return new StoreError(error.message, { code: 'NOT_LEADER', leader: detail.leader }, options)
    case 'TIMEOUT':
    case 'BUSY':
    case 'DISK_FULL':
    case 'CLOSED':
      return new StoreError(error.message, { code: detail.code }, options)
    case 'TOO_LARGE': {
      const { bytes, bytesMax } = detail
      return new StoreError(error.message, { code: 'TOO_LARGE', what: 'record', bytes, bytesMax }, options)
    }
    case 'INVALID':
      return new StoreError(error.message, { code: 'INVALID', what: detail.what }, options)
    case 'OUTDATED':
      return new StoreError(error.message, { code: 'OUTDATED', what: detail.what }, options)
    case 'CORRUPT':
      return new StoreError(error.message, { code: 'CORRUPT', what: error.message, physicalOffset: -1 }, options)
    case 'TRIMMED':
    case 'STORAGE_FAILED':
      return new StoreError(error.message, { code: 'STORAGE_FAILED', what: error.message }, options)
  }
}

/** A message that no record can hold. */
export function storeErrorOfDraft(error: unknown): StoreError {
  if (!(error instanceof ProtocolError)) throw error
  const { detail } = error
  if (detail.code === 'TOO_LARGE') {
    const { what, bytes, maxBytes } = detail
    return new StoreError(error.message, { code: 'TOO_LARGE', what, bytes, bytesMax: maxBytes }, { cause: error })
  }
  return new StoreError(error.message, { code: 'INVALID', what: error.message }, { cause: error })
}
