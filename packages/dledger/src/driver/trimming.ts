/**
 * Forgets the head of this member's log, once a trim entry that says so is applied.
 *
 *   trim entry applied ──► limit: applied, synced, in the state machine's checkpoint ──► hard state ──► files removed, core told
 *
 * Keeps:
 *   - R21 nothing is removed that is not applied, synced and covered by the checkpoint of the state machine; whole files only,
 *     and the one that holds the last such entry stays. What may not go yet goes when that has moved on.
 *   - no entry goes that may be a configuration which is lost here: what is in force where the log starts then is not known.
 *   - where the log starts, and the configuration in force there, are durable before a file is removed: a crash in between leaves
 *     files that count for nothing and are removed at the next start.
 */
import { assert, type Logger } from '@dledger-ts/base'
import { encodeConfiguration } from '../configuration-codec.ts'
import { DLedgerError } from '../errors.ts'
import type { BaseConfiguration } from '../hard-state/hard-state-codec.ts'
import type { BeforeFirst } from '../log/recovery.ts'
import type { Raft } from '../raft/raft.ts'
import type { ControlEnvelope, StateMachine } from '../state-machine.ts'
import type { Applying } from './applying.ts'
import type { OpenedMember } from './open-member.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'

const TRIM_VERSION = 1

export interface TrimmingOptions {
  readonly member: OpenedMember
  readonly raft: Raft
  readonly applying: Applying
  readonly stateMachine: StateMachine | null
  readonly controlEnvelope: ControlEnvelope
  readonly logger: Logger
  readonly faults: ReadonlySet<PlantedDriverFault>
  /** Runs what a durable hard state allows, while the member runs. */
  readonly whileRunning: (work: () => void) => void
  readonly onFailed: (error: Error) => void
}

export class Trimming {
  readonly #options: TrimmingOptions
  /** The highest that an applied trim entry named. */
  #before = 0
  /** The limit that was looked at last: nothing new until it moves. */
  #limit = -1
  #underWay = false
  /** Those who read the head of the log. */
  #holds = 0

  constructor(options: TrimmingOptions) {
    this.#options = options
  }

  /** Entries below this are to be forgotten, as an applied trim entry of this life says; 0 when none does. */
  get before(): number {
    return this.#before
  }

  /** The hard state is being written for it. */
  get isUnderWay(): boolean {
    return this.#underWay
  }

  /** A trim entry is applied. */
  applied(body: Buffer): void {
    this.#before = Math.max(this.#before, decodeTrim(this.#options.controlEnvelope.unwrap(body)))
  }

  /** Nothing is removed until `release` is called as often. */
  hold(): void {
    this.#holds++
  }

  release(): void {
    this.#holds--
    assert(this.#holds >= 0, 'only what is held is released')
  }

  /** Removes what may go now. Cheap when there is nothing: asked at every pass. */
  trim(): void {
    const { log } = this.#options.member
    if (this.#before <= log.firstIndex || this.#underWay || this.#holds > 0) return
    const limit = this.#mayGoBefore()
    if (limit <= this.#limit || limit <= log.firstIndex) return
    this.#limit = limit
    const point = log.trimPoint(limit)
    if (point !== null) this.#trimTo(point)
  }

  /** Entries below this may go. It is itself applied and synced, so that no truncation ever reaches the new start. */
  #mayGoBefore(): number {
    const { applying, stateMachine, faults, member } = this.#options
    const { log } = member
    const readable = log.configurationIsLost ? log.firstLostFrom(log.firstIndex) : Number.POSITIVE_INFINITY
    const kept = Math.min(this.#before, applying.syncedIndex, readable)
    if (faults.has('trim-ignores-applied')) return kept
    const applied = Math.min(kept, applying.appliedIndex)
    return stateMachine === null ? applied : Math.min(applied, (stateMachine.checkpointIndex ?? -1) + 1)
  }

  #trimTo(point: BeforeFirst): void {
    const { member, raft, stateMachine, logger, whileRunning, onFailed } = this.#options
    this.#underWay = true
    const baseConfiguration = baseOf(raft, point.index)
    member.writeHardState({ beforeFirst: point, baseConfiguration }, (error) => {
      if (error !== null) return onFailed(error)
      whileRunning(() => {
        this.#underWay = false
        // First: the log tells what damage is left, by where the core's log starts.
        raft.trimmed(point.index + 1)
        member.log.trimTo(point)
        logger.info({ firstIndex: point.index + 1 }, 'the head of the log was trimmed')
        stateMachine?.logStarts?.(point.index + 1, member.log.startPos)
      })
    })
  }
}

/** What a hard state keeps of the configuration in force up to `index`. */
export function baseOf(raft: Raft, index: number): BaseConfiguration | null {
  const base = raft.configurationUpTo(index)
  if (base === null) return null
  return { index: base.index, payload: encodeConfiguration(base.configuration).toString() }
}

export function encodeTrim(before: number): Buffer {
  return Buffer.from(JSON.stringify({ v: TRIM_VERSION, before }))
}

/** @throws DLedgerError CORRUPT for what is no trim entry, INVALID for a newer version. */
export function decodeTrim(payload: Buffer): number {
  let value: unknown
  try {
    value = JSON.parse(payload.toString())
  } catch (cause) {
    throw new DLedgerError('a trim entry is not JSON', { code: 'CORRUPT', file: 'log', at: -1 }, { cause })
  }
  const { v, before } = (typeof value === 'object' && value !== null ? value : {}) as { v?: unknown; before?: unknown }
  if (v !== TRIM_VERSION) {
    const what = `the log holds a trim entry of version ${String(v)}; this program knows version ${TRIM_VERSION}`
    throw new DLedgerError(what, { code: 'INVALID', what })
  }
  if (!Number.isSafeInteger(before) || (before as number) < 0) {
    throw new DLedgerError('a trim entry names no index', { code: 'CORRUPT', file: 'log', at: -1 })
  }
  return before as number
}
