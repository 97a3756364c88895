/**
 * Tells readers that go through a queue from single reads, for only the former are read ahead for.
 *
 * A reader is known by the place in the log of the entry that it is expected to begin with. Keeps: at most COUNT_MAX numbers.
 */
const COUNT_MAX = 16_384

export class SequentialReaders {
  readonly #expected = new Set<number>()

  /** Whether a read that begins at this place goes on where another one ended. Forgets it. */
  goesOn(physicalOffset: number): boolean {
    return this.#expected.delete(physicalOffset)
  }

  /** A read ended: who goes on begins here. */
  expect(physicalOffset: number): void {
    if (physicalOffset < 0) return
    this.#expected.add(physicalOffset)
    if (this.#expected.size <= COUNT_MAX) return
    // A set keeps the order in which it was filled: the oldest goes.
    for (const oldest of this.#expected) {
      this.#expected.delete(oldest)
      return
    }
  }
}
