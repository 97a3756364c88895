/** The bytes of a log for readers: counts what is read, and gives it when it is told to. */
import { assert } from '@dledger-ts/base'
import type { CommittedEntry } from '@dledger-ts/dledger'
import type { LogReader } from '../read.ts'

type Callback = (error: Error | null, bytes: Buffer | null) => void

export class LogImage implements LogReader {
  readonly reads: { readonly pos: number; readonly size: number }[] = []
  /** Reads wait for `release`. */
  isHeld = false
  /** What is said of a read; null reads it. */
  failure: (pos: number, size: number) => Error | null = () => null
  readonly #image: Buffer
  readonly #fileBytes: number
  #held: (() => void)[] = []

  constructor(entries: readonly CommittedEntry[], fileBytes: number) {
    this.#fileBytes = fileBytes
    const last = entries.at(-1)
    this.#image = Buffer.alloc(last === undefined ? 0 : last.pos + 48 + last.body.length)
    for (const { pos, body } of entries) body.copy(this.#image, pos + 48)
  }

  get heldCount(): number {
    return this.#held.length
  }

  readBytes(pos: number, size: number, callback: Callback): void {
    assert(
      Math.floor(pos / this.#fileBytes) === Math.floor((pos + size - 1) / this.#fileBytes),
      'a read is of one file',
    )
    this.reads.push({ pos, size })
    const tell = (): void => {
      const error = this.failure(pos, size)
      if (error === null && pos + size > this.#image.length) throw new Error(`nothing is written at ${pos + size}`)
      callback(error, error === null ? Buffer.from(this.#image.subarray(pos, pos + size)) : null)
    }
    if (this.isHeld) this.#held.push(tell)
    else setImmediate(tell)
  }

  /** Answers what is held now. */
  release(): void {
    const held = this.#held
    this.#held = []
    for (const tell of held) tell()
  }
}
