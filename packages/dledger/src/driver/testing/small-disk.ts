/** Tests only: a disk in memory of so many bytes. What was never written takes no room, what is removed or cut gives its own back. */
import type { Disk, DiskFile } from '../../disk/disk.ts'
import { MemoryDisk } from '../../disk/memory-disk.ts'

const BLOCK_BYTES = 512

export class SmallDisk extends MemoryDisk implements Disk {
  readonly capacityBytes: number
  /** Numbers of the blocks that have room, by path. */
  readonly #blocks = new Map<string, Set<number>>()
  #takenBlocks = 0
  /** What somebody else has stored there. */
  othersBytes = 0
  /** Told instead of what is free. */
  toldFreeBytes: number | null = null

  constructor(capacityBytes: number) {
    super()
    this.capacityBytes = capacityBytes
  }

  override freeBytesSync(): number {
    return this.toldFreeBytes ?? this.#freeBytes
  }

  get #freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.othersBytes - this.#takenBlocks * BLOCK_BYTES)
  }

  override usedPercentSync(): number {
    return Math.ceil((100 * (this.capacityBytes - this.freeBytesSync())) / this.capacityBytes)
  }

  #blocksOf(path: string): Set<number> {
    const blocks = this.#blocks.get(path) ?? new Set()
    this.#blocks.set(path, blocks)
    return blocks
  }

  /** @throws ENOSPC, and nothing is taken. */
  #take(path: string, from: number, to: number): void {
    const blocks = this.#blocksOf(path)
    const wanted: number[] = []
    for (let block = Math.floor(from / BLOCK_BYTES); block * BLOCK_BYTES < to; block++)
      if (!blocks.has(block)) wanted.push(block)
    if (wanted.length > 0 && wanted.length * BLOCK_BYTES > this.#freeBytes) throw noSpace()
    for (const block of wanted) blocks.add(block)
    this.#takenBlocks += wanted.length
  }

  #giveFrom(path: string, size: number): void {
    const blocks = this.#blocksOf(path)
    for (const block of blocks) {
      if (block * BLOCK_BYTES < size) continue
      blocks.delete(block)
      this.#takenBlocks--
    }
  }

  override removeSync(path: string): void {
    super.removeSync(path)
    this.#giveFrom(path, 0)
  }

  override renameSync(from: string, to: string): void {
    super.renameSync(from, to)
    this.#giveFrom(to, 0)
    this.#blocks.set(to, this.#blocksOf(from))
    this.#blocks.delete(from)
  }

  override createExclusiveSync(path: string, content: string): string | null {
    if (!this.existsSync(path)) this.#take(path, 0, content.length)
    return super.createExclusiveSync(path, content)
  }

  override openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    const file = super.openSync(path, options)
    return {
      path,
      write: (buffers, at, callback) => {
        const end = buffers.reduce((sum, buffer) => sum + buffer.length, at)
        try {
          this.#take(path, at, end)
        } catch (error) {
          setImmediate(() => callback(error as Error))
          return
        }
        file.write(buffers, at, callback)
      },
      read: (target, at, callback) => file.read(target, at, callback),
      sync: (callback) => file.sync(callback),
      writeSync: (bytes, at) => {
        this.#take(path, at, at + bytes.length)
        file.writeSync(bytes, at)
      },
      readSync: (target, at) => file.readSync(target, at),
      syncSync: () => file.syncSync(),
      sizeSync: () => file.sizeSync(),
      modifiedMsSync: () => file.modifiedMsSync(),
      truncateSync: (size) => {
        file.truncateSync(size)
        this.#giveFrom(path, size)
      },
      closeSync: () => file.closeSync(),
    }
  }
}

function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}
