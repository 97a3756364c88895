/**
 * The newest index units, on their way into the files: gathered, so that a small batch costs the disk one write and not two.
 *
 *   in the files | handed to the disk | held back | end of the log
 *
 * Keeps: whoever reads the index sees what was appended; what the files may not have yet comes from here.
 */
import { assert } from '@dledger-ts/base'
import { INDEX_UNIT_BYTES } from './index-codec.ts'

/** Units of one block of memory. */
const BLOCK_UNITS = 512

/** Units one behind another. */
export interface UnitRun {
  readonly firstIndex: number
  readonly bytes: Buffer
}

export class IndexTail {
  /** Handed to the disk and not written yet, oldest first. */
  readonly #underWay: UnitRun[] = []
  #block: Buffer = Buffer.alloc(0)
  /** What is held back stands in the block, `[from, to)`; the units before were handed out, those behind are to come. */
  #from = 0
  #to = 0
  /** The next unit to be added. */
  #nextIndex: number

  constructor(nextIndex: number) {
    this.#nextIndex = nextIndex
  }

  /** The first unit that is held back; the next one where none is. */
  get firstHeld(): number {
    return this.#nextIndex - this.heldCount
  }

  get heldCount(): number {
    return (this.#to - this.#from) / INDEX_UNIT_BYTES
  }

  /** Whether so many units have room behind those that are held back. Where they have none, those are taken first. */
  hasRoomFor(count: number): boolean {
    return this.#from === this.#to || this.#to + count * INDEX_UNIT_BYTES <= this.#block.length
  }

  /** Room for the next units, to be filled within this call: they are held back from now on. */
  add(firstIndex: number, count: number): Buffer {
    assert(firstIndex === this.#nextIndex && this.hasRoomFor(count), 'units follow one another')
    const bytes = count * INDEX_UNIT_BYTES
    if (this.#to + bytes > this.#block.length) {
      // Blocks are never used again: a read under way may have a part of one.
      this.#block = Buffer.allocUnsafeSlow(Math.max(BLOCK_UNITS * INDEX_UNIT_BYTES, bytes))
      this.#from = 0
      this.#to = 0
    }
    const at = this.#to
    this.#to += bytes
    this.#nextIndex += count
    return this.#block.subarray(at, this.#to)
  }

  /** What is held back; it is under way from now on, until `written`. */
  take(): UnitRun {
    const run = { firstIndex: this.firstHeld, bytes: this.#block.subarray(this.#from, this.#to) }
    this.#from = this.#to
    this.#underWay.push(run)
    return run
  }

  /** The oldest run that was taken is in the files. */
  written(): void {
    assert(this.#underWay.length > 0, 'what is written was taken')
    this.#underWay.shift()
  }

  /** The log was cut, while nothing was under way: the next unit is this one. */
  cutTo(nextIndex: number): void {
    assert(this.#underWay.length === 0 && nextIndex <= this.#nextIndex, 'a log is cut between writes')
    const kept = Math.max(0, nextIndex - this.firstHeld)
    this.#block = Buffer.from(this.#block.subarray(this.#from, this.#from + kept * INDEX_UNIT_BYTES))
    this.#from = 0
    this.#to = this.#block.length
    this.#nextIndex = nextIndex
  }

  /** What of the bytes `[pos, pos + size)` of the index may not be in the files, with its places among them. */
  unwritten(pos: number, size: number): { readonly at: number; readonly bytes: Buffer }[] {
    const parts: { at: number; bytes: Buffer }[] = []
    const add = (firstIndex: number, bytes: Buffer): void => {
      const begin = firstIndex * INDEX_UNIT_BYTES
      const from = Math.max(begin, pos)
      const to = Math.min(begin + bytes.length, pos + size)
      if (from < to) parts.push({ at: from - pos, bytes: bytes.subarray(from - begin, to - begin) })
    }
    for (const { firstIndex, bytes } of this.#underWay) add(firstIndex, bytes)
    if (this.#from < this.#to) add(this.firstHeld, this.#block.subarray(this.#from, this.#to))
    return parts
  }
}
