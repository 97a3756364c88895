/**
 * Bytes of a file that may be huge and mostly empty: pages made when first written, zeros elsewhere.
 */
const PAGE_BYTES = 2048

export class SparseBytes {
  readonly #pages = new Map<number, Buffer>()

  write(source: Buffer, at: number): void {
    let from = 0
    while (from < source.length) {
      const page = Math.floor((at + from) / PAGE_BYTES)
      const inPage = at + from - page * PAGE_BYTES
      const count = Math.min(PAGE_BYTES - inPage, source.length - from)
      source.copy(this.#pageAt(page), inPage, from, from + count)
      from += count
    }
  }

  read(target: Buffer, at: number): void {
    let from = 0
    while (from < target.length) {
      const page = Math.floor((at + from) / PAGE_BYTES)
      const inPage = at + from - page * PAGE_BYTES
      const count = Math.min(PAGE_BYTES - inPage, target.length - from)
      const bytes = this.#pages.get(page)
      if (bytes === undefined) target.fill(0, from, from + count)
      else bytes.copy(target, from, inPage, inPage + count)
      from += count
    }
  }

  /** Makes everything from `at` on zero. */
  zeroFrom(at: number): void {
    for (const [page, bytes] of this.#pages) {
      const start = page * PAGE_BYTES
      if (start >= at) this.#pages.delete(page)
      else if (start + PAGE_BYTES > at) bytes.fill(0, at - start)
    }
  }

  /** @returns the place of the first byte that is not zero in `[from, to)`, or -1. */
  findNonZero(from: number, to: number): number {
    for (const page of [...this.#pages.keys()].sort((a, b) => a - b)) {
      const start = page * PAGE_BYTES
      const bytes = this.#pages.get(page) as Buffer
      const first = Math.max(from, start)
      const end = Math.min(to, start + PAGE_BYTES)
      for (let at = first; at < end; at++) if (bytes[at - start] !== 0) return at
    }
    return -1
  }

  clone(): SparseBytes {
    const copy = new SparseBytes()
    for (const [page, bytes] of this.#pages) {
      const own = newPage()
      bytes.copy(own)
      copy.#pages.set(page, own)
    }
    return copy
  }

  #pageAt(page: number): Buffer {
    let bytes = this.#pages.get(page)
    if (bytes === undefined) {
      bytes = newPage()
      this.#pages.set(page, bytes)
    }
    return bytes
  }
}

/** Pages are cut from slabs: memory outside the heap costs much for each piece. */
const SLAB_PAGES = 32
let slab = Buffer.alloc(0)
let used = 0

function newPage(): Buffer {
  if (used === slab.length) {
    slab = Buffer.alloc(SLAB_PAGES * PAGE_BYTES)
    used = 0
  }
  used += PAGE_BYTES
  return slab.subarray(used - PAGE_BYTES, used)
}
