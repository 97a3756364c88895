/**
 * The end of a member's life when it is closed: the leadership handed over, what is under way ended, the last words written.
 *
 *   handOver ──► closeFiles: disk quiet ──► log synced ──► clean stop durable ──► files closed, directory free ──► transport closed
 *
 * Keeps: every wait has a limit, and at that everything is released all the same; a stop counts as clean only when all of it
 * succeeded. Time in which the process itself stood still does not count for the disk.
 */
import type { Clock } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import type { Raft } from '../raft/raft.ts'
import type { RoleState } from '../raft/output.ts'
import type { Durability } from './durability.ts'
import type { Life } from './life.ts'
import type { LogWriter } from './log-writer.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'
import type { PendingProposals } from './pending-proposals.ts'
import type { StorageWatch } from './storage-watch.ts'

/** How long a member that has failed, or could not start, waits for what its disk has under way. */
const CLOSE_AFTER_FAILURE_MS_MAX = 1_000
/** How long a leader waits for another one to lead. */
const HAND_OVER_ELECTION_TIMEOUTS = 2

export interface FailedStart {
  readonly member: OpenedMember
  readonly clock: Clock
  readonly error: Error
}

/**
 * Whoever is told that a start failed may try again at once; a disk that hangs does not keep the news back for ever: it is not written
 * once more, as that is synchronous and would hold up the process.
 */
export function abandonStart({ member, clock, error }: FailedStart, tell: () => void): void {
  let told = false
  const once = (): void => {
    if (told) return
    told = true
    cancel()
    tell()
  }
  const cancel = clock.after(CLOSE_AFTER_FAILURE_MS_MAX, once)
  if (error instanceof DLedgerError && error.code === 'STORAGE_FAILED') member.release(once)
  else member.abandon(once)
}

/**
 * Calls back after `ms` in which the process ran: however long it stood still, a step counts once, and what came meanwhile is heard
 * before the next one ends.
 *
 * @returns a function that ends the wait.
 */
function afterRunningFor(
  ms: number,
  { clock, stepMs }: { readonly clock: Clock; readonly stepMs: number },
  callback: () => void,
): () => void {
  let leftMs = ms
  let cancel = (): void => {}
  const step = (): void => {
    const nextMs = Math.min(leftMs, stepMs)
    leftMs -= nextMs
    cancel = clock.after(nextMs, leftMs > 0 ? step : callback)
  }
  step()
  return () => cancel()
}

export interface ClosingOptions {
  readonly node: LogNodeOptions
  readonly member: OpenedMember
  readonly life: Life
  readonly watch: StorageWatch
  readonly pending: PendingProposals
  /** Of the log in force. */
  readonly rooms: () => { readonly raft: Raft; readonly writer: LogWriter; readonly durability: Durability }
  readonly role: () => RoleState
  /** No read and no write is under way, and no log is being replaced, but for what waits for room on the disk. */
  readonly isQuiet: () => boolean
  readonly isSwitching: () => boolean
  /** Ends whatever acts on its own. */
  readonly stopParts: () => void
  readonly schedulePass: () => void
}

export class Closing {
  readonly #options: ClosingOptions
  #waitsForLeader: (() => void) | null = null

  constructor(options: ClosingOptions) {
    this.#options = options
  }

  /** A leader lets another one take over, within a limit; then, at once for others, goes on. */
  handOver(goOn: () => void): void {
    const { node, rooms, role, schedulePass } = this.#options
    const { raft } = rooms()
    if (role().role !== 'LEADER' || raft.isLoneVoter) return goOn()
    if (!raft.transferLeadership(null) && raft.status().transferTarget === null) return goOn()
    let isOver = false
    const once = (): void => {
      if (isOver) return
      isOver = true
      cancel()
      goOn()
    }
    const cancel = node.clock.after(HAND_OVER_ELECTION_TIMEOUTS * node.settings.electionTimeoutMs, once)
    this.#waitsForLeader = once
    schedulePass()
  }

  roleChanged(role: RoleState): void {
    if (role.role !== 'LEADER' && role.leader !== null) this.#waitsForLeader?.()
  }

  /** The limit alone is waited for from here on. */
  stop(): void {
    this.#waitsForLeader = null
  }

  /** Waits until the disk is quiet, but not for ever. */
  closeFiles(callback: (error: Error | null) => void): void {
    const { node, life, watch, pending } = this.#options
    const { clock, logger, transport, settings } = node
    const wasFailed = life.state === 'failed'
    const waitMs = wasFailed ? CLOSE_AFTER_FAILURE_MS_MAX : settings.storageHangMs
    let ended = false
    const end = (error: Error | null): void => {
      if (ended) return
      ended = true
      cancel()
      transport.close(() => callback(error))
    }
    const cancel = afterRunningFor(waitMs, { clock, stepMs: settings.heartbeatMs }, () => {
      const error = watch.unfinished(waitMs)
      logger.error({ err: error }, 'closing does not wait for the disk any longer')
      life.guarded(() => pending.abandon('was waiting when the log was closed; it may still be committed'))
      this.#release(() => {})
      // What failed before was told then.
      end(wasFailed ? null : error)
    })
    // Not within this call: it may come from a callback in the middle of a pass.
    clock.defer(() => this.#whenQuiet(() => this.#finish((error) => this.#release(() => end(error)))))
  }

  #whenQuiet(callback: () => void): void {
    const { node, life, isQuiet } = this.#options
    if (life.state === 'closed') return
    if (life.state === 'failed' || isQuiet()) return callback()
    node.clock.after(1, () => this.#whenQuiet(callback))
  }

  #finish(done: (error: Error | null) => void): void {
    const { node, life, pending, rooms } = this.#options
    if (life.state !== 'failed') life.enter('finishing')
    life.guarded(() => pending.abandon('was waiting when the log was closed; it may still be committed'))
    if (life.state === 'failed') return done(null)
    const { writer, durability } = rooms()
    const { member, isSwitching } = this.#options
    // The next start goes on with it; the files of the log are closed already.
    if (isSwitching()) return done(noRoom(node.directory))
    writer.flush((error, mark, isAll) => {
      if (life.state === 'closed') return
      if (error !== null) return done(error)
      if (!isAll) node.logger.warn({}, 'what waited for room on the disk, or for a repair, was given up')
      durability.stopped(mark, isAll, done)
    })
    // Not before: a cut of the log that waits for the hard state is quiet because that waits for room.
    member.stopWaitingForHardState()
  }

  #release(callback: () => void): void {
    const { life, member, rooms, stopParts } = this.#options
    life.enter('closed')
    stopParts()
    rooms().writer.stop()
    member.release(callback)
  }
}

function noRoom(directory: string): DLedgerError {
  const what = `the hard state in ${directory} found no room on the disk before the log was closed`
  return new DLedgerError(what, { code: 'STORAGE_FAILED', what, operation: 'write', file: directory, errno: 'ENOSPC' })
}
