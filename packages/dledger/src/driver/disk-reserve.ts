/**
 * Room on the disk that a member takes while there is some, for when there is none: a file that is emptied where a write found no room.
 *
 *   none ──room to spare──► being made ──► held ──no room for a write──► out ──room to spare──► being made again ──► held
 *
 * While it is out, until it is held again, its room is for what frees more: entries of the log's own, the hard state, checkpoints of the
 * state machine. So no data is taken, nothing is claimed ahead, and a follower takes entries only as long as half of it is left.
 *
 * Keeps:
 *   B1  it is made of what is free beyond `diskFreeBytesMin` only, so that making it refuses nobody.
 *   B2  nothing else depends on it: what goes wrong with it is told in the log, and the member goes on without.
 *   B3  it is never synced: writing it takes its room on the disk. It has its name when it is whole: what a stop or a power cut left of one
 *       that was being made is no reserve, and is made anew.
 *   B4  where it is not known how much is free there is none.
 *   B5  an empty file is a reserve that is out, at the next start too.
 */
import { join } from 'node:path'
import type { Logger } from '@dledger-ts/base'
import { type Disk, type DiskFile, isDiskFull } from '../disk/disk.ts'

const FILE_NAME = 'reserve'
/** While it is being made. */
const NEW_FILE_NAME = 'reserve.new'
const PIECE_BYTES = 1 << 20
/** A start that finds less free gives the reserve for what it writes before anything can be freed. */
const START_BYTES = 8 << 20

/** There is room again when so much more than the least is free. */
export const ROOM_AGAIN = 1.125

export interface DiskReserveOptions {
  readonly disk: Disk
  readonly directory: string
  /** 0: none. */
  readonly bytes: number
  /** What stays free besides. */
  readonly freeBytesMin: number
  readonly logger: Logger
}

type ReserveState = 'none' | 'making' | 'held'

export class DiskReserve {
  readonly #options: DiskReserveOptions
  readonly #path: string
  readonly #newPath: string
  #state: ReserveState = 'none'
  /** It was given and is not held again. */
  #isOut = false
  /** While it is being made. */
  #file: DiskFile | null = null
  #piece: Buffer | null = null
  #madeBytes = 0
  #isWriting = false
  /** Something went wrong with it. */
  #isGivenUp = false
  #stopped = false

  constructor(options: DiskReserveOptions) {
    this.#options = options
    this.#path = pathIn(options.directory)
    this.#newPath = newPathIn(options.directory)
  }

  /** The directory is this member's: takes up what is there. */
  opened(): void {
    const { disk, bytes } = this.#options
    this.#attempt('taken up', () => {
      if (disk.existsSync(this.#newPath)) disk.removeSync(this.#newPath)
      if (!disk.existsSync(this.#path)) return
      const size = sizeOf(disk, this.#path)
      if (bytes > 0 && size === bytes) this.#state = 'held'
      else if (bytes > 0 && size === 0) this.#isOut = true
      else disk.removeSync(this.#path)
    })
  }

  /** It was given for a write that found no room, and is not held again. */
  get isOut(): boolean {
    return this.#isOut
  }

  /** … and there is no room to make it anew. */
  get isMissed(): boolean {
    return this.#isOut && this.#state === 'none'
  }

  /** Once a heartbeat: makes the next piece, and where it is missed all of them. */
  wake(): void {
    if (this.#options.bytes === 0 || this.#isWriting || this.#state === 'held') return
    if (this.#isGivenUp || this.#stopped) return
    this.#attempt('made', () => this.#goOn())
  }

  #goOn(): void {
    const { disk, directory, bytes, freeBytesMin } = this.#options
    const free = disk.freeBytesSync(directory)
    const piece = Math.min(PIECE_BYTES, bytes - this.#madeBytes)
    const wanted = this.#state === 'none' ? bytes : piece
    if (Number.isFinite(free) && free >= freeBytesMin * ROOM_AGAIN + wanted) {
      this.#makePiece(piece)
    } else if (this.#isOut && this.#state === 'making') {
      // Half of it is of use to nobody.
      this.#endMaking(null)
    }
  }

  #makePiece(pieceBytes: number): void {
    const { disk, bytes } = this.#options
    const file = this.#file ?? disk.openSync(this.#newPath, { create: true })
    this.#file = file
    this.#piece ??= incompressible(Math.min(PIECE_BYTES, bytes))
    this.#state = 'making'
    this.#isWriting = true
    file.write([this.#piece.subarray(0, pieceBytes)], this.#madeBytes, (error) => {
      this.#isWriting = false
      this.#madeBytes += pieceBytes
      // The directory may be another process's by now.
      if (this.#stopped) return this.#attempt('closed', () => this.#forgetFile())
      const isToGoOn = error === null && this.#madeBytes < bytes && this.#state === 'making' && !this.#isGivenUp
      if (!isToGoOn) this.#attempt('made', () => this.#endMaking(error))
      else if (this.#isOut) this.wake()
    })
  }

  #endMaking(error: Error | null): void {
    const { disk, bytes } = this.#options
    const isWhole = error === null && this.#madeBytes === bytes
    if (this.#state !== 'making') {
      // It was given meanwhile, and this piece came after that.
      this.#file?.truncateSync(0)
      this.#forgetFile()
    } else {
      this.#forgetFile()
      // Where it is not whole it is made anew when there is room to spare.
      this.#state = 'none'
      if (isWhole) {
        disk.renameSync(this.#newPath, this.#path)
        this.#state = 'held'
        this.#isOut = false
      } else {
        disk.removeSync(this.#newPath)
      }
    }
    if (error !== null && !isDiskFull(error)) throw error
  }

  /** A write found no room: gives all that it has, at once. */
  give(): void {
    const { disk, logger } = this.#options
    if (this.#state === 'none') return
    const isHalfMade = this.#state === 'making'
    this.#state = 'none'
    if (!this.#isOut)
      logger.warn({ file: this.#path }, 'the disk is full: the reserve is given for what frees room, no data is taken')
    this.#isOut = true
    this.#attempt('given', () => {
      if (!this.#isWriting) this.#forgetFile()
      empty(disk, isHalfMade ? this.#newPath : this.#path)
      if (isHalfMade) disk.renameSync(this.#newPath, this.#path)
    })
  }

  /** Whether a follower may take so many bytes of entries: always, but of a reserve that is out no more than half. */
  hasRoomFor(bytes: number): boolean {
    if (!this.isOut) return true
    const { disk, directory } = this.#options
    return disk.freeBytesSync(directory) >= bytes + this.#options.bytes / 2
  }

  /** Nothing more is made; a piece under way ends first, and what was made of one is left for the next start. */
  stop(): void {
    this.#stopped = true
    if (!this.#isWriting) this.#forgetFile()
  }

  #forgetFile(): void {
    this.#file?.closeSync()
    this.#file = null
    this.#piece = null
    this.#madeBytes = 0
  }

  #attempt(what: string, work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#isGivenUp = true
      // Nobody waits for what does not come again (B2).
      this.#isOut = false
      this.#options.logger.warn(
        { err: error },
        `${this.#path} could not be ${what}: no reserve is made until the next start`,
      )
    }
  }
}

/** For a start: gives the reserve of a directory where hardly anything is free. @throws what the disk says. */
export function giveReserveForStart(disk: Disk, directory: string): void {
  const [path, newPath] = [pathIn(directory), newPathIn(directory)]
  if (disk.existsSync(newPath) && disk.freeBytesSync(directory) < START_BYTES) disk.removeSync(newPath)
  if (disk.existsSync(path) && disk.freeBytesSync(directory) < START_BYTES) empty(disk, path)
}

function pathIn(directory: string): string {
  return join(directory, FILE_NAME)
}

function newPathIn(directory: string): string {
  return join(directory, NEW_FILE_NAME)
}

function sizeOf(disk: Disk, path: string): number {
  const file = disk.openSync(path, { create: false })
  try {
    return file.sizeSync()
  } finally {
    file.closeSync()
  }
}

function empty(disk: Disk, path: string): void {
  const file = disk.openSync(path, { create: false })
  try {
    file.truncateSync(0)
  } finally {
    file.closeSync()
  }
}

/** Not zeros: a file system that compresses, or keeps holes, would take no room for them. */
function incompressible(bytes: number): Buffer {
  const piece = Buffer.alloc(Math.ceil(bytes / 4) * 4)
  // xorshift32
  let x = 0x9e3779b9 | 0
  for (let at = 0; at < piece.length; at += 4) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    piece.writeInt32LE(x | 0, at)
  }
  return piece
}
