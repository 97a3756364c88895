/**
 * What requests that wait take in memory: each is kept whole, whatever stands in it, with the tags that it was made with.
 *
 * Keeps: together they take BYTES_MAX at most, and those of one connection a quarter: no client takes all. Requests of the size that
 * clients make are never held up by that: their number is bounded elsewhere.
 */

export const BYTES_MAX = 256 * 1024 * 1024
export const BYTES_PER_CONNECTION_MAX = BYTES_MAX / 4
/** Of a tag in a set, and of the set of those that wait for it. */
export const TAG_BYTES = 256

interface Held {
  readonly channel: object
  /** As it came. */
  readonly requestBytes: number
  /** Null for any message. */
  readonly tagCodes: ReadonlySet<number> | null
}

export class HeldBytes {
  #bytes = 0
  readonly #ofChannels = new Map<object, number>()

  get bytes(): number {
    return this.#bytes
  }

  /** @returns false when there is no room for it. */
  add(held: Held): boolean {
    const bytes = bytesOf(held)
    const ofChannel = (this.#ofChannels.get(held.channel) ?? 0) + bytes
    if (this.#bytes + bytes > BYTES_MAX || ofChannel > BYTES_PER_CONNECTION_MAX) return false
    this.#bytes += bytes
    this.#ofChannels.set(held.channel, ofChannel)
    return true
  }

  remove(held: Held): void {
    const bytes = bytesOf(held)
    this.#bytes -= bytes
    const left = (this.#ofChannels.get(held.channel) ?? 0) - bytes
    if (left > 0) this.#ofChannels.set(held.channel, left)
    else this.#ofChannels.delete(held.channel)
  }
}

function bytesOf({ requestBytes, tagCodes }: Held): number {
  return requestBytes + (tagCodes?.size ?? 0) * TAG_BYTES
}
