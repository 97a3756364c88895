/**
 * What a test says to a member's process and hears back, over the channel that Node makes for a child: it needs no port, lives in
 * any network namespace, and ends with the process.
 */
import { crc32 } from '@dledger-ts/base'
import type { RegisterInput, RegisterOutput } from '../../history/register.ts'
import type { SeenEntry } from '../../history/log-order.ts'

export interface MemberConfig {
  readonly self: string
  readonly directory: string
  readonly listenHost: string
  readonly listenPort: number
  readonly peers: readonly { readonly id: string; readonly host: string; readonly port: number }[]
  readonly flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  /** Leaders answer `lease` reads without asking anybody. */
  readonly leaseReads: boolean
  /** Starts of its machine so far: one more after a power cut. */
  readonly boot: number
  /** Where the disk keeps what a power cut may undo; none: the machine's disk as it is. */
  readonly shadowDirectory: string | null
  /** Bytes of a file that takes up room on the member's disk until `makeRoom`; 0 for none. */
  readonly ballastBytes: number
}

/** What one entry holds: its id, for a register what to do, and bytes that only take up room. */
export interface EntryBody {
  readonly id: string
  readonly register?: RegisterInput
  readonly filler?: string
}

export type Ask =
  | { readonly kind: 'append'; readonly body: EntryBody }
  /** Entries from there to what is committed now, as far as they fit in one answer. */
  | { readonly kind: 'read'; readonly from: number }
  /** A register, read without an entry in the log, as fresh as any member can give it. */
  | { readonly kind: 'readRegister'; readonly key: string; readonly consistency: 'linearizable' | 'lease' }
  | { readonly kind: 'status' }
  /** Hands the leadership to that member, where this one leads. */
  | { readonly kind: 'transfer'; readonly to: string }
  /** Gives back the room on its disk that it took for this at its start. */
  | { readonly kind: 'makeRoom' }
  | { readonly kind: 'close' }

export interface AppendAnswer {
  readonly index: number
  /** Of a register: what it answered when the entry was applied. */
  readonly output: RegisterOutput | null
}

export interface RegisterAnswer {
  readonly value: string | null
}

export interface ReadAnswer {
  readonly from: number
  readonly end: number
  readonly entries: readonly SeenEntry[]
}

export interface StatusAnswer {
  readonly role: string
  readonly ready: boolean
  readonly term: number
  readonly leader: string | null
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** Up to there a sync has covered what was written in this life; -1 before the first. */
  readonly syncedIndex: number
  readonly recovering: boolean
  readonly badFrames: number
}

export interface Question {
  readonly number: number
  readonly ask: Ask
}

export type Said =
  | { readonly kind: 'up' }
  | { readonly kind: 'stopped'; readonly code: string; readonly message: string }
  | { readonly kind: 'answer'; readonly number: number; readonly value: unknown }
  | { readonly kind: 'refused'; readonly number: number; readonly code: string; readonly leader: string | null }

/** What an entry is compared by: its length and checksum. */
export function digestOf(body: Buffer): string {
  return `${body.length}/${crc32(body).toString(16)}`
}
