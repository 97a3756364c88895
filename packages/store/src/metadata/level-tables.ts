/**
 * Checks the tables of a LevelDB database: its library asserts on what it reads there, so one flipped byte would end the process.
 *
 *   table    data blocks … | filter | metaindex | index | footer 48
 *   block    content | type 1 (0 plain, 1 snappy) | masked CRC-32C of both 4, little-endian
 *   footer   place of metaindex, of index (varints) | zeros | magic 8
 *
 * Keeps: a table that passes has every byte of its blocks as it was written. What is not in tables (log, manifest) LevelDB checks itself.
 *
 * Source: leveldb 1.20, doc/table_format.md, table/format.cc, util/crc32c.h.
 */
const FOOTER_BYTES = 48
const TRAILER_BYTES = 5
const MAGIC = Buffer.from('57fb808b247547db', 'hex')
const PLAIN = 0
const SNAPPY = 1

const SLICES = 8
const TABLES = Array.from({ length: SLICES }, () => new Int32Array(256))
for (let n = 0; n < 256; n++) {
  let c = n
  for (let bit = 0; bit < 8; bit++) c = (c & 1) === 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1
  ;(TABLES[0] as Int32Array)[n] = c
}
for (let slice = 1; slice < SLICES; slice++) {
  const before = TABLES[slice - 1] as Int32Array
  for (let n = 0; n < 256; n++) {
    const c = before[n] as number
    ;(TABLES[slice] as Int32Array)[n] = ((TABLES[0] as Int32Array)[c & 0xff] as number) ^ (c >>> 8)
  }
}
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/** What is wrong with a table. */
class BadTable extends Error {}

interface Place {
  readonly at: number
  readonly size: number
}

/** @returns what is wrong with a table file's bytes; null when nothing is. */
export function findTableDamage(table: Buffer): string | null {
  try {
    checkTable(table)
    return null
  } catch (error) {
    if (error instanceof BadTable) return error.message
    // What damaged places lead to: beyond the end of a buffer.
    if (error instanceof RangeError) return 'a length in it leads beyond its end'
    throw error
  }
}

/** CRC-32C (Castagnoli) of `bytes[from, to)`. */
export function crc32c(bytes: Buffer, from: number, to: number): number {
  let c = -1
  let at = from
  for (; at + SLICES <= to; at += SLICES) {
    const low = c ^ bytes.readInt32LE(at)
    c =
      (T7[low & 0xff] as number) ^
      (T6[(low >>> 8) & 0xff] as number) ^
      (T5[(low >>> 16) & 0xff] as number) ^
      (T4[low >>> 24] as number) ^
      (T3[bytes[at + 4] as number] as number) ^
      (T2[bytes[at + 5] as number] as number) ^
      (T1[bytes[at + 6] as number] as number) ^
      (T0[bytes[at + 7] as number] as number)
  }
  for (; at < to; at++) c = (T0[(c ^ (bytes[at] as number)) & 0xff] as number) ^ (c >>> 8)
  return ~c >>> 0
}

function checkTable(table: Buffer): void {
  const footerAt = table.length - FOOTER_BYTES
  if (footerAt < 0 || !table.subarray(-MAGIC.length).equals(MAGIC)) throw new BadTable('it does not end as a table')
  const footer = new Reader(table, footerAt)
  const metaindex = footer.place()
  const index = footer.place()
  // Blocks stand one behind the other: what is in none would be in no checksum.
  let end = 0
  const takeBlock = (place: Place): Buffer => {
    if (place.at !== end) throw new BadTable(`no block begins at its byte ${end}`)
    end = place.at + place.size + TRAILER_BYTES
    return blockOf(table, place)
  }
  for (const place of placesIn(blockOf(table, index))) takeBlock(place)
  for (const place of placesIn(blockOf(table, metaindex))) takeBlock(place)
  takeBlock(metaindex)
  takeBlock(index)
  if (end !== footerAt) throw new BadTable(`something stands at its byte ${end}`)
}

/** @returns the content as it stands there. @throws BadTable. */
function blockOf(table: Buffer, { at, size }: Place): Buffer {
  const trailerAt = at + size
  if (trailerAt + TRAILER_BYTES > table.length - FOOTER_BYTES) throw new BadTable('a block is beyond its end')
  const crc = crc32c(table, at, trailerAt + 1)
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
  if (masked !== table.readUInt32LE(trailerAt + 1)) throw new BadTable(`the block at its byte ${at} is damaged`)
  return table.subarray(at, trailerAt + 1)
}

/** The places that an index block names, in order. @param block with its type. */
function placesIn(block: Buffer): Place[] {
  const type = block[block.length - 1]
  const stored = block.subarray(0, -1)
  if (type !== PLAIN && type !== SNAPPY) throw new BadTable(`a block is of type ${type}`)
  const content = type === SNAPPY ? unpacked(stored) : stored
  const restarts = content.readUInt32LE(content.length - 4)
  const end = content.length - 4 - 4 * restarts
  if (end < 0) throw new BadTable('an index has more restarts than bytes')
  const places: Place[] = []
  const reader = new Reader(content, 0)
  while (reader.at < end) {
    reader.varint()
    const keyBytes = reader.varint()
    const valueBytes = reader.varint()
    reader.at += keyBytes
    const value = reader.at
    places.push(reader.place())
    reader.at = value + valueBytes
  }
  return places
}

class Reader {
  at: number
  readonly #bytes: Buffer

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  place(): Place {
    return { at: this.varint(), size: this.varint() }
  }

  /** @throws RangeError at the end of the bytes. */
  varint(): number {
    let value = 0
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = this.#bytes.readUInt8(this.at++)
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw new BadTable('a number in it is too large')
  }
}

/** Snappy's raw format: literals and copies of what came before. */
function unpacked(packed: Buffer): Buffer {
  const reader = new Reader(packed, 0)
  const size = reader.varint()
  if (size > 64 * packed.length) throw new BadTable('a packed block cannot be so large')
  const target = Buffer.alloc(size)
  let to = 0
  while (reader.at < packed.length) {
    const tag = packed.readUInt8(reader.at++)
    const kind = tag & 3
    if (kind === 0) {
      let length = (tag >>> 2) + 1
      if (length > 60) {
        const bytes = length - 60
        length = packed.readUIntLE(reader.at, bytes) + 1
        reader.at += bytes
      }
      if (reader.at + length > packed.length || to + length > size) throw new BadTable('a packed block does not add up')
      to += packed.copy(target, to, reader.at, reader.at + length)
      reader.at += length
      continue
    }
    const offsetBytes = kind === 3 ? 4 : kind
    const low = packed.readUIntLE(reader.at, offsetBytes)
    reader.at += offsetBytes
    const offset = kind === 1 ? ((tag >>> 5) << 8) | low : low
    const length = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    if (offset === 0 || offset > to || to + length > size) throw new BadTable('a packed block does not add up')
    for (let i = 0; i < length; i++, to++) target[to] = target[to - offset] as number
  }
  if (to !== size) throw new BadTable('a packed block does not add up')
  return target
}
