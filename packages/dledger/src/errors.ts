/** The errors of dledger. The table with meanings and what to do is in this package's README. */
import { CodedError } from '@dledger-ts/base'

export type DLedgerErrorDetail =
  | { readonly code: 'NOT_LEADER'; readonly leader: string | null }
  /** Not committed in time, or the leadership was lost while waiting: the entry may or may not be in the log. */
  | { readonly code: 'TIMEOUT' }
  | { readonly code: 'BUSY'; readonly uncommittedBytes: number }
  | { readonly code: 'DISK_FULL' }
  | { readonly code: 'TRIMMED'; readonly firstIndex: number }
  | { readonly code: 'TOO_LARGE'; readonly bytes: number; readonly bytesMax: number }
  | { readonly code: 'CLOSED' }
  | { readonly code: 'CORRUPT'; readonly file: string; readonly at: number }
  /** A directory, a setting or a peer that does not fit; nothing was changed on disk. */
  | { readonly code: 'INVALID'; readonly what: string }
  /** Another store was made the master by hand: this one serves nothing more; it may follow (`classic: 'slave'`). */
  | { readonly code: 'OUTDATED'; readonly what: string }
  /** A write or a sync failed, or did not end; final for this process. */
  | {
      readonly code: 'STORAGE_FAILED'
      readonly what: string
      readonly operation: string
      readonly file: string
      /** The system's code, e.g. EIO; null when nothing was said. */
      readonly errno: string | null
    }

export class DLedgerError extends CodedError<DLedgerErrorDetail> {}
