/** The transport of a group of one: there is nobody to reach and nothing listens. */
import type { Clock } from '@dledger-ts/base'
import type { Hello, Transport, TransportHandler } from './transport.ts'

export class LoneTransport implements Transport {
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  start(_hello: Hello, _handler: TransportHandler, callback: (error: Error | null) => void): void {
    this.#clock.defer(() => callback(null))
  }

  setPeers(): void {}

  renew(): void {}

  send(): void {}

  queuedBytes(): number {
    return 0
  }

  close(callback: () => void): void {
    this.#clock.defer(callback)
  }
}
