/**
 * A member's log as an outsider reads it from the simulated drive: written from the file layout alone, sharing no code with
 * the log under test, so that both would have to be wrong in the same way.
 *
 *   0       4      8       16      24      32        36         40        44         48
 *   | magic | size | index | term  | pos   | channel | chainCrc | bodyCrc | bodySize | body …
 *
 * A log whose head was trimmed counts as holding what is gone: `committed` entries up to the one that its hard state names.
 *
 * A received log that is about to take the place of the own one (SWITCHING) counts already, wherever its files stand.
 *
 * Two views: what the page cache shows, and what is durable (what a power loss leaves at the very least). Incremental: only
 * what changed since the last look is read again.
 */
import { crc32, readInt64 } from '@dledger-ts/base'
import type { HardStateImage, Place } from './hard-state-image.ts'
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
  /** Entries from here on were read again; no entry is there when nothing changed. */
  readonly from: number
  /** What stood there before. */
  readonly before: readonly ImageEntry[]
}

interface LogImageOptions {
  readonly fileBytes: number
  readonly view: 'cache' | 'durable'
  /** In the same view. */
  readonly hardState: HardStateImage
  /** Every entry that was ever committed, by index. */
  readonly committed: () => readonly ImageEntry[]
}

const NOTHING: readonly ImageEntry[] = []
const NO_CHANGE: ImageChange = { from: Number.POSITIVE_INFINITY, before: NOTHING }

/** Only while an entry is looked at; of all images. */
const HEADER = Buffer.alloc(HEADER_BYTES)
const BLANK = HEADER.subarray(0, BLANK_BYTES)
let body = Buffer.alloc(0)

export class LogImage {
  readonly #drive: SimDrive
  readonly #dataDirectory: string
  readonly #incomingDirectory: string
  /** Of a received log that counts already: its files lie in this range. */
  #arriving: { readonly from: number; readonly to: number } | null = null
  readonly #hardState: HardStateImage
  readonly #committed: () => readonly ImageEntry[]
  readonly #fileBytes: number
  readonly #durable: boolean
  readonly #files = new Map<number, Inode>()
  #namesVersion = -1
  /** Entries below are gone from the files, and count as held. */
  firstIndex = 0
  /** Entry `i` of the log is at `i`. */
  readonly entries: ImageEntry[] = []

  constructor(drive: SimDrive, directory: string, options: LogImageOptions) {
    this.#drive = drive
    this.#dataDirectory = `${directory}/data`
    this.#incomingDirectory = `${directory}/incoming/data`
    this.#hardState = options.hardState
    this.#committed = options.committed
    this.#fileBytes = options.fileBytes
    this.#durable = options.view === 'durable'
    if (body.length < options.fileBytes) body = Buffer.alloc(options.fileBytes)
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
    if (!this.#drive.marks[view]) return NO_CHANGE
    this.#drive.marks[view] = false
    const { beforeFirst, incoming } = this.#hardState.read()
    const arrives = incoming?.phase === 'SWITCHING'
    if (arrives !== (this.#arriving !== null)) this.#namesVersion = -1
    this.#arriving = arrives ? this.#rangeOf(incoming.beforeFirst, incoming.hint) : null
    const base = arrives ? incoming.beforeFirst : beforeFirst
    const firstIndex = (base?.index ?? -1) + 1
    const moved = firstIndex !== this.firstIndex
    // Another disk, or an older image of it: what it had trimmed counts as held no longer.
    const goesBack = firstIndex < this.firstIndex
    this.firstIndex = firstIndex
    const changed = this.#changedFrom()
    const changedFrom = goesBack ? 0 : changed
    if (changedFrom === Number.POSITIVE_INFINITY && !moved) return NO_CHANGE
    let from = this.entries.length
    while (from > this.firstIndex && end(this.entries[from - 1] as ImageEntry) > changedFrom) from--
    // Another base than what was held there: the log came from elsewhere.
    if (base !== null && this.entries[base.index]?.chain !== base.chain) from = this.#commonWith(base.index, base.chain)
    const before = from < this.entries.length ? this.entries.splice(from) : NOTHING
    if (this.#extendToBase(base?.index ?? -1, base?.chain ?? 0)) this.#readOn()
    return { from, before }
  }

  /** How many entries are as committed, up to the base of a log that was replaced. */
  #commonWith(index: number, chain: number): number {
    const committed = this.#committed()
    if (committed[index]?.chain !== chain) return 0
    let count = Math.min(this.entries.length, index + 1)
    while (count > 0 && this.entries[count - 1]?.chain !== committed[count - 1]?.chain) count--
    return count
  }

  /** @returns false when the entry before the first one is not what was committed there: then nothing counts as held. */
  #extendToBase(index: number, chain: number): boolean {
    const committed = this.#committed()
    while (this.entries.length <= index) {
      const entry = committed[this.entries.length]
      if (entry === undefined) break
      this.entries.push(entry)
    }
    if (index < 0 || this.entries[index]?.chain === chain) return true
    this.entries.length = 0
    return false
  }

  bodyOf(entry: ImageEntry): Buffer {
    const bytes = Buffer.alloc(entry.size - HEADER_BYTES)
    this.#read(bytes, entry.pos + HEADER_BYTES)
    return bytes
  }

  #changedFrom(): number {
    let changedFrom = Number.POSITIVE_INFINITY
    const { namesVersion, durableNamesVersion } = this.#drive
    if (this.#namesVersion !== (this.#durable ? durableNamesVersion : namesVersion)) changedFrom = this.#findFiles()
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
    this.#namesVersion = this.#durable ? this.#drive.durableNamesVersion : this.#drive.namesVersion
    const names = this.#durable ? this.#drive.durableNames : this.#drive.names
    let changedFrom = Number.POSITIVE_INFINITY
    const found = new Map<number, Inode>()
    const prefix = `${this.#dataDirectory}/`
    for (const [path, thing] of names) if (path.startsWith(prefix)) this.#note(found, path.slice(prefix.length), thing)
    if (this.#arriving !== null) this.#findArriving(found)
    for (const [start, inode] of found) if (this.#files.get(start) !== inode) changedFrom = Math.min(changedFrom, start)
    for (const start of this.#files.keys()) if (!found.has(start)) changedFrom = Math.min(changedFrom, start)
    this.#files.clear()
    for (const [start, inode] of found) this.#files.set(start, inode)
    return changedFrom
  }

  #findArriving(found: Map<number, Inode>): void {
    const { from, to } = this.#arriving as { from: number; to: number }
    for (const start of found.keys()) if (start < from || start > to) found.delete(start)
    const prefix = `${this.#incomingDirectory}/`
    const names = this.#durable ? this.#drive.durableNames : this.#drive.names
    for (const [path, thing] of names) if (path.startsWith(prefix)) this.#note(found, path.slice(prefix.length), thing)
  }

  #rangeOf(before: Place, last: Place | null): { readonly from: number; readonly to: number } {
    const fileBytes = this.#fileBytes
    const end = last?.endPos ?? before.endPos
    return { from: Math.ceil(before.endPos / fileBytes) * fileBytes, to: end - (end % fileBytes) }
  }

  #note(found: Map<number, Inode>, name: string, thing: NamedThing): void {
    if (thing !== 'directory' && name.length === 20) found.set(Number(name), thing)
  }

  #readOn(): void {
    for (;;) {
      const last = this.entries.at(-1)
      const entry = this.#entryAt(this.#after(last), last)
      if (entry === null) return
      this.entries.push(entry)
    }
  }

  /** Where the entry after `last` is looked for: in the next file, where the one before was trimmed away. */
  #after(last: ImageEntry | undefined): number {
    if (last === undefined) return 0
    const at = end(last)
    const start = at - (at % this.#fileBytes)
    return last.index === this.firstIndex - 1 && !this.#files.has(start) ? start + this.#fileBytes : at
  }

  #entryAt(at: number, last: ImageEntry | undefined): ImageEntry | null {
    const fileBytes = this.#fileBytes
    let pos = at
    const rest = fileBytes - (pos % fileBytes)
    const header = HEADER
    if (rest < fileBytes && rest >= BLANK_BYTES) {
      this.#read(BLANK, pos)
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
    const bodyBytes = size - HEADER_BYTES
    this.#read(body.subarray(0, bodyBytes), pos + HEADER_BYTES)
    if (crc32(body, 0, bodyBytes) !== bodyCrc) return null
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
