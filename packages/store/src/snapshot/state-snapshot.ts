/**
 * The state at the newest checkpoint, for another member: read from the database frame by frame, as it was when this was opened,
 * while checkpoints go on.
 *
 * Keeps: memory of one frame, and where each frame began: what was given is made anew from there, with the same bytes.
 */
import { assert } from '@dledger-ts/base'
import type { StateSnapshot } from '@dledger-ts/dledger'
import type { AppliedMark } from '../apply.ts'
import type { MetadataRow, MetadataView } from '../metadata/metadata-store.ts'
import { STATE_BEFORE, STATE_FROM, streamedRow } from './state-rows.ts'
import { encodeEnd, encodeHead, encodeRows, FRAME_BYTES, rowBytes } from './state-stream.ts'

const PAGE_ROWS = 512

type Read = (error: Error | null, bytes: Buffer | null) => void

/** Where a frame starts: in the stream, and in the rows. */
interface FramePlace {
  readonly at: number
  readonly number: number
  readonly from: string
  readonly rowsBefore: number
}

export class ViewSnapshot implements StateSnapshot {
  readonly index: number
  readonly bytes = null
  readonly id: string
  readonly #view: MetadataView
  readonly #mark: AppliedMark
  /** Of all frames that were given, and the next one. */
  readonly #places: FramePlace[] = [{ at: 0, number: 0, from: STATE_FROM, rowsBefore: 0 }]
  /** The frame that was made last. */
  #place: FramePlace | null = null
  #frame: Buffer = Buffer.alloc(0)
  #isLast = false
  #underWay = false
  #closed = false

  constructor(view: MetadataView, mark: AppliedMark) {
    this.#view = view
    this.#mark = mark
    this.index = mark.index
    this.id = `state-1-${mark.index}-${mark.term}`
  }

  read(at: number, bytesMax: number, callback: Read): void {
    assert(!this.#underWay && !this.#closed, 'one piece is read at a time')
    this.#underWay = true
    const give: Read = (error, bytes) => {
      this.#underWay = false
      if (this.#closed) this.#view.close()
      callback(error, bytes)
    }
    const read = (): void => {
      const place = this.#place
      const offset = place === null ? -1 : at - place.at
      if (offset >= 0 && offset < this.#frame.length) return give(null, this.#frame.subarray(offset, offset + bytesMax))
      if (place !== null && this.#isLast && offset === this.#frame.length) return give(null, Buffer.alloc(0))
      const wanted = this.#places.findLast((other) => other.at <= at)
      assert(wanted !== undefined && wanted !== place, 'a stream is read from where it was given')
      this.#make(wanted, (error) => {
        if (error !== null) give(error, null)
        else read()
      })
    }
    // Never from within the call: the head takes no read of the database.
    queueMicrotask(read)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (!this.#underWay) this.#view.close()
  }

  #make(place: FramePlace, callback: (error: Error | null) => void): void {
    if (place.number === 0) {
      this.#made(place, encodeHead(this.#mark), { from: STATE_FROM, rows: 0 })
      return callback(null)
    }
    this.#collect(place.from, [], 0, (error, rows, next) => {
      if (error !== null) return callback(error)
      if (rows.length === 0) this.#made(place, encodeEnd(place.number, place.rowsBefore), null)
      else this.#made(place, encodeRows(place.number, rows), { from: next, rows: rows.length })
      callback(null)
    })
  }

  /** @param rest null after the last frame. */
  #made(place: FramePlace, bytes: Buffer, rest: { readonly from: string; readonly rows: number } | null): void {
    this.#place = place
    this.#frame = bytes
    this.#isLast = rest === null
    if (rest === null || this.#places.length > place.number + 1) return
    const { number, at, rowsBefore } = place
    this.#places.push({
      number: number + 1,
      at: at + bytes.length,
      from: rest.from,
      rowsBefore: rowsBefore + rest.rows,
    })
  }

  /** Gathers the rows of a frame, and says where the next one starts. */
  #collect(
    from: string,
    rows: MetadataRow[],
    bytes: number,
    callback: (error: Error | null, rows: readonly MetadataRow[], next: string) => void,
  ): void {
    this.#view.range({ from, before: STATE_BEFORE, limit: PAGE_ROWS }, (error, page) => {
      if (error !== null) return callback(error, [], from)
      let taken = bytes
      try {
        for (const row of page) {
          const streamed = streamedRow(row)
          if (streamed === null) continue
          rows.push(streamed)
          taken += rowBytes(streamed)
          if (taken >= FRAME_BYTES) return callback(null, rows, `${row.key}\0`)
        }
      } catch (failure) {
        return callback(failure as Error, [], from)
      }
      const last = page[PAGE_ROWS - 1]
      if (last === undefined) return callback(null, rows, STATE_BEFORE)
      this.#collect(`${last.key}\0`, rows, taken, callback)
    })
  }
}
