/**
 * What an embedder gives to and gets from the replicated log: proposals in, committed entries out.
 *
 * No promise and no closure per entry: a proposal is one object that is encoded straight into the log's write buffer and
 * told its outcome exactly once.
 */
import type { DLedgerError } from './errors.ts'
import type { RoleState } from './raft/output.ts'

/** What the log itself writes: a new leader's first entry, who is a member, from where on entries are kept. */
export type ControlKind = 'noop' | 'configuration' | 'trim'

/** Where an entry stands. `pos` is the byte at which its 48-byte header starts; its body starts at `pos + 48`. */
export interface EntryPlace {
  readonly index: number
  readonly term: number
  readonly pos: number
}

export interface Proposal {
  /** Exact size of the body, fixed before the place is known. */
  readonly bodyBytes: number
  /** Writes exactly `bodyBytes` bytes. Called at most once, in log order; leader only. */
  encodeBody(target: Buffer, at: number, place: EntryPlace): void
  /** Committed and applied here. */
  committed(place: EntryPlace): void
  /** Refused (NOT_LEADER, BUSY, TOO_LARGE, DISK_FULL, CLOSED: it never appears) or TIMEOUT (outcome unknown). */
  failed(error: DLedgerError): void
}

export interface CommittedEntry extends EntryPlace {
  readonly kind: 'data' | ControlKind
  /** A slice of the log's buffers; copy what is kept. */
  readonly body: Buffer
}

/**
 * The state at one index, on its way to a member that is too far behind for entries. Made for states of any size: it is read
 * piece by piece while the member goes on.
 */
export interface StateSnapshot {
  /** Entries up to here are in it; at least the state machine's `checkpointIndex` when it was opened. */
  readonly index: number
  /** Whole size; null when it is not known before the end is reached. */
  readonly bytes: number | null
  /** Equal ids mean equal bytes, on whichever member: an interrupted transfer goes on where it was. Null: nobody else has this one. */
  readonly id: string | null
  /**
   * Gives at most `bytesMax` bytes from byte `at` on, none at the end; never from within the call, one call at a time. What was
   * given may be asked for again.
   */
  read(at: number, bytesMax: number, callback: (error: Error | null, bytes: Buffer | null) => void): void
  /** Nothing more is read. Idempotent. */
  close(): void
}

/** A state that comes in pieces and counts only when it is whole. */
export interface StateRestore {
  /** The next piece; the following one comes after the callback, which is not called from within the call. */
  write(bytes: Buffer, callback: (error: Error | null) => void): void
  /**
   * That was all: replaces the state at once and durably. Afterwards `checkpointIndex` and what was applied are the snapshot's
   * index; after a crash before the callback it is the old state or the new one, whole.
   */
  commit(callback: (error: Error | null) => void): void
  /** It will not be finished; the old state stays. */
  abort(): void
}

export interface StateMachine {
  /** Entries up to here are in the state already (from its own checkpoint); -1 for none. Read once, at open. */
  readonly appliedIndex: number
  /** At open, when `appliedIndex` is beyond the end of the log: forget everything; `appliedIndex` is -1 afterwards. */
  discard(): void
  /** Applies committed entries, oldest first. Synchronous and deterministic: nothing but the entry and the state. */
  apply(entries: readonly CommittedEntry[]): void
  /** After every change of role, term, leader or readiness. On losing the leadership, drop what depends on pending proposals. */
  roleChanged(state: RoleState): void
  /**
   * Entries up to here are in the state for good, in storage of its own that survives a power cut: the log may forget them. It
   * never goes back. Left out: the state is built from the whole log at every start, so this member's log is never trimmed.
   */
  readonly checkpointIndex?: number
  /** Opens the state for a member that is to be given it; with `restore`. Without both, no log is trimmed that a member may need. */
  openSnapshot?(callback: (error: Error | null, snapshot: StateSnapshot | null) => void): void
  /** A snapshot of another member's state at `index`, nothing beyond which is applied here, is about to come. */
  restore?(index: number): StateRestore
  /** Entries up to `index` are applied and synced on this member: what is derived from them may be written. Ascends. */
  durable(index: number): void
  /**
   * This member's log starts here now: at its start, after its head was trimmed, after another member's log took its place. What
   * lies before byte `startPos` cannot be read any more.
   */
  logStarts?(firstIndex: number, startPos: number): void
  /**
   * At open, and after another member's log took its place: this member's log ends with entry `lastIndex`, before byte `endPos`.
   * What of it is committed is applied next, oldest first; what is not may be truncated.
   */
  logEnds?(lastIndex: number, endPos: number): void
  /**
   * At open, with nothing applied: the log is one of Apache's DLedger, which has deleted what stood up to entry `index` and byte
   * `endPos`. There never was a state for it; `appliedIndex` is `index` afterwards. Left out, or without that: the log is refused.
   */
  startsBehind?(index: number, endPos: number): void
}

/**
 * How control entries (no-op, configuration, trim) are dressed for readers that expect every entry to be of the embedder's kind.
 * Synchronous and pure; the size must not depend on the place. The default is the bare payload.
 */
export interface ControlEnvelope {
  wrap(kind: ControlKind, payload: Buffer, place: EntryPlace): Buffer
  unwrap(body: Buffer): Buffer
}
