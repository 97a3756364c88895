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
  /** Entries up to `index` are applied and synced on this member: what is derived from them may be written. Ascends. */
  durable(index: number): void
}

/**
 * How control entries (no-op, configuration, trim) are dressed for readers that expect every entry to be of the embedder's kind.
 * Synchronous and pure; the size must not depend on the place. The default is the bare payload.
 */
export interface ControlEnvelope {
  wrap(kind: ControlKind, payload: Buffer, place: EntryPlace): Buffer
  unwrap(body: Buffer): Buffer
}
