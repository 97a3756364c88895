/** The errors of the store. The table with meanings and what to do is in this package's README. */
import { CodedError } from '@dledger-ts/base'

export type StoreErrorDetail =
  /** Refused, nothing was stored; `leader` is the member to ask, where one is known. */
  | { readonly code: 'NOT_LEADER'; readonly leader: string | null }
  /** Not committed in time, or the leadership was lost while waiting: it may or may not be stored. */
  | { readonly code: 'TIMEOUT' }
  /** Refused, nothing was stored: too much is under way. Try again later. */
  | { readonly code: 'BUSY' }
  /** Not known yet: the log is being applied again, and what was asked for may be in the part that is not. Ask again later. */
  | { readonly code: 'REBUILDING' }
  | { readonly code: 'DISK_FULL' }
  /** Refused, nothing was stored: the record does not fit a log file, or a field of it is too long. */
  | { readonly code: 'TOO_LARGE'; readonly what: string; readonly bytes: number; readonly bytesMax: number }
  /** Refused, nothing was stored: a name or a value that cannot be kept. */
  | { readonly code: 'INVALID'; readonly what: string }
  | { readonly code: 'CLOSED' }
  /** Another store was made the master by hand: this one serves nothing more, but as a slave. */
  | { readonly code: 'OUTDATED'; readonly what: string }
  /** What is stored does not say what it must: an entry of the log, a record, a file. */
  | { readonly code: 'CORRUPT'; readonly what: string; readonly physicalOffset: number }
  /** Written by a newer version of this program; nothing was changed. */
  | { readonly code: 'UNSUPPORTED'; readonly what: string }
  /** A write, a read or a sync failed. */
  | { readonly code: 'STORAGE_FAILED'; readonly what: string }

export class StoreError extends CodedError<StoreErrorDetail> {}
