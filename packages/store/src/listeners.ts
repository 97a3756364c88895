/** Listeners that may be removed while they are told. */
export class Listeners<Listener> {
  #all: readonly Listener[] = []

  get count(): number {
    return this.#all.length
  }

  add(listener: Listener): () => void {
    this.#all = [...this.#all, listener]
    return () => {
      this.#all = this.#all.filter((other) => other !== listener)
    }
  }

  each(tell: (listener: Listener) => void): void {
    for (const listener of this.#all) tell(listener)
  }
}
