/** The bytes of a log for readers: counts what is read, and gives it when it is told to. */
import { assert } from '@dledger-ts/base'
import { type CommittedEntry, DLedgerError } from '@dledger-ts/dledger'
import type { LogReader } from '../read.ts'
import { entryBytes } from './entry-bytes.ts'

type Callback = (error: Error | null, bytes: Buffer | null) => void

export class LogImage implements LogReader {
  readonly reads: { readonly pos: number; readonly size: number }[] = []
  /** Reads wait for `release`. */
  isHeld = false
  /** What is said of a read; null reads it. */
  failure: (pos: number, size: number) => Error | null = () => null
  readonly #image: Buffer
  readonly #entries: readonly CommittedEntry[]
  readonly #fileBytes: number
  #held: (() => void)[] = []

  constructor(entries: readonly CommittedEntry[], fileBytes: number) {
    this.#fileBytes = fileBytes
    const last = entries.at(-1)
    this.#image = Buffer.alloc(last === undefined ? 0 : last.pos + 48 + last.body.length)
    for (const entry of entries) entryBytes(entry).copy(this.#image, entry.pos)
    this.#entries = entries
  }

  get heldCount(): number {
    return this.#held.length
  }

  readBytes(pos: number, size: number, callback: Callback, target = Buffer.allocUnsafe(size)): void {
    assert(
      Math.floor(pos / this.#fileBytes) === Math.floor((pos + size - 1) / this.#fileBytes),
      'a read is of one file',
    )
    this.reads.push({ pos, size })
    const tell = (): void => {
      const error = this.failure(pos, size)
      if (error === null && pos + size > this.#image.length) throw new Error(`nothing is written at ${pos + size}`)
      if (error === null) this.#image.copy(target, 0, pos, pos + size)
      callback(error, error === null ? target : null)
    }
    if (this.isHeld) this.#held.push(tell)
    else setImmediate(tell)
  }

  /** Changes a byte of what `readBytes` gives, as rot does. */
  flip(at: number): void {
    this.#image[at] = (this.#image[at] as number) ^ 0x10
  }

  /** What the log's own checks say. */
  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    const found = this.#entries.find((entry) => entry.pos === pos)
    setImmediate(() => {
      if (found === undefined) return callback(null, null)
      const bytes = entryBytes(found)
      const isGood = this.#image.subarray(pos, pos + bytes.length).equals(bytes)
      if (isGood) callback(null, found)
      else
        callback(new DLedgerError(`entry ${found.index} is damaged`, { code: 'CORRUPT', file: 'data', at: pos }), null)
    })
  }

  /** Answers what is held now. */
  release(): void {
    const held = this.#held
    this.#held = []
    for (const tell of held) tell()
  }
}
