/**
 * Who is told of a change of role, and who waits for one.
 *
 * Keeps: whoever waits goes on before anybody is told; the status is made only when somebody listens.
 */
import type { EventEmitter } from 'node:events'
import type { RoleChangeListener, StoreStatus } from './api.ts'
import { Listeners } from './listeners.ts'
import type { StoreEvents } from './statistics.ts'
import type { StoreCore } from './store-core.ts'

export interface RoleChangesOptions {
  readonly core: StoreCore
  readonly events: EventEmitter<StoreEvents>
  readonly status: () => StoreStatus
  /** @throws StoreError CLOSED. */
  readonly requireOpen: () => void
}

export class RoleChanges {
  readonly #options: RoleChangesOptions
  readonly #listeners = new Listeners<RoleChangeListener>()
  #waiters: (() => void)[] = []

  constructor(options: RoleChangesOptions) {
    this.#options = options
  }

  listen(listener: RoleChangeListener): () => void {
    return this.#listeners.add(listener)
  }

  /** The role changed, or the store closes. */
  changed(): void {
    const { events, status } = this.#options
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
    if (this.#listeners.count === 0 && events.listenerCount('role') === 0) return
    const now = status()
    this.#listeners.each((listener) => listener.roleChanged(now))
    events.emit('role', now)
  }

  /** Until this member takes writes, or follows a known leader. */
  async whenSettled(signal: AbortSignal | undefined): Promise<StoreStatus> {
    const { core, requireOpen, status } = this.#options
    const isSettled = (): boolean => {
      const { role, leader } = core.machine.role
      return core.isReady || (role === 'FOLLOWER' && leader !== null)
    }
    while (!isSettled()) {
      signal?.throwIfAborted()
      requireOpen()
      await this.#next(signal)
    }
    return status()
  }

  #next(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => reject(signal?.reason as Error)
      this.#waiters.push(() => {
        signal?.removeEventListener('abort', aborted)
        resolve()
      })
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }
}
