/**
 * Which tables a LevelDB database consists of, as its manifest says: others that lie there were begun before a crash, or are done with.
 *
 *   manifest  records in blocks of 32 KiB: masked CRC-32C 4 | length 2 | type 1 (whole, first, middle, last) | content
 *   content   changes: tag, fields …; 7 adds a table (level, number, size, first key, last key), 6 takes one away (level, number)
 *
 * Keeps: it is read as far as it can be; what is wrong with it LevelDB finds out itself.
 *
 * Source: leveldb 1.20, doc/log_format.md, db/version_edit.cc.
 */
const BLOCK_BYTES = 32 * 1024
const HEADER_BYTES = 7
const WHOLE = 1
const FIRST = 2
const LAST = 4

/** Sizes of the tables that are in use, by number. */
export function tablesOf(manifest: Buffer): ReadonlyMap<number, number> {
  const tables = new Map<number, number>()
  try {
    for (const content of recordsOf(manifest)) applyChanges(content, tables)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  return tables
}

function* recordsOf(manifest: Buffer): Generator<Buffer, void, undefined> {
  let parts: Buffer[] = []
  for (let at = 0; at + HEADER_BYTES <= manifest.length;) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (left < HEADER_BYTES) {
      at += left
      continue
    }
    const bytes = manifest.readUInt16LE(at + 4)
    const type = manifest.readUInt8(at + 6)
    const content = manifest.subarray(at + HEADER_BYTES, at + HEADER_BYTES + bytes)
    if (type < WHOLE || type > LAST) return
    if (type === WHOLE || type === FIRST) parts = []
    parts.push(content)
    if (type === WHOLE || type === LAST) yield Buffer.concat(parts)
    at += HEADER_BYTES + bytes
  }
}

/** @throws RangeError at the end of the bytes. */
function applyChanges(content: Buffer, tables: Map<number, number>): void {
  let at = 0
  const number = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = content.readUInt8(at++)
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  const skipText = (): void => {
    const bytes = number()
    at += bytes
  }
  while (at < content.length) {
    switch (number()) {
      case 1:
        skipText()
        break
      case 2:
      case 3:
      case 4:
      case 9:
        number()
        break
      case 5:
        number()
        skipText()
        break
      case 6:
        number()
        tables.delete(number())
        break
      case 7: {
        number()
        const table = number()
        tables.set(table, number())
        skipText()
        skipText()
        break
      }
      default:
        return
    }
  }
}
