/**
 * A member's term and vote as they stand durably on its simulated drive, read from the file layout alone.
 *
 *   two slots of 4,096 bytes:  | magic | version | sequence (8) | bytes | crc32 | content (JSON) … zeros |
 */
import { crc32, readInt64 } from '@dledger-ts/base'
import type { SimDrive } from './sim-drive.ts'

const SLOT_BYTES = 4096
const CRC_AT = 20
const CONTENT_AT = 24
const MAGIC = 0x444c4853

export interface DurableVote {
  readonly term: number
  readonly votedFor: string | null
  readonly storeId: string
}

const NONE: DurableVote = { term: 0, votedFor: null, storeId: '' }

export class HardStateImage {
  readonly #drive: SimDrive
  readonly #path: string
  readonly #bytes = Buffer.alloc(2 * SLOT_BYTES)
  #inodeId = -1
  #newest: DurableVote = NONE

  constructor(drive: SimDrive, path: string) {
    this.#drive = drive
    this.#path = path
  }

  /** What the newest valid durable slot says. */
  read(): DurableVote {
    const inode = this.#drive.durableNames.get(this.#path)
    if (inode === undefined || inode === 'directory') return NONE
    if (inode.id === this.#inodeId && inode.durableChangedFrom === Number.POSITIVE_INFINITY) return this.#newest
    inode.durableChangedFrom = Number.POSITIVE_INFINITY
    this.#inodeId = inode.id
    inode.durable.read(this.#bytes, 0)
    let sequence = -1
    this.#newest = NONE
    for (const at of [0, SLOT_BYTES]) {
      const slot = this.#bytes.subarray(at, at + SLOT_BYTES)
      const contentBytes = slot.readUInt32BE(16)
      if (slot.readUInt32BE(0) !== MAGIC || contentBytes > SLOT_BYTES - CONTENT_AT) continue
      const content = slot.subarray(CONTENT_AT, CONTENT_AT + contentBytes)
      if (slot.readUInt32BE(CRC_AT) !== crc32(content, 0, contentBytes, crc32(slot, 0, CRC_AT))) continue
      if (readInt64(slot, 8) <= sequence) continue
      sequence = readInt64(slot, 8)
      this.#newest = JSON.parse(content.toString()) as DurableVote
    }
    return this.#newest
  }
}
