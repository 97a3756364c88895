/**
 * A member's hard state as it stands on its simulated drive, durably or in the page cache, read from the file layout alone.
 *
 *   two slots of 4,096 bytes, and then a copy of each:  | magic | version | sequence (8) | bytes | crc32 | content (JSON) … zeros |
 */
import { crc32, readInt64 } from '@dledger-ts/base'
import type { SimDrive } from './sim-drive.ts'
import type { Inode } from './sim-inode.ts'
import type { SparseBytes } from './sparse-bytes.ts'

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
  readonly incoming?: {
    readonly phase: string
    readonly beforeFirst: Place
    readonly hint: Place | null
    readonly snapshot: { readonly bytes: number } | null
  } | null
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
  readonly #view: 'cache' | 'durable'
  /** What was looked at last: the file, and as which of its versions. */
  #inode: Inode | null = null
  #version = -1
  /** What `#newest` was read from, and its checksum: no two states have the same. */
  #sequence = -1
  #crc = 0
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
    this.#look(isDurable ? inode.durable : inode.cache)
    return this.#newest
  }

  /** Takes the records from the newest on, until one is whole: then nothing depends on the others. */
  #look(source: SparseBytes): void {
    for (let record = 0; record < RECORDS; record++) SEQUENCES[record] = sequenceAt(source, record * SLOT_BYTES)
    for (;;) {
      let newest = 0
      for (let record = 1; record < RECORDS; record++) {
        if ((SEQUENCES[record] as number) > (SEQUENCES[newest] as number)) newest = record
      }
      const sequence = SEQUENCES[newest] as number
      if (sequence < 0) break
      SEQUENCES[newest] = -1
      if (!isWhole(source, newest * SLOT_BYTES)) continue
      const crc = SLOT.readUInt32BE(CRC_AT)
      if (sequence !== this.#sequence || crc !== this.#crc) {
        this.#newest = JSON.parse(SLOT.toString('utf8', CONTENT_AT, CONTENT_AT + SLOT.readUInt32BE(16))) as DurableVote
      }
      this.#sequence = sequence
      this.#crc = crc
      return
    }
    this.#sequence = -1
    this.#newest = NONE
  }
}

/** Only while one is looked at; of all images. */
const SLOT = Buffer.alloc(SLOT_BYTES)
const HEAD = SLOT.subarray(0, CONTENT_AT)
const SEQUENCES: number[] = []

/** @returns what the head of a record there says; -1: there is none. */
function sequenceAt(source: SparseBytes, at: number): number {
  source.read(HEAD, at)
  return HEAD.readUInt32BE(0) === MAGIC ? readInt64(HEAD, 8) : -1
}

/** Reads the record at `at` into `SLOT`, as far as its content goes. */
function isWhole(source: SparseBytes, at: number): boolean {
  source.read(HEAD, at)
  const contentBytes = HEAD.readUInt32BE(16)
  if (contentBytes > SLOT_BYTES - CONTENT_AT) return false
  const end = CONTENT_AT + contentBytes
  source.read(SLOT.subarray(CONTENT_AT, end), at + CONTENT_AT)
  return SLOT.readUInt32BE(CRC_AT) === crc32(SLOT, CONTENT_AT, end, crc32(SLOT, 0, CRC_AT))
}
