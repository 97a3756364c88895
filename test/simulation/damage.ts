/**
 * What a drive gives back of a file where that is not what was written: bits that rotted, sectors whose write was lost or went
 * elsewhere, a file that is gone or cut.
 *
 * Kept apart from the file's content, so that whoever looks from outside sees what ought to be there: damage never makes a
 * member's log shorter in the eyes of the invariants, only cutting it does. Writing over damaged bytes mends them.
 */
export class Damage {
  /** What is read at a byte instead of what was written there. */
  #bytes = new Map<number, number>()

  get isEmpty(): boolean {
    return this.#bytes.size === 0
  }

  set(at: number, value: number): void {
    this.#bytes.set(at, value)
  }

  /** Changes what was read from `at` on to what the drive gives. */
  apply(target: Buffer, at: number): void {
    if (this.#bytes.size === 0) return
    for (const [place, value] of this.#bytes) {
      if (place >= at && place < at + target.length) target[place - at] = value
    }
  }

  mend(from: number, to: number): void {
    if (this.#bytes.size === 0) return
    for (const place of this.#bytes.keys()) if (place >= from && place < to) this.#bytes.delete(place)
  }

  touches(from: number, to: number): boolean {
    for (const place of this.#bytes.keys()) if (place >= from && place < to) return true
    return false
  }

  clone(): Damage {
    const copy = new Damage()
    copy.#bytes = new Map(this.#bytes)
    return copy
  }
}
