/**
 * What is kept of frames that have not come whole, of many connections together.
 *
 * Keeps: it is at most `bytesMax`, beside what one read adds: beyond, the connection is closed whose frame has been unfinished for the longest.
 * Who sends a frame is soon through with it, however many do; who leaves one unfinished has the memory of all others.
 */
export interface SendsFrame {
  closeUnfinished(): void
}

interface Unfinished {
  readonly frame: number
  readonly bytes: number
}

export class UnfinishedFrames {
  readonly #bytesMax: number
  /** In the order in which the frames were noted first. */
  readonly #kept = new Map<SendsFrame, Unfinished>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @param frame tells a frame of the connection from those before it. */
  keeps(connection: SendsFrame, frame: number, bytes: number): void {
    const before = this.#kept.get(connection)
    if (before !== undefined && before.frame !== frame) this.#kept.delete(connection)
    this.#kept.set(connection, { frame, bytes })
    this.#bytes += bytes - (before?.bytes ?? 0)
    while (this.#bytes > this.#bytesMax) this.#closeOldest()
  }

  /** Its frame has come, or it is closed. */
  done(connection: SendsFrame): void {
    this.#bytes -= this.#kept.get(connection)?.bytes ?? 0
    this.#kept.delete(connection)
  }

  #closeOldest(): void {
    for (const connection of this.#kept.keys()) {
      this.done(connection)
      connection.closeUnfinished()
      return
    }
  }
}
