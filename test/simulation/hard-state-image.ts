/**
 * A member's hard state as it stands on its simulated drive, durably or in the page cache, read from the file layout alone.
 *
 *   two slots of 4,096 bytes, and then a copy of each:  | magic | version | sequence (8) | bytes | crc32 | content (JSON) … zeros |
 */
import { crc32, readInt64 } from '@dledger-ts/base'
import type { SimDrive } from './sim-drive.ts'
import type { Inode } from './sim-inode.ts'

const SLOT_BYTES = 4096
/** Two slots, and a copy of each. */
const RECORDS = 4
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
  readonly #bytes = Buffer.alloc(RECORDS * SLOT_BYTES)
  readonly #view: 'cache' | 'durable'
  /** What was looked at last: the file, and as which of its versions. */
  #inode: Inode | null = null
  #version = -1
  /** The head of the slot that `#newest` was read from: no two states have the same. */
  readonly #head = Buffer.alloc(CONTENT_AT)
  #newest: DurableVote = NONE

  constructor(drive: SimDrive, path: string, view: 'cache' | 'durable') {
    this.#view = view
    this.#drive = drive
    this.#path = path
  }

  /** What the newest valid record says. */
  read(): DurableVote {
    const isDurable = this.#view === 'durable'
    const inode = (isDurable ? this.#drive.durableNames : this.#drive.names).get(this.#path)
    if (inode === undefined || inode === 'directory') return NONE
    const version = isDurable ? inode.durableVersion : inode.cacheVersion
    if (inode === this.#inode && version === this.#version) return this.#newest
    this.#inode = inode
    this.#version = version
    const bytes = this.#bytes
    const source = isDurable ? inode.durable : inode.cache
    source.read(bytes, 0)
    const at = newestSlotOf(bytes)
    if (at < 0) {
      this.#head.fill(0)
      this.#newest = NONE
    } else if (bytes.compare(this.#head, 0, CONTENT_AT, at, at + CONTENT_AT) !== 0) {
      bytes.copy(this.#head, 0, at, at + CONTENT_AT)
      const from = at + CONTENT_AT
      this.#newest = JSON.parse(bytes.toString('utf8', from, from + bytes.readUInt32BE(at + 16))) as DurableVote
    }
    return this.#newest
  }
}

/** @returns where the newest record that is whole begins, or -1. */
function newestSlotOf(bytes: Buffer): number {
  let newest = -1
  for (let at = 0; at < bytes.length; at += SLOT_BYTES) {
    if (isWhole(bytes, at) && (newest < 0 || readInt64(bytes, at + 8) > readInt64(bytes, newest + 8))) newest = at
  }
  return newest
}

function isWhole(bytes: Buffer, at: number): boolean {
  if (bytes.readUInt32BE(at) !== MAGIC) return false
  const contentBytes = bytes.readUInt32BE(at + 16)
  if (contentBytes > SLOT_BYTES - CONTENT_AT) return false
  const from = at + CONTENT_AT
  return bytes.readUInt32BE(at + CRC_AT) === crc32(bytes, from, from + contentBytes, crc32(bytes, at, at + CRC_AT))
}
