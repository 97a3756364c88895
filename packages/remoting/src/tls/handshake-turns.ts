/**
 * When a handshake begins: each costs a signature, on the thread that does everything else.
 *
 * Keeps:
 *   - no more begin than `perSecond`, and BURST_SECONDS' worth at once, whoever asks;
 *   - addresses take turns: who opens many connections waits behind itself;
 *   - at most `waitingMax` wait; beyond, the newest of the address that has most gives up its place.
 */
import { assert, type Clock } from '@dledger-ts/base'

/** How much of what was not used before may be used at once. */
const BURST_SECONDS = 1 / 8
/** What falls due is looked at no oftener. */
const LOOK_EVERY_MS = 10

export interface Turn {
  readonly address: string
  begin(): void
  /** It is given up: too many wait. */
  refuse(): void
}

export interface HandshakeTurnsOptions {
  readonly perSecond: number
  readonly waitingMax: number
  readonly clock: Clock
}

export class HandshakeTurns {
  readonly #options: HandshakeTurnsOptions
  readonly #burst: number
  /** Those of an address oldest first; the address whose turn it is first. */
  readonly #waiting = new Map<string, Set<Turn>>()
  #waitingCount = 0
  /** How many may begin now. */
  #room: number
  #roomAtMs: number
  #cancelTimer: (() => void) | null = null

  constructor(options: HandshakeTurnsOptions) {
    assert(options.perSecond >= 1, 'some handshake begins every second')
    this.#options = options
    this.#burst = Math.max(1, options.perSecond * BURST_SECONDS)
    this.#room = this.#burst
    this.#roomAtMs = options.clock.monotonicMs()
  }

  get waitingCount(): number {
    return this.#waitingCount
  }

  /** Lets it begin, now or later, or refuses it. @returns whether it has begun, or has been refused. */
  ask(turn: Turn): boolean {
    this.#makeRoom()
    if (this.#waitingCount === 0 && this.#room >= 1) {
      this.#room--
      turn.begin()
      return true
    }
    const most = this.#waitingCount < this.#options.waitingMax ? null : this.#addressWithMost(turn.address)
    if (most === turn.address) {
      turn.refuse()
      return true
    }
    if (most !== null) this.#refuseNewestOf(most)
    const own = this.#waiting.get(turn.address)
    if (own === undefined) this.#waiting.set(turn.address, new Set([turn]))
    else own.add(turn)
    this.#waitingCount++
    this.#arm()
    return false
  }

  /** It is gone, whether or not it waited. */
  leave(turn: Turn): void {
    const own = this.#waiting.get(turn.address)
    if (own?.delete(turn) !== true) return
    this.#waitingCount--
    if (own.size === 0) this.#waiting.delete(turn.address)
    if (this.#waitingCount === 0) this.stop()
  }

  stop(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  #makeRoom(): void {
    const nowMs = this.#options.clock.monotonicMs()
    const grown = ((nowMs - this.#roomAtMs) * this.#options.perSecond) / 1_000
    this.#room = Math.min(this.#burst, this.#room + grown)
    this.#roomAtMs = nowMs
  }

  #arm(): void {
    if (this.#cancelTimer !== null) return
    const delayMs = Math.max(LOOK_EVERY_MS, Math.ceil(((1 - this.#room) * 1_000) / this.#options.perSecond))
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = null
      this.#makeRoom()
      while (this.#room >= 1 && this.#waitingCount > 0) this.#beginNext()
      if (this.#waitingCount > 0) this.#arm()
    })
  }

  #beginNext(): void {
    for (const [address, own] of this.#waiting) {
      for (const turn of own) {
        this.leave(turn)
        if (own.size > 0) {
          this.#waiting.delete(address)
          this.#waiting.set(address, own)
        }
        this.#room--
        turn.begin()
        return
      }
    }
  }

  /** @returns the one that asks where no other has more. */
  #addressWithMost(asking: string): string {
    let most = asking
    let mostCount = this.#waiting.get(asking)?.size ?? 0
    for (const [address, { size }] of this.#waiting) {
      if (size <= mostCount) continue
      most = address
      mostCount = size
    }
    return most
  }

  #refuseNewestOf(address: string): void {
    const newest = [...(this.#waiting.get(address) ?? [])].at(-1)
    if (newest === undefined) return
    this.leave(newest)
    newest.refuse()
  }
}
