/**
 * Large buffers that are used again, for bytes that pass through: what is read of the files, and what a pull is answered with.
 *
 * A new buffer for each would be garbage within milliseconds, and V8 collects by how much of it there is: a consumer that takes a
 * backlog would keep its threads busy with nothing else (figures in `bench/README.md`).
 *
 * Keeps: a buffer has one user at a time, who alone says that it is done with it, once, and who may as well never do so: then it is garbage
 * like any other. At most `keptBytesMax` wait to be used again.
 */
import { assert } from '@dledger-ts/base'

/** Smaller ones cost less than keeping an account of them … */
const BYTES_MIN = 16 * 1024
/** … and larger ones are rare. */
const BYTES_MAX = 2 * 1024 * 1024

export class BufferPool {
  readonly #keptBytesMax: number
  /** By size, a power of two: those that wait. */
  readonly #kept = new Map<number, Buffer[]>()
  #keptBytes = 0

  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax
  }

  /** Of those that wait to be used again. */
  get keptBytes(): number {
    return this.#keptBytes
  }

  /** Whether buffers of so many bytes are used again; others may be given back all the same. */
  static keeps(bytes: number): boolean {
    return bytes >= BYTES_MIN && bytes <= BYTES_MAX
  }

  /** @returns so many bytes with anything in them; less than twice as many are held by them. Hot. */
  take(bytes: number): Buffer {
    if (!BufferPool.keeps(bytes)) return Buffer.allocUnsafe(bytes)
    const whole = wholeOf(bytes)
    const kept = this.#kept.get(whole)?.pop()
    if (kept === undefined) return Buffer.allocUnsafeSlow(whole).subarray(0, bytes)
    this.#keptBytes -= whole
    return kept.subarray(0, bytes)
  }

  /** What `take` returned, as it was, is not used any more. Hot. */
  give({ buffer, length }: Buffer): void {
    if (!BufferPool.keeps(length)) return
    const whole = buffer.byteLength
    assert(whole === wholeOf(length), 'what is given back was taken here')
    if (this.#keptBytes + whole > this.#keptBytesMax) return
    this.#keptBytes += whole
    const kept = this.#kept.get(whole)
    if (kept === undefined) this.#kept.set(whole, [Buffer.from(buffer)])
    else kept.push(Buffer.from(buffer))
  }
}

function wholeOf(bytes: number): number {
  return 2 ** (32 - Math.clz32(bytes - 1))
}
