/**
 * What waits for slow peers, of many connections together.
 *
 * Keeps: it is at most `bytesMax`, beside what one answer adds: beyond, the connection for which most waits is closed. A peer that reads costs
 * nothing here: a connection is noted when its socket did not take what was written, and forgotten when it has.
 */

export interface SlowConnection {
  closeSlow(): void
}

export class UnwrittenBudget {
  readonly #bytesMax: number
  /** What waited when it was last written to. */
  readonly #waiting = new Map<SlowConnection, number>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  waits(connection: SlowConnection, bytes: number): void {
    this.#bytes += bytes - (this.#waiting.get(connection) ?? 0)
    this.#waiting.set(connection, bytes)
    while (this.#bytes > this.#bytesMax) this.#closeLargest()
  }

  /** Nothing waits for it any more, or it is closed. */
  taken(connection: SlowConnection): void {
    this.#bytes -= this.#waiting.get(connection) ?? 0
    this.#waiting.delete(connection)
  }

  #closeLargest(): void {
    let largest: SlowConnection | null = null
    let largestBytes = 0
    for (const [connection, bytes] of this.#waiting) {
      if (bytes <= largestBytes) continue
      largest = connection
      largestBytes = bytes
    }
    if (largest === null) return
    this.taken(largest)
    largest.closeSlow()
  }
}
