/**
 * Builds the leader's entries: places, bodies encoded in place, checksums, headers. The bytes made here are the bytes on
 * every member's disk and wire.
 */
import { assert, crc32 } from '@dledger-ts/base'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from '../log/entry-batch.ts'
import { encodeEntryHeader } from '../log/entry-codec.ts'
import { placeEntry } from '../log/layout.ts'
import type { ControlEnvelope, ControlKind } from '../state-machine.ts'

const CHANNELS: Readonly<Record<ControlKind, number>> = {
  noop: EntryChannel.NOOP,
  configuration: EntryChannel.CONFIGURATION,
  trim: EntryChannel.TRIM,
}

/** The end of the log, to which entries are added. */
export interface LogEnd {
  readonly lastIndex: number
  readonly endPos: number
  readonly lastChain: number
  readonly fileBytes: number
}

export class BatchBuilder {
  readonly #end: LogEnd
  readonly #envelope: ControlEnvelope

  constructor(end: LogEnd, envelope: ControlEnvelope) {
    this.#end = end
    this.#envelope = envelope
  }

  /**
   * @param sizes whole entry sizes, headers included.
   * @param encodeBody writes the body of the i-th entry at `bodyAt`; `pos` is the entry's place in the log. Hot.
   */
  build(
    firstIndex: number,
    term: number,
    sizes: readonly number[],
    encodeBody: (i: number, target: Buffer, bodyAt: number, pos: number) => void,
    channel: number = EntryChannel.DATA,
  ): EntryBatch {
    let total = 0
    for (const size of sizes) total += size
    // Never from Node's shared pool: these bytes are kept long, and a slice would keep its whole slab.
    const bytes = Buffer.allocUnsafeSlow(total)
    const positions: number[] = []
    let endPos = this.#end.endPos
    let at = 0
    // One for all of them: what is allocated for each entry is what a busy leader collects.
    const fields = {
      size: 0,
      index: firstIndex,
      term,
      pos: endPos,
      channel,
      bodyCrc: 0,
      prevChain: this.#end.lastChain,
    }
    for (let i = 0; i < sizes.length; i++) {
      const size = sizes[i] as number
      const pos = placeEntry(endPos, size, this.#end.fileBytes)
      encodeBody(i, bytes, at + ENTRY_HEADER_BYTES, pos)
      fields.size = size
      fields.index = firstIndex + i
      fields.pos = pos
      fields.bodyCrc = crc32(bytes, at + ENTRY_HEADER_BYTES, at + size)
      fields.prevChain = encodeEntryHeader(bytes, at, fields)
      positions.push(pos)
      endPos = pos + size
      at += size
    }
    return { firstIndex, term, count: sizes.length, positions, sizes, bytes }
  }

  /** Builds a control entry, dressed by the embedder's envelope, as the next one of the log. */
  wrapControl(kind: ControlKind, payload: Buffer, term: number): EntryBatch {
    const index = this.#end.lastIndex + 1
    let pos = this.#end.endPos
    let body = this.#envelope.wrap(kind, payload, { index, term, pos })
    const size = ENTRY_HEADER_BYTES + body.length
    const placed = placeEntry(this.#end.endPos, size, this.#end.fileBytes)
    if (placed !== pos) {
      pos = placed
      body = this.#envelope.wrap(kind, payload, { index, term, pos })
      assert(ENTRY_HEADER_BYTES + body.length === size, 'the size of a control entry does not depend on its place')
    }
    return this.build(index, term, [size], (_, target, bodyAt) => body.copy(target, bodyAt), CHANNELS[kind])
  }
}

/** Apache's DLedger reads no entry without a body. */
const NO_PAYLOAD = Buffer.alloc(1)

/** Control entries as their bare payload, or one zero byte. */
export const bareEnvelope: ControlEnvelope = {
  wrap: (_, payload) => (payload.length === 0 ? NO_PAYLOAD : payload),
  unwrap: (body) => body,
}
