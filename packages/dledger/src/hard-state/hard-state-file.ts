/**
 * What a member must remember beside its log, in two slots that are written in turn:
 *
 *   0                 4096               8192
 *   | slot 0          | slot 1           |
 *
 *   slot:  0       4         8          16      20       24
 *          | magic | version | sequence | bytes | crc32  | content (JSON) … zeros |
 *
 * `crc32` covers the 20 bytes before it and the content. The valid slot with the higher sequence counts.
 *
 * Keeps:
 *   H1  a write goes to the slot that does not count, so a torn write leaves the state before it.
 *   H2  a callback comes when its state, or a later one, is synced.
 *   H4  before the slot that does not count is overwritten, the one that counts is on the disk.
 *   H3  without a valid slot there is no state: a member that forgot its vote could vote twice.
 */
import { assert, crc32, readInt64, writeInt64 } from '@dledger-ts/base'
import type { Disk, DiskCallback, DiskFile } from '../disk/disk.ts'
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
export const HARD_STATE_VERSION = 1

export class HardStateFile {
  readonly #file: DiskFile
  #state: HardState
  #sequence: number
  /** The slot that counts. */
  #slot: number
  #underWay = false
  #closing = false
  #waiting: DiskCallback[] = []

  /**
   * @returns null when there is no such file.
   * @throws DLedgerError `CORRUPT` when no slot is valid, `INVALID` when a newer format wrote it; nothing is changed.
   */
  static openSync(disk: Disk, path: string): HardStateFile | null {
    if (!disk.existsSync(path)) return null
    const file = disk.openSync(path, { create: false })
    try {
      const bytes = Buffer.alloc(2 * SLOT_BYTES)
      file.readSync(bytes, 0)
      const slots = [readSlot(bytes, 0, path), readSlot(bytes, 1, path)]
      const [first, second] = slots
      const newest = (second?.sequence ?? -1) > (first?.sequence ?? -1) ? 1 : 0
      const found = slots[newest]
      if (found === null || found === undefined) {
        throw new DLedgerError(`${path} has no valid slot: this member does not know its vote, so it will not vote`, {
          code: 'CORRUPT',
          file: path,
          at: 0,
        })
      }
      return new HardStateFile(file, found.state, found.sequence, newest)
    } catch (error) {
      file.closeSync()
      throw error
    }
  }

  /** Makes the file, whole or not at all; durable when it returns. */
  static createSync(disk: Disk, path: string, state: HardState): HardStateFile {
    const fresh = `${path}.new`
    const file = disk.openSync(fresh, { create: true })
    file.truncateSync(0)
    // Both slots have their room from the beginning: a vote never meets a full disk.
    file.writeSync(Buffer.alloc(SLOT_BYTES), SLOT_BYTES)
    file.writeSync(encodeSlot(state, 0), 0)
    file.syncSync()
    file.closeSync()
    disk.renameSync(fresh, path)
    disk.syncDirectorySync(path.slice(0, Math.max(path.lastIndexOf('/'), 1)))
    const made = HardStateFile.openSync(disk, path)
    assert(made !== null, 'a file just made is there')
    return made
  }

  private constructor(file: DiskFile, state: HardState, sequence: number, slot: number) {
    this.#file = file
    this.#state = state
    this.#sequence = sequence
    this.#slot = slot
  }

  /** The newest one handed in, durable or on its way. */
  get state(): HardState {
    return this.#state
  }

  /** Makes `state` durable. Those handed in while a write is under way share the next one, which writes the last of them. */
  write(state: HardState, callback: DiskCallback): void {
    assert(!this.#closing, 'a closed hard state is not written')
    this.#state = state
    this.#waiting.push(callback)
    if (!this.#underWay) this.#writeNext()
  }

  #writeNext(): void {
    const callbacks = this.#waiting
    this.#waiting = []
    this.#underWay = true
    const done: DiskCallback = (error) => {
      this.#underWay = false
      // Before the callbacks, which may hand in the next state.
      if (this.#waiting.length > 0) this.#writeNext()
      else if (this.#closing) this.#file.closeSync()
      for (const callback of callbacks) callback(error)
    }
    const { bytes, at } = this.#nextSlot()
    this.#file.write([bytes], at, (error) => {
      if (error !== null) done(error)
      else this.#file.sync(done)
    })
  }

  /** As `write`, for opening and closing; not while a write is under way. */
  writeSync(state: HardState): void {
    assert(!this.#underWay, 'a synchronous write waits for the one under way')
    this.#state = state
    const { bytes, at } = this.#nextSlot()
    this.#file.writeSync(bytes, at)
    this.#file.syncSync()
  }

  /** Makes durable what was read: after a sync that failed it may be in the page cache only. */
  rewriteSync(): void {
    assert(!this.#underWay, 'a synchronous write waits for the one under way')
    this.#file.writeSync(encodeSlot(this.#state, this.#sequence), this.#slot * SLOT_BYTES)
    this.#file.syncSync()
  }

  #nextSlot(): { bytes: Buffer; at: number } {
    this.#sequence++
    this.#slot = 1 - this.#slot
    return { bytes: encodeSlot(this.#state, this.#sequence), at: this.#slot * SLOT_BYTES }
  }

  /** What is under way ends first. */
  closeSync(): void {
    this.#closing = true
    if (!this.#underWay) this.#file.closeSync()
  }
}

function encodeSlot(state: HardState, sequence: number): Buffer {
  const content = Buffer.from(JSON.stringify(state))
  assert(content.length <= HARD_STATE_CONTENT_BYTES_MAX, 'the hard state fits in a slot')
  const slot = Buffer.alloc(SLOT_BYTES)
  slot.writeUInt32BE(MAGIC, MAGIC_AT)
  slot.writeUInt32BE(HARD_STATE_VERSION, VERSION_AT)
  writeInt64(slot, sequence, SEQUENCE_AT)
  slot.writeUInt32BE(content.length, CONTENT_BYTES_AT)
  content.copy(slot, CONTENT_AT)
  slot.writeUInt32BE(slotCrc(slot, content.length), CRC_AT)
  return slot
}

function slotCrc(slot: Buffer, contentBytes: number): number {
  return crc32(slot, CONTENT_AT, CONTENT_AT + contentBytes, crc32(slot, 0, CRC_AT))
}

function readSlot(bytes: Buffer, number: number, path: string): { state: HardState; sequence: number } | null {
  const slot = bytes.subarray(number * SLOT_BYTES, (number + 1) * SLOT_BYTES)
  const contentBytes = slot.readUInt32BE(CONTENT_BYTES_AT)
  if (slot.readUInt32BE(MAGIC_AT) !== MAGIC || contentBytes > HARD_STATE_CONTENT_BYTES_MAX) return null
  if (slot.readUInt32BE(CRC_AT) !== slotCrc(slot, contentBytes)) return null
  const version = slot.readUInt32BE(VERSION_AT)
  if (version > HARD_STATE_VERSION) {
    const what = `${path} has format version ${version}, this program knows up to ${HARD_STATE_VERSION}: a newer one wrote it`
    throw new DLedgerError(what, { code: 'INVALID', what: 'format version' })
  }
  const sequence = readInt64(slot, SEQUENCE_AT)
  const state = decodeHardState(slot.subarray(CONTENT_AT, CONTENT_AT + contentBytes))
  return state !== null && sequence >= 0 ? { state, sequence } : null
}
