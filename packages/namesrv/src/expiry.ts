/** Looks every `scanIntervalMs` for brokers that went silent, and takes them out of the table. */
import type { Clock, Logger } from '@dledger-ts/base'
import type { RouteTable } from './route-table.ts'

export interface ExpiryOptions {
  table: RouteTable
  clock: Clock
  logger: Logger
  scanIntervalMs: number
  /** Closes the connection that a silent broker registered on: it has to come anew. */
  closeConnection(connectionId: number): void
}

export class Expiry {
  readonly #options: ExpiryOptions
  #cancel: (() => void) | undefined

  constructor(options: ExpiryOptions) {
    this.#options = options
  }

  start(): void {
    const { clock, scanIntervalMs } = this.#options
    this.#cancel = clock.after(scanIntervalMs, () => {
      this.#scan()
      this.start()
    })
  }

  /** Idempotent. */
  close(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #scan(): void {
    const { table, clock, logger } = this.#options
    for (const { connectionId, ...broker } of table.expire(clock.monotonicMs())) {
      logger.warn({ ...broker }, 'a broker went silent')
      this.#options.closeConnection(connectionId)
    }
  }
}
