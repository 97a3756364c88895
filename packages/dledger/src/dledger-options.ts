/** What the methods of `DLedger` take, give and tell. Types, and how settings that were left out get their defaults. */
import type { Clock, Logger, Random } from '@dledger-ts/base'
import { DEFAULT_SETTINGS, type NodeSettings } from './config.ts'
import type { Disk } from './disk/disk.ts'
import type { ClassicRole, DirectoryOwner } from './driver/node-options.ts'
import type { ReadConsistency } from './driver/reading.ts'
import type { Ticker } from './driver/ticker.ts'
import type { RoleState } from './raft/output.ts'
import type { ControlEnvelope, EntryPlace, StateMachine } from './state-machine.ts'
import type { Transport } from './transport/transport.ts'

export interface DLedgerOptions extends Partial<NodeSettings> {
  /** Holds this member's files alone; made when missing. */
  readonly directory: string
  /** Name of the group; members of another group are refused. Default `default`. */
  readonly group?: string
  /** This member's id within the group. Default `n0`. */
  readonly self?: string
  /** All members' ids, own included, for the first start of an empty group; afterwards the log counts. Default: only `self`. */
  readonly members?: readonly string[]
  /**
   * Joins a group that is there: an empty directory then waits until the group names this member (`addMember` at the leader), and
   * elects nobody before. A directory that has joined ignores this. Default false.
   */
  readonly join?: boolean
  /**
   * Nobody is elected: a `master` leads alone, with learners that copy it; a `slave` is such a learner, and may be opened as a master
   * later, which makes a new master by hand (README, "A master and its slaves"). Default: one of a group that elects.
   */
  readonly classic?: ClassicRole
  /** A follower of this leader has answered: `heldBy` may have grown. Called at each such answer. */
  readonly onAcknowledged?: () => void
  /** How the others are reached. Default: not at all, for a group of one. */
  readonly transport?: Transport
  readonly stateMachine?: StateMachine
  readonly controlEnvelope?: ControlEnvelope
  /** Free text for the peers, e.g. the address on which this member serves clients. */
  readonly advertised?: string
  readonly logger?: Logger
  readonly clock?: Clock
  readonly random?: Random
  readonly disk?: Disk
  /** What wakes the member at each heartbeat. Default: a timer of its own; members of a `DLedgerHost` share one. */
  readonly ticker?: Ticker
  /** Which process opens the directory, on which start of the machine. Default: this one; tests start a machine anew with it. */
  readonly owner?: DirectoryOwner
  /**
   * Takes a member that is recovering (ASYNC_FLUSH and a power cut) for intact: the way out where a majority lost power and one
   * member never returns. Acknowledged entries may be lost. Default false.
   */
  readonly assumeIntact?: boolean
  /**
   * A group of one: `open` resolves also as soon as this is true, while the state machine is still given what the log holds; asked at
   * each progress. `status().ready` says when it takes appends. Default: never.
   */
  readonly opensEarly?: () => boolean
  /** After a storage failure or a broken invariant the member takes no further part; close it. Default: only logged. */
  readonly onFatal?: (error: Error) => void
}

export interface AddMemberOptions {
  readonly id: string
  /** Where the others reach it, e.g. `host:port`; it stands in the log. Default: as each member's own transport knows. */
  readonly address?: string
  /** A learner is replicated to and counts for nothing. Default `voter`. */
  readonly role?: 'voter' | 'learner'
  /** Ends the wait, not the change. */
  readonly signal?: AbortSignal
}

export interface LogEntry extends EntryPlace {
  readonly body: Buffer
}

export interface ReadIndexOptions {
  /** Default `linearizable`. */
  readonly consistency?: ReadConsistency
  /** `bounded` only, and needed there: milliseconds. */
  readonly maxStalenessMs?: number
  /** Ends the wait. */
  readonly signal?: AbortSignal
}

export interface IterateOptions {
  /** First index wanted. Default: the first there is. */
  readonly from?: number
  /** Wait for entries yet to be committed instead of ending. Default false. */
  readonly follow?: boolean
  readonly signal?: AbortSignal
}

export interface BackupOptions {
  /** Who the copy's members are. Default: this member alone. */
  readonly members?: readonly string[]
  readonly signal?: AbortSignal
}

/** Told after the fact, outside the hot path; a listener that throws is a bug of the embedder and reaches it as such. */
export interface DLedgerEvents {
  /** Role, term, leader or readiness changed. */
  role: [state: RoleState]
  /** A connection to a member works now, or is lost. */
  peer: [id: string, connected: boolean]
  /** The member has stopped for good after a storage failure or a broken invariant: close it. */
  failed: [error: Error]
  closed: []
}

/** The settings among the options, with the defaults of those that were left out. */
export function settingsOf(options: DLedgerOptions): NodeSettings {
  const chosen: Record<string, unknown> = { ...DEFAULT_SETTINGS }
  for (const name of Object.keys(DEFAULT_SETTINGS)) {
    const value = options[name as keyof NodeSettings]
    if (value !== undefined) chosen[name] = value
  }
  return chosen as unknown as NodeSettings
}
