/**
 * What is kept of all index files beside them, as one value: which files there are, what each covers and its checksums. A file
 * counts for what this says of it, whatever the file itself says.
 */
import { Packr } from 'msgpackr'
import { StoreError } from '../errors.ts'
import { IndexFile, type IndexFilePlace, type IndexPlace } from './index-file.ts'
import { isIndexFileName } from './file-name.ts'
import type { IndexShape } from './layout.ts'

/** Where it is kept in the metadata. */
export const KEY_INDEX_KEY = 'keyindex'
const RECORD_VERSION = 1

const packr = new Packr({ useRecords: false, variableMapSize: true })

export function encodeIndexRecord(shape: IndexShape, files: readonly IndexFile[]): Buffer {
  const rows = files.map((file) => {
    const { header, entriesCrc } = file.written
    return {
      name: file.name,
      isSealed: file.state !== 'open',
      startIndex: file.start.index,
      startPos: file.start.pos,
      startKey: file.start.key,
      endIndex: file.end.index,
      endPos: file.end.pos,
      endKey: file.end.key,
      entriesCrc,
      slotsCrc: file.slotsCrc,
      ...header,
    }
  })
  return packr.pack({ v: RECORD_VERSION, ...shape, files: rows }) as Buffer
}

/**
 * @returns the files, oldest first; undefined for those of another shape, which are of no use.
 * @throws StoreError UNSUPPORTED for a newer format, CORRUPT.
 */
export function decodeIndexRecord(value: Buffer, options: IndexFilePlace): IndexFile[] | undefined {
  const content = unpacked(value)
  const { v, slotCount, entryCountMax, files } = content
  if (v !== RECORD_VERSION) {
    const what = `the key index has format ${JSON.stringify(v)}; this program knows format ${RECORD_VERSION}`
    throw new StoreError(what, { code: 'UNSUPPORTED', what })
  }
  if (slotCount !== options.shape.slotCount || entryCountMax !== options.shape.entryCountMax) return undefined
  if (!Array.isArray(files)) throw damaged('it names no files')
  let end: IndexPlace | null = null
  return files.map((row: unknown) => {
    const file = fileOf(row, options)
    if (end !== null && (file.start.index !== end.index || file.start.key !== end.key))
      throw damaged('its files leave a gap')
    end = file.end
    return file
  })
}

function fileOf(row: unknown, options: IndexFilePlace): IndexFile {
  if (typeof row !== 'object' || row === null) throw damaged('a file is no map')
  const fields = row as Record<string, unknown>
  const { name, isSealed } = fields
  if (typeof name !== 'string' || !isIndexFileName(name) || typeof isSealed !== 'boolean')
    throw damaged('a file has no name')
  const count = (field: string): number => {
    const number = fields[field]
    if (!Number.isSafeInteger(number) || (number as number) < 0) throw damaged(`${field} is no number`)
    return number as number
  }
  const start = { index: count('startIndex'), pos: count('startPos'), key: count('startKey') }
  const file = new IndexFile(options, { name, start, state: isSealed ? 'sealed' : 'open' })
  file.end = { index: count('endIndex'), pos: count('endPos'), key: count('endKey') }
  file.slotsCrc = count('slotsCrc')
  file.written = {
    header: {
      beginTimestamp: count('beginTimestamp'),
      endTimestamp: count('endTimestamp'),
      beginOffset: count('beginOffset'),
      endOffset: count('endOffset'),
      usedSlots: count('usedSlots'),
      entryCount: count('entryCount'),
    },
    entriesCrc: count('entriesCrc'),
  }
  return file
}

function unpacked(value: Buffer): Record<string, unknown> {
  let content: unknown
  try {
    content = packr.unpack(value)
  } catch (cause) {
    throw damaged('it is not msgpack', cause)
  }
  if (typeof content !== 'object' || content === null) throw damaged('it is no map')
  return content as Record<string, unknown>
}

function damaged(why: string, cause?: unknown): StoreError {
  const what = `what is kept of the key index is damaged: ${why}`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
}
