/**
 * Queue locks of the leader: who holds a queue is in the log (granted, released, expired); when it was last renewed only the
 * leader needs to know.
 *
 * Keeps:
 *   L1  A queue is told granted after the entry that grants it is applied; it is refused to others from the moment it is
 *       proposed.
 *   L2  A lock that is not renewed for LOCK_EXPIRY_MS is freed by an entry; a renewal writes nothing.
 *   L3  A new leader counts every lock it finds as renewed at its own start.
 *   L4  However many locks clients take, an entry that frees them has room in the log, and looking for expired ones takes a small part of the
 *       time.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type { QueueKey } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import type { QueueLockRow } from './change.ts'
import type { ChangeProposer } from './change-proposals.ts'
import { isKeptClientId, isKeptName } from './kept-names.ts'

/** Apache's RebalanceLockManager: rocketmq.broker.rebalance.lockMaxLiveTime. */
const LOCK_EXPIRY_MS = 60_000
/** Of a name that is refused, in what says so. */
const SHOWN_LENGTH = 300
/** In the place of a client id, which is never empty. */
const FREED = ''
/** Locks of one group of clients at most in one request. */
const QUEUES_PER_REQUEST_MAX = 10_000
/** Of all groups; beyond, BUSY. They are kept in memory, whatever topics and queues clients name. */
export const LOCKS_MAX = 500_000
/** Locks that one entry frees at most. */
const FREED_PER_ENTRY_MAX = 1_000
/** All locks are looked at for expired ones, so not oftener. Who asks for a lock that has expired gets it before. */
const EXPIRY_PAUSE_MS = 1_000

export interface QueueLocksOptions {
  readonly machine: StoreMachine
  readonly changes: ChangeProposer
  readonly clock: Clock
  readonly logger: Logger
}

export class QueueLocks {
  readonly #options: QueueLocksOptions
  /** Monotonic time of the last renewal seen by this leader. */
  readonly #renewedAtMs = new Map<string, number>()
  /** Proposed and not applied: who will hold the queue, or FREED. */
  readonly #granting = new Map<string, string>()
  #ledSinceMs = 0
  #epoch = -1
  #cancelTimer: (() => void) | null = null

  constructor(options: QueueLocksOptions) {
    this.#options = options
  }

  /** Locks or renews. @returns the queues that `clientId` holds now. @throws StoreError as a put. */
  async lock(group: string, clientId: string, queues: readonly QueueKey[]): Promise<readonly QueueKey[]> {
    this.#requireLeader()
    check(group, clientId, queues)
    const nowMs = this.#options.clock.monotonicMs()
    const held: QueueKey[] = []
    const wanted: QueueKey[] = []
    for (const queue of queues) {
      const key = keyOf(group, queue)
      const holder = this.#granting.get(key) ?? this.#holder(group, queue)
      if (holder === clientId && !this.#granting.has(key)) {
        held.push(queue)
        this.#renewedAtMs.set(key, nowMs)
      } else if (
        holder === undefined ||
        holder === FREED ||
        holder === clientId ||
        (!this.#granting.has(key) && this.#isExpired(key, nowMs))
      ) {
        wanted.push(queue)
      }
    }
    if (wanted.length === 0) return held
    this.#checkRoom(wanted.length)
    await this.#grant(group, clientId, wanted)
    return [...held, ...wanted]
  }

  /** Frees those of the queues that `clientId` holds. @throws StoreError as a put. */
  async unlock(group: string, clientId: string, queues: readonly QueueKey[]): Promise<void> {
    this.#requireLeader()
    check(group, clientId, queues)
    const rows: QueueLockRow[] = []
    for (const queue of queues) {
      if (this.#holder(group, queue) === clientId) rows.push([group, queue.topic, queue.queueId, null])
    }
    if (rows.length > 0) await this.#options.changes.propose({ kind: 'queueLocks', locks: rows })
  }

  /** After every change of role. */
  roleChanged(): void {
    const { machine, clock } = this.#options
    if (!machine.role.ready) return this.stop()
    if (this.#epoch === machine.epoch) return
    this.stop()
    this.#epoch = machine.epoch
    this.#ledSinceMs = clock.monotonicMs()
    if (machine.metadata.locks.count > 0) this.#arm(LOCK_EXPIRY_MS)
  }

  async #grant(group: string, clientId: string, wanted: readonly QueueKey[]): Promise<void> {
    const epoch = this.#epoch
    const rows: QueueLockRow[] = wanted.map(({ topic, queueId }) => [group, topic, queueId, clientId])
    for (const queue of wanted) this.#granting.set(keyOf(group, queue), clientId)
    try {
      await this.#options.changes.propose({ kind: 'queueLocks', locks: rows })
      if (this.#epoch !== epoch) return
      const nowMs = this.#options.clock.monotonicMs()
      for (const queue of wanted) this.#renewedAtMs.set(keyOf(group, queue), nowMs)
      this.#arm(LOCK_EXPIRY_MS)
    } finally {
      if (this.#epoch === epoch) for (const queue of wanted) this.#granted(keyOf(group, queue), clientId)
    }
  }

  #checkRoom(count: number): void {
    if (this.#options.machine.metadata.locks.count + this.#granting.size + count <= LOCKS_MAX) return
    throw new StoreError(`${LOCKS_MAX} queues are locked`, { code: 'BUSY' })
  }

  /** The proposal's outcome is known; a later proposal for the same queue goes on counting. */
  #granted(key: string, clientId: string): void {
    if (this.#granting.get(key) === clientId) this.#granting.delete(key)
  }

  #holder(group: string, { topic, queueId }: QueueKey): string | undefined {
    return this.#options.machine.metadata.locks.holder(group, topic, queueId)
  }

  #renewed(key: string): number {
    return this.#renewedAtMs.get(key) ?? this.#ledSinceMs
  }

  #isExpired(key: string, nowMs: number): boolean {
    return nowMs - this.#renewed(key) >= LOCK_EXPIRY_MS
  }

  #arm(delayMs: number): void {
    if (this.#cancelTimer !== null) return
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = null
      this.#expire()
    })
  }

  /** Frees what nobody renewed, and waits for the next that could come to that. */
  #expire(): void {
    const nowMs = this.#options.clock.monotonicMs()
    const rows: QueueLockRow[] = []
    let nextMs = Number.POSITIVE_INFINITY
    for (const [group, topic, queueId] of this.#options.machine.metadata.locks.all()) {
      const key = keyOf(group, { topic, queueId })
      if (!this.#isExpired(key, nowMs)) nextMs = Math.min(nextMs, this.#renewed(key) + LOCK_EXPIRY_MS - nowMs)
      else if (!this.#granting.has(key)) rows.push([group, topic, queueId, null])
    }
    if (Number.isFinite(nextMs)) this.#arm(Math.max(EXPIRY_PAUSE_MS, Math.ceil(nextMs)))
    for (let at = 0; at < rows.length; at += FREED_PER_ENTRY_MAX) this.#free(rows.slice(at, at + FREED_PER_ENTRY_MAX))
  }

  #free(rows: readonly QueueLockRow[]): void {
    const epoch = this.#epoch
    for (const [group, topic, queueId] of rows) this.#renewedAtMs.delete(keyOf(group, { topic, queueId }))
    // Between here and its apply nobody may take the old holder's renewal for a success.
    for (const [group, topic, queueId] of rows) this.#granting.set(keyOf(group, { topic, queueId }), FREED)
    this.#options.changes.proposeWith({ kind: 'queueLocks', locks: rows }, (error) => {
      if (this.#epoch !== epoch) return
      for (const [group, topic, queueId] of rows) this.#granted(keyOf(group, { topic, queueId }), FREED)
      if (error === null) return
      this.#options.logger.warn({ err: error, locks: rows.length }, 'expired locks were not freed')
      // They count as renewed when this leader began: expired already.
      this.#arm(LOCK_EXPIRY_MS)
    })
  }

  /** Forgets what only a leader knows. */
  stop(): void {
    this.#epoch = -1
    this.#renewedAtMs.clear()
    this.#granting.clear()
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #requireLeader(): void {
    const { role } = this.#options.machine
    if (!role.ready) throw new StoreError('this member does not lead', { code: 'NOT_LEADER', leader: role.leader })
  }
}

function keyOf(group: string, { topic, queueId }: QueueKey): string {
  return `${group}\0${topic}\0${queueId}`
}

/** @throws StoreError INVALID. */
function check(group: string, clientId: string, queues: readonly QueueKey[]): void {
  const what = `locks of ${JSON.stringify([group.slice(0, SHOWN_LENGTH), clientId.slice(0, SHOWN_LENGTH)])}`
  if (!isKeptName(group) || !isKeptClientId(clientId) || queues.length > QUEUES_PER_REQUEST_MAX) {
    throw new StoreError(`${what} are not possible`, { code: 'INVALID', what })
  }
  for (const { topic, queueId } of queues) {
    if (!isKeptName(topic) || !Number.isSafeInteger(queueId) || queueId < 0) {
      throw new StoreError(`${what}: no queue ${JSON.stringify([topic.slice(0, SHOWN_LENGTH), queueId])}`, {
        code: 'INVALID',
        what,
      })
    }
  }
}
