/**
 * What a member must remember beside its log: records in two slots that are written in turn, each in two copies.
 *
 *   0        4096     8192     12288    16384
 *   | slot 0 | slot 1 | copy 0 | copy 1 |
 *
 *   record:  0       4         8          16      20       24
 *            | magic | version | sequence | bytes | crc32  | content (JSON) … zeros |
 *
 * `crc32` covers the 20 bytes before it and the content. The valid record with the highest sequence counts. Records of version 1 have
 * no copy: files of an older program, which get copies when they are opened. Those of version 3 hold the content deflated: what a slot
 * does not take as text, as that of a group with long names whose configuration stands there twice.
 *
 * Keeps:
 *   H1  a write goes to the slot that does not count and to its copy, so a torn write leaves the state before it.
 *   H2  a callback comes when its state, or a later one, is synced.
 *   H3  without a valid record there is no state: a member that forgot its vote could vote twice.
 *   H4  before the slot that does not count is overwritten, the one that counts is on the disk.
 *   H5  a state that was told durable is there twice, far apart: damage of one record never brings an older state back. What counts
 *       and has lost a copy gets it back when it is opened.
 *   H6  the file has all its room from the beginning. Where a write finds none all the same (a file system that writes nothing in place,
 *       a quota), nobody is told anything: it waits for `retryFull`, at the same slot. Only a synchronous one cannot wait.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { assert, crc32, readInt64, writeInt64 } from '@dledger-ts/base'
import { type Disk, type DiskCallback, type DiskFile, isDiskFull } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { decodeHardState, type HardState } from './hard-state-codec.ts'

export type { HardState, KnownPeer } from './hard-state-codec.ts'

const SLOT_BYTES = 4096
const MAGIC_AT = 0
const VERSION_AT = MAGIC_AT + 4
const SEQUENCE_AT = VERSION_AT + 4
const CONTENT_BYTES_AT = SEQUENCE_AT + 8
const CRC_AT = CONTENT_BYTES_AT + 4
const CONTENT_AT = CRC_AT + 4
export const HARD_STATE_CONTENT_BYTES_MAX = SLOT_BYTES - CONTENT_AT
/** "DLHS" */
const MAGIC = 0x444c4853
export const HARD_STATE_VERSION = 3
const PLAIN_VERSION = 2
const DEFLATED_VERSION = 3
/** Of the text that is deflated: as much as sixteen members with the longest names and addresses take, twice. */
const DEFLATED_FROM_BYTES_MAX = 64 * 1024
/** Records of this version and earlier ones were written once. */
const UNCOPIED_VERSION = 1
/** From a slot to its copy. */
const COPY_AT = 2 * SLOT_BYTES
const FILE_BYTES = 4 * SLOT_BYTES

export class HardStateFile {
  readonly #file: DiskFile
  #state: HardState
  #sequence: number
  /** The slot that counts. */
  #slot: number
  /** The record as it was read, and where it ought to stand too and does not; null: it does. */
  readonly #read: { readonly record: Buffer; readonly lacksCopyAt: number | null }
  /** One of the two copies of what was read was not good. */
  readonly wasDamaged: boolean
  #underWay = false
  #closing = false
  #waiting: DiskCallback[] = []
  /** What is due found no room: it waits for `retryFull`. */
  #full = false
  #failsWhenFull = false

  /**
   * @param readsCopies simulation only: false leaves the copies out.
   * @returns null when there is no such file.
   * @throws DLedgerError `CORRUPT` when no slot is valid, `INVALID` when a newer format wrote it; nothing is changed.
   */
  static openSync(disk: Disk, path: string, { readsCopies = true } = {}): HardStateFile | null {
    if (!disk.existsSync(path)) return null
    const file = disk.openSync(path, { create: false })
    try {
      const bytes = Buffer.alloc(FILE_BYTES)
      file.readSync(bytes, 0)
      const found = newest(bytes.subarray(0, readsCopies ? FILE_BYTES : COPY_AT), path)
      if (found === null) {
        throw new DLedgerError(`${path} has no valid slot: this member does not know its vote, so it will not vote`, {
          code: 'CORRUPT',
          file: path,
          at: 0,
        })
      }
      return new HardStateFile(file, bytes, found)
    } catch (error) {
      file.closeSync()
      throw error
    }
  }

  /** Makes the file, whole or not at all; durable when it returns. */
  static createSync(disk: Disk, path: string, state: HardState): HardStateFile {
    const fresh = `${path}.new`
    const file = disk.openSync(fresh, { create: true })
    try {
      file.truncateSync(0)
      // All of it has its room from the beginning: a vote never meets a full disk.
      const first = encodeRecord(state, 0)
      const empty = Buffer.alloc(SLOT_BYTES)
      file.writeSync(Buffer.concat([first, empty, first, empty]), 0)
      file.syncSync()
    } finally {
      file.closeSync()
    }
    disk.renameSync(fresh, path)
    disk.syncDirectorySync(path.slice(0, Math.max(path.lastIndexOf('/'), 1)))
    const made = HardStateFile.openSync(disk, path)
    assert(made !== null, 'a file just made is there')
    return made
  }

  private constructor(file: DiskFile, bytes: Buffer, { state, sequence, version, at }: Found) {
    this.#file = file
    this.#state = state
    this.#sequence = sequence
    this.#slot = (at / SLOT_BYTES) % 2
    const lacksCopyAt = whereNotCopied(bytes, at)
    this.#read = { record: bytes.subarray(at, at + SLOT_BYTES), lacksCopyAt }
    this.wasDamaged = lacksCopyAt !== null && version > UNCOPIED_VERSION
  }

  /** The newest one handed in, durable or on its way. */
  get state(): HardState {
    return this.#state
  }

  /** The last write found no room on the disk; whoever waits for it is told nothing before one does. */
  get isFull(): boolean {
    return this.#full
  }

  /** Room may have come back: what found none is tried again. */
  retryFull(): void {
    if (this.#full && !this.#underWay) this.#writeNext()
  }

  /** For a stop: what waits for room is given up and told to nobody, and what finds none from here on fails. */
  stopWaiting(): void {
    this.#failsWhenFull = true
    if (!this.#full || this.#underWay) return
    this.#full = false
    this.#waiting = []
  }

  /**
   * Makes `state` durable. Those handed in while a write is under way, or waits for room, share the next one, which writes the last
   * of them.
   */
  write(state: HardState, callback: DiskCallback): void {
    assert(!this.#closing, 'a closed hard state is not written')
    this.#state = state
    this.#waiting.push(callback)
    if (!this.#underWay && !this.#full) this.#writeNext()
  }

  #writeNext(): void {
    const callbacks = this.#waiting
    this.#waiting = []
    this.#underWay = true
    const { bytes, at } = this.#nextRecord()
    let left = 2
    let failure: Error | null = null
    const written: DiskCallback = (error) => {
      // Only want of room is waited for, and only where nothing worse happened.
      if (error !== null && (failure === null || isDiskFull(failure))) failure = error
      if (--left > 0) return
      if (failure === null) return this.#file.sync((error) => this.#written(callbacks, error))
      if (!isDiskFull(failure) || this.#failsWhenFull) return this.#written(callbacks, failure)
      this.#underWay = false
      this.#full = true
      this.#waiting = [...callbacks, ...this.#waiting]
      if (this.#closing) this.#file.closeSync()
    }
    this.#file.write([bytes], at, written)
    this.#file.write([bytes], at + COPY_AT, written)
  }

  #written(callbacks: readonly DiskCallback[], error: Error | null): void {
    this.#underWay = false
    this.#full = false
    if (error === null) this.#slot = 1 - this.#slot
    // Before the callbacks, which may hand in the next state.
    if (this.#waiting.length > 0) this.#writeNext()
    else if (this.#closing) this.#file.closeSync()
    for (const callback of callbacks) callback(error)
  }

  /** As `write`, for opening and closing; not while a write is under way. */
  writeSync(state: HardState): void {
    assert(!this.#underWay, 'a synchronous write waits for the one under way')
    this.#state = state
    const { bytes, at } = this.#nextRecord()
    this.#file.writeSync(bytes, at)
    this.#file.writeSync(bytes, at + COPY_AT)
    this.#file.syncSync()
    this.#slot = 1 - this.#slot
  }

  /** Gives what was read its second copy, where that is not there, and the file all its room; before the first write. */
  mendSync(): void {
    const { record, lacksCopyAt } = this.#read
    if (lacksCopyAt === null) return
    this.#claimRoomSync()
    // Not where the good one stands: a crash here leaves that.
    this.#file.writeSync(record, lacksCopyAt)
    this.#file.syncSync()
  }

  /** A file of version 1 has no copies: where those go it has no blocks. */
  #claimRoomSync(): void {
    const size = this.#file.sizeSync()
    if (size < FILE_BYTES) this.#file.writeSync(Buffer.alloc(FILE_BYTES - size), size)
  }

  /** As `mendSync`, and makes durable what was read: after a sync that failed it may be in the page cache only. */
  rewriteSync(): void {
    const { record } = this.#read
    const at = this.#slot * SLOT_BYTES
    this.#claimRoomSync()
    // The bytes that are there: nothing of a good one is lost on the way.
    this.#file.writeSync(record, at + COPY_AT)
    this.#file.writeSync(record, at)
    this.#file.syncSync()
  }

  /** For the slot that does not count; it does once the record is synced. */
  #nextRecord(): { bytes: Buffer; at: number } {
    this.#sequence++
    return { bytes: encodeRecord(this.#state, this.#sequence), at: (1 - this.#slot) * SLOT_BYTES }
  }

  /** What is under way ends first; what waits for room does not. */
  closeSync(): void {
    this.#closing = true
    if (!this.#underWay) this.#file.closeSync()
  }
}

/** Whether a slot takes it, and so many bytes more. */
export function fitsInSlot(state: HardState, spareBytes = 0): boolean {
  const bytesMax = HARD_STATE_CONTENT_BYTES_MAX - spareBytes
  return encodeContent(state, bytesMax).content.length <= bytesMax
}

/** As text where that has no more bytes. */
function encodeContent(
  state: HardState,
  bytesMax = HARD_STATE_CONTENT_BYTES_MAX,
): { version: number; content: Buffer } {
  const text = Buffer.from(JSON.stringify(state))
  // What is too long to be read again does not fit, however short it gets.
  if (text.length <= bytesMax || text.length > DEFLATED_FROM_BYTES_MAX) return { version: PLAIN_VERSION, content: text }
  return { version: DEFLATED_VERSION, content: deflateRawSync(text) }
}

/** @returns null when it is none. */
function inflated(content: Buffer): Buffer | null {
  try {
    return inflateRawSync(content, { maxOutputLength: DEFLATED_FROM_BYTES_MAX })
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null
    throw error
  }
}

function encodeRecord(state: HardState, sequence: number): Buffer {
  const { version, content } = encodeContent(state)
  assert(content.length <= HARD_STATE_CONTENT_BYTES_MAX, 'the hard state fits in a slot')
  const slot = Buffer.alloc(SLOT_BYTES)
  slot.writeUInt32BE(MAGIC, MAGIC_AT)
  slot.writeUInt32BE(version, VERSION_AT)
  writeInt64(slot, sequence, SEQUENCE_AT)
  slot.writeUInt32BE(content.length, CONTENT_BYTES_AT)
  content.copy(slot, CONTENT_AT)
  slot.writeUInt32BE(slotCrc(slot, content.length), CRC_AT)
  return slot
}

function slotCrc(slot: Buffer, contentBytes: number): number {
  return crc32(slot, CONTENT_AT, CONTENT_AT + contentBytes, crc32(slot, 0, CRC_AT))
}

interface Found {
  readonly state: HardState
  readonly sequence: number
  readonly version: number
  /** Where it stands. */
  readonly at: number
}

/** The valid record with the highest sequence; of two equal ones the first. */
function newest(bytes: Buffer, path: string): Found | null {
  let found: Found | null = null
  for (let at = 0; at < bytes.length; at += SLOT_BYTES) {
    const record = readRecord(bytes, at, path)
    if (record !== null && record.sequence > (found?.sequence ?? -1)) found = record
  }
  return found
}

/** @returns where the record at `at` ought to stand too and does not; null: it does. */
function whereNotCopied(bytes: Buffer, at: number): number | null {
  const other = (at + COPY_AT) % FILE_BYTES
  return bytes.compare(bytes, other, other + SLOT_BYTES, at, at + SLOT_BYTES) === 0 ? null : other
}

function readRecord(bytes: Buffer, at: number, path: string): Found | null {
  const slot = bytes.subarray(at, at + SLOT_BYTES)
  const contentBytes = slot.readUInt32BE(CONTENT_BYTES_AT)
  if (slot.readUInt32BE(MAGIC_AT) !== MAGIC || contentBytes > HARD_STATE_CONTENT_BYTES_MAX) return null
  if (slot.readUInt32BE(CRC_AT) !== slotCrc(slot, contentBytes)) return null
  const version = slot.readUInt32BE(VERSION_AT)
  if (version > HARD_STATE_VERSION) {
    const what = `${path} has format version ${version}, this program knows up to ${HARD_STATE_VERSION}: a newer one wrote it`
    throw new DLedgerError(what, { code: 'INVALID', what: 'format version' })
  }
  const sequence = readInt64(slot, SEQUENCE_AT)
  const content = slot.subarray(CONTENT_AT, CONTENT_AT + contentBytes)
  const text = version === DEFLATED_VERSION ? inflated(content) : content
  const state = text === null ? null : decodeHardState(text)
  return state !== null && sequence >= 0 ? { state, sequence, version, at } : null
}
