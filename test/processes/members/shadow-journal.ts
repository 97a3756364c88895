/**
 * What a power cut may undo, kept beside a member's files: before each change the bytes or names that it replaces, after each sync
 * that succeeded what it made durable. The journal outlives the process (it is in the page cache, as the files are), so after
 * SIGKILL whoever reads it can make the disk look as if the power had failed at that moment.
 *
 *   | headBytes 4 | payloadBytes 4 | head: JSON | payload: the bytes that were there |
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export type Change =
  /** `sizeBefore` is that of the file. The payload is what stood in the range, as far as the file reached. */
  | {
      readonly kind: 'write'
      readonly file: number
      readonly path: string
      readonly at: number
      readonly size: number
      readonly sizeBefore: number
    }
  /** The payload is what was cut off. */
  | {
      readonly kind: 'truncate'
      readonly file: number
      readonly path: string
      readonly size: number
      readonly sizeBefore: number
    }
  | { readonly kind: 'create'; readonly directory: string; readonly path: string }
  /** The file lives on under the name `kept`, so its inode is nobody else's. */
  | { readonly kind: 'remove'; readonly directory: string; readonly path: string; readonly kept: string }
  /** So does the one that had the name `path`, if any. */
  | {
      readonly kind: 'rename'
      readonly directory: string
      readonly from: string
      readonly path: string
      readonly kept: string | null
    }

type Head = { readonly number: number; readonly change: Change } | { readonly durable: readonly number[] }

export interface PendingChange {
  readonly number: number
  readonly change: Change
  readonly payload: Buffer
}

const HEAD_BYTES = 8

function journalPath(directory: string): string {
  return join(directory, 'journal')
}

export interface ReadJournal {
  /** What is not durable, oldest first. */
  readonly pending: readonly PendingChange[]
  /** No change has this number or a higher one. */
  readonly next: number
}

/** A record that was cut short by the process's death says nothing: its change was not made. */
export function readJournal(directory: string): ReadJournal {
  const path = journalPath(directory)
  if (!existsSync(path)) return { pending: [], next: 0 }
  const bytes = readFileSync(path)
  const pending = new Map<number, PendingChange>()
  let next = 0
  let at = 0
  while (at + HEAD_BYTES <= bytes.length) {
    const headBytes = bytes.readUInt32BE(at)
    const payloadBytes = bytes.readUInt32BE(at + 4)
    const payloadAt = at + HEAD_BYTES + headBytes
    if (payloadAt + payloadBytes > bytes.length) break
    const head = JSON.parse(bytes.toString('utf8', at + HEAD_BYTES, payloadAt)) as Head
    const payload = bytes.subarray(payloadAt, payloadAt + payloadBytes)
    if ('durable' in head) for (const number of head.durable) pending.delete(number)
    else {
      pending.set(head.number, { ...head, payload })
      next = head.number + 1
    }
    at = payloadAt + payloadBytes
  }
  return { pending: [...pending.values()], next }
}

export class ShadowJournal {
  readonly #fd: number
  #next: number

  constructor(directory: string, next: number) {
    this.#fd = openSync(journalPath(directory), 'a')
    this.#next = next
  }

  /** To be called before the change. @returns its number. */
  changing(change: Change, payload: Buffer): number {
    const number = this.#next++
    this.#append({ number, change }, payload)
    return number
  }

  /** To be called before anybody is told that these are durable. */
  durable(numbers: readonly number[]): void {
    if (numbers.length > 0) this.#append({ durable: numbers }, Buffer.alloc(0))
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** One write, so that a killed process leaves whole records or the beginning of one. */
  #append(head: Head, payload: Buffer): void {
    const text = Buffer.from(JSON.stringify(head))
    const sizes = Buffer.alloc(HEAD_BYTES)
    sizes.writeUInt32BE(text.length, 0)
    sizes.writeUInt32BE(payload.length, 4)
    const record = Buffer.concat([sizes, text, payload])
    let written = 0
    while (written < record.length) written += writeSync(this.#fd, record, written)
  }
}
