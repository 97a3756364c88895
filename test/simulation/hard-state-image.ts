/**
 * A member's hard state as it stands on its simulated drive, durably or in the page cache, read from the file layout alone.
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
  readonly durableHint?: { readonly index: number } | null
  readonly incarnation: number
  readonly knownPeers?: Readonly<Record<string, { readonly storeId: string; readonly incarnation: number }>>
  /** It may lack what it acknowledged before a power cut. */
  readonly recovering: boolean
  /** The entry before the first one kept, of a trimmed log. */
  readonly beforeFirst: Place | null
  /** Another member's log on its way here. */
  readonly incoming?: { readonly phase: string; readonly beforeFirst: Place; readonly hint: Place | null } | null
}

export interface Place {
  readonly index: number
  readonly endPos: number
  readonly chain: number
}

const NONE: DurableVote = { term: 0, votedFor: null, storeId: '', incarnation: 0, recovering: false, beforeFirst: null }

export class HardStateImage {
  readonly #drive: SimDrive
  readonly #path: string
  readonly #bytes = Buffer.alloc(2 * SLOT_BYTES)
  readonly #view: 'cache' | 'durable'
  /** The bytes in front of both slots' contents, as they were read last: they change with every write. */
  readonly #heads = Buffer.alloc(2 * CONTENT_AT)
  #newest: DurableVote = NONE

  constructor(drive: SimDrive, path: string, view: 'cache' | 'durable') {
    this.#view = view
    this.#drive = drive
    this.#path = path
  }

  /** What the newest valid slot says. */
  read(): DurableVote {
    const isDurable = this.#view === 'durable'
    const inode = (isDurable ? this.#drive.durableNames : this.#drive.names).get(this.#path)
    if (inode === undefined || inode === 'directory') return NONE
    const source = isDurable ? inode.durable : inode.cache
    const heads = Buffer.alloc(2 * CONTENT_AT)
    source.read(heads.subarray(0, CONTENT_AT), 0)
    source.read(heads.subarray(CONTENT_AT), SLOT_BYTES)
    if (heads.equals(this.#heads)) return this.#newest
    source.read(this.#bytes, 0)
    // A slot that is torn now may be whole with the same head later.
    if (isWhole(this.#bytes, 0) && isWhole(this.#bytes, SLOT_BYTES)) heads.copy(this.#heads)
    else this.#heads.fill(0xff)
    let sequence = -1
    this.#newest = NONE
    for (const at of [0, SLOT_BYTES]) {
      if (!isWhole(this.#bytes, at)) continue
      const slot = this.#bytes.subarray(at, at + SLOT_BYTES)
      const content = slot.subarray(CONTENT_AT, CONTENT_AT + slot.readUInt32BE(16))
      if (readInt64(slot, 8) <= sequence) continue
      sequence = readInt64(slot, 8)
      this.#newest = JSON.parse(content.toString()) as DurableVote
    }
    return this.#newest
  }
}

function isWhole(bytes: Buffer, at: number): boolean {
  const slot = bytes.subarray(at, at + SLOT_BYTES)
  const contentBytes = slot.readUInt32BE(16)
  if (slot.readUInt32BE(0) !== MAGIC || contentBytes > SLOT_BYTES - CONTENT_AT) return false
  return slot.readUInt32BE(CRC_AT) === crc32(slot, CONTENT_AT, CONTENT_AT + contentBytes, crc32(slot, 0, CRC_AT))
}
