/** Counting messages and the bytes of their records. */
export interface Amount {
  readonly messages: number
  /** Of whole records. */
  readonly bytes: number
}

export class MessageCount {
  #messages = 0
  #bytes = 0

  /** Hot. */
  add(messages: number, bytes: number): void {
    this.#messages += messages
    this.#bytes += bytes
  }

  amount(): Amount {
    return { messages: this.#messages, bytes: this.#bytes }
  }
}
