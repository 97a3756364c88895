/**
 * The model of queue locks: which client of one group holds a queue, as far as the clients were told.
 *
 * Keeps, and says when the broker does not: while one client holds a queue no other one is told that it does; whoever asks for a
 * queue that nobody can hold gets it.
 */

/** A lock that is not renewed ends. */
const LOCK_MS = 60_000

interface Hold {
  readonly client: string
  readonly untilMs: number
}

export class LockModel {
  readonly #name: string
  readonly #violated: (what: string) => void
  #hold: Hold | null = null
  /** When each client last asked to let it go; moments only grow. */
  readonly #released = new Map<string, number>()

  constructor(name: string, violated: (what: string) => void) {
    this.#name = name
    this.#violated = violated
  }

  /** A client asks to let it go: nobody knows from now on. */
  releasing(client: string, moment: number): void {
    this.#released.set(client, moment)
    if (this.#hold?.client === client) this.#hold = null
  }

  /** @param begun when it was asked for. @param wallMs by the wall clock, when it was asked for, and now. */
  held(client: string, begun: number, { askedMs, nowMs }: { readonly askedMs: number; readonly nowMs: number }): void {
    const hold = this.#hold
    if (hold !== null && hold.client !== client && nowMs < hold.untilMs) {
      this.#violated(`${client} is told that it holds ${this.#name}, which ${hold.client} does`)
    }
    if ((this.#released.get(client) ?? -1) >= begun) return
    this.#hold = { client, untilMs: askedMs + LOCK_MS }
  }
}
