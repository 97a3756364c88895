/**
 * A member's log as an outsider reads it from the simulated drive: written from the file layout alone, sharing no code with
 * the log under test, so that both would have to be wrong in the same way.
 *
 *   0       4      8       16      24      32        36         40        44         48
 *   | magic | size | index | term  | pos   | channel | chainCrc | bodyCrc | bodySize | body …
 *
 * Two views: what the page cache shows, and what is durable (what a power loss leaves at the very least). Incremental: only
 * what changed since the last look is read again.
 */
import { crc32, readInt64 } from '@dledger-ts/base'
import type { NamedThing, SimDrive } from './sim-drive.ts'
import type { Inode } from './sim-inode.ts'

const HEADER_BYTES = 48
const BLANK_BYTES = 8

export interface ImageEntry {
  readonly index: number
  readonly term: number
  readonly pos: number
  readonly size: number
  readonly channel: number
  /** Identifies the entry and all before it. */
  readonly chain: number
  readonly bodyCrc: number
}

export interface ImageChange {
  /** Entries from here on were read again; the count of entries when nothing changed. */
  readonly from: number
  /** What stood there before. */
  readonly before: readonly ImageEntry[]
}

const NOTHING: readonly ImageEntry[] = []

export class LogImage {
  readonly #drive: SimDrive
  readonly #dataDirectory: string
  readonly #fileBytes: number
  readonly #durable: boolean
  readonly #files = new Map<number, Inode>()
  readonly #header = Buffer.alloc(HEADER_BYTES)
  readonly #body: Buffer
  #namesVersion = -1
  /** Entry `i` of the log is at `i`: no log is trimmed here. */
  readonly entries: ImageEntry[] = []

  constructor(drive: SimDrive, dataDirectory: string, options: { fileBytes: number; view: 'cache' | 'durable' }) {
    this.#drive = drive
    this.#dataDirectory = dataDirectory
    this.#fileBytes = options.fileBytes
    this.#durable = options.view === 'durable'
    this.#body = Buffer.alloc(options.fileBytes)
  }

  get lastIndex(): number {
    return this.entries.length - 1
  }

  /** Where the last entry ends. */
  get endPos(): number {
    const last = this.entries.at(-1)
    return last === undefined ? 0 : last.pos + last.size
  }

  refresh(): ImageChange {
    const view = this.#durable ? 'durable' : 'cache'
    if (!this.#drive.marks[view]) return { from: this.entries.length, before: NOTHING }
    this.#drive.marks[view] = false
    const changedFrom = this.#changedFrom()
    if (changedFrom === Number.POSITIVE_INFINITY) return { from: this.entries.length, before: NOTHING }
    let from = this.entries.length
    while (from > 0 && end(this.entries[from - 1] as ImageEntry) > changedFrom) from--
    const before = from < this.entries.length ? this.entries.splice(from) : NOTHING
    this.#readOn()
    return { from, before }
  }

  #changedFrom(): number {
    let changedFrom = Number.POSITIVE_INFINITY
    if (this.#namesVersion !== this.#drive.namesVersion) changedFrom = this.#findFiles()
    for (const [start, inode] of this.#files) {
      const inFile = this.#durable ? inode.durableChangedFrom : inode.cacheChangedFrom
      if (inFile === Number.POSITIVE_INFINITY) continue
      changedFrom = Math.min(changedFrom, start + inFile)
      if (this.#durable) inode.durableChangedFrom = Number.POSITIVE_INFINITY
      else inode.cacheChangedFrom = Number.POSITIVE_INFINITY
    }
    return changedFrom
  }

  /** Looks for data files that came, went or are others now. @returns the lowest place that this touches. */
  #findFiles(): number {
    this.#namesVersion = this.#drive.namesVersion
    const names = this.#durable ? this.#drive.durableNames : this.#drive.names
    let changedFrom = Number.POSITIVE_INFINITY
    const found = new Map<number, Inode>()
    const prefix = `${this.#dataDirectory}/`
    for (const [path, thing] of names) if (path.startsWith(prefix)) this.#note(found, path.slice(prefix.length), thing)
    for (const [start, inode] of found) if (this.#files.get(start) !== inode) changedFrom = Math.min(changedFrom, start)
    for (const start of this.#files.keys()) if (!found.has(start)) changedFrom = Math.min(changedFrom, start)
    this.#files.clear()
    for (const [start, inode] of found) this.#files.set(start, inode)
    return changedFrom
  }

  #note(found: Map<number, Inode>, name: string, thing: NamedThing): void {
    if (thing !== 'directory' && name.length === 20) found.set(Number(name), thing)
  }

  #readOn(): void {
    for (;;) {
      const last = this.entries.at(-1)
      const entry = this.#entryAt(last === undefined ? 0 : end(last), last)
      if (entry === null) return
      this.entries.push(entry)
    }
  }

  #entryAt(at: number, last: ImageEntry | undefined): ImageEntry | null {
    const fileBytes = this.#fileBytes
    let pos = at
    const rest = fileBytes - (pos % fileBytes)
    const header = this.#header
    if (rest < fileBytes && rest >= BLANK_BYTES) {
      this.#read(header.subarray(0, BLANK_BYTES), pos)
      if (header.readInt32BE(0) === -1 && header.readInt32BE(4) === rest) pos += rest
    }
    const room = fileBytes - (pos % fileBytes)
    if (room < HEADER_BYTES) return null
    this.#read(header, pos)
    const size = header.readInt32BE(4)
    if (header.readInt32BE(0) !== 1 || size < HEADER_BYTES || size + BLANK_BYTES > room) return null
    if (header.readInt32BE(44) !== size - HEADER_BYTES) return null
    const index = readInt64(header, 8)
    const term = readInt64(header, 16)
    if (index !== this.entries.length || readInt64(header, 24) !== pos) return null
    if (last !== undefined && term < last.term) return null
    const chain = header.readUInt32BE(36)
    const channel = header.readInt32BE(32)
    const bodyCrc = header.readUInt32BE(40)
    header.writeUInt32BE(0, 36)
    if (crc32(header, 0, HEADER_BYTES, last === undefined ? 0 : last.chain) !== chain) return null
    const body = this.#body.subarray(0, size - HEADER_BYTES)
    this.#read(body, pos + HEADER_BYTES)
    if (crc32(body) !== bodyCrc) return null
    return { index, term, pos, size, channel, chain, bodyCrc }
  }

  /** Reads within one file; what is not there is zero. */
  #read(target: Buffer, pos: number): void {
    const start = pos - (pos % this.#fileBytes)
    const inode = this.#files.get(start)
    if (inode === undefined) target.fill(0)
    else (this.#durable ? inode.durable : inode.cache).read(target, pos - start)
  }
}

function end(entry: ImageEntry): number {
  return entry.pos + entry.size
}
