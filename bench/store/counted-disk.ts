/** The machine's disk, with counts of what the store does on it: what is read for what is used, what is held open. */
import { type BackgroundDisk, type Disk, type DiskFile, nodeDisk } from '@dledger-ts/dledger'

/** Without an operation for so long a burst of writes to the ConsumeQueues is over. */
const BURST_GAP_MS = 250

type DiskCallback = (error: Error | null) => void

export interface DiskCounts {
  readonly logReads: number
  readonly logBytesRead: number
  readonly queueReads: number
  readonly queueBytesRead: number
  readonly opens: number
  readonly syncs: number
  /** The longest call of a synchronous operation, in ms: the event loop stands meanwhile. */
  readonly longestSyncCallMs: number
  readonly longestSyncCall: string
  /** Ended bursts of writes and syncs of ConsumeQueue files: what checkpoints do, without the metadata. */
  readonly checkpoints: number
  readonly checkpointMsMax: number
  readonly checkpointMsLast: number
}

const backgroundOfMachine = nodeDisk.background as BackgroundDisk

export class CountedDisk implements Disk {
  #logReads = 0
  #logBytesRead = 0
  #queueReads = 0
  #queueBytesRead = 0
  #opens = 0
  #syncs = 0
  #longestSyncCallMs = 0
  #longestSyncCall = ''
  #burstBegan = -1
  #burstEnded = -1
  readonly #bursts: number[] = []

  get counts(): DiskCounts {
    this.#endBurst()
    const bursts = this.#bursts
    return {
      logReads: this.#logReads,
      logBytesRead: this.#logBytesRead,
      queueReads: this.#queueReads,
      queueBytesRead: this.#queueBytesRead,
      opens: this.#opens,
      syncs: this.#syncs,
      longestSyncCallMs: round(this.#longestSyncCallMs),
      longestSyncCall: this.#longestSyncCall,
      checkpoints: bursts.length,
      checkpointMsMax: Math.round(bursts.reduce((most, ms) => Math.max(most, ms), 0)),
      checkpointMsLast: Math.round(bursts.at(-1) ?? 0),
    }
  }

  openSync(path: string, options: { readonly create: boolean; readonly readOnly?: boolean }): DiskFile {
    this.#opens++
    return new CountedFile(
      this,
      this.timed(`open ${path}`, () => nodeDisk.openSync(path, options)),
    )
  }

  existsSync(path: string): boolean {
    return this.timed(`exists ${path}`, () => nodeDisk.existsSync(path))
  }

  listSync(directory: string): string[] {
    return this.timed(`list ${directory}`, () => nodeDisk.listSync(directory))
  }

  makeDirectorySync(directory: string): void {
    this.timed(`make ${directory}`, () => nodeDisk.makeDirectorySync(directory))
  }

  removeSync(path: string): void {
    this.timed(`remove ${path}`, () => nodeDisk.removeSync(path))
  }

  renameSync(from: string, to: string): void {
    this.timed(`rename ${from}`, () => nodeDisk.renameSync(from, to))
  }

  syncDirectory(directory: string, callback: DiskCallback): void {
    this.#syncs++
    nodeDisk.syncDirectory?.(directory, callback)
  }

  readonly background: BackgroundDisk = {
    ...backgroundOfMachine,
    open: (path, options, callback) => {
      this.#opens++
      backgroundOfMachine.open(path, options, (error, file) => {
        callback(error, file === null ? null : new CountedFile(this, file))
      })
    },
  }

  syncDirectorySync(directory: string): void {
    this.timed(`sync ${directory}`, () => nodeDisk.syncDirectorySync(directory))
  }

  freeBytesSync(directory: string): number {
    return nodeDisk.freeBytesSync(directory)
  }

  usedPercentSync(directory: string): number {
    return nodeDisk.usedPercentSync(directory)
  }

  createExclusiveSync(path: string, content: string): string | null {
    return nodeDisk.createExclusiveSync(path, content)
  }

  /** @internal For its files. */
  timed<Result>(what: string, work: () => Result): Result {
    const began = performance.now()
    try {
      return work()
    } finally {
      const took = performance.now() - began
      if (took > this.#longestSyncCallMs) {
        this.#longestSyncCallMs = took
        this.#longestSyncCall = what
      }
    }
  }

  /** @internal */
  hasRead(path: string, bytes: number): void {
    if (isOfQueue(path)) {
      this.#queueReads++
      this.#queueBytesRead += bytes
    } else {
      this.#logReads++
      this.#logBytesRead += bytes
    }
  }

  /** @internal */
  hasSynced(): void {
    this.#syncs++
  }

  /** @internal */
  touched(path: string): void {
    if (!isOfQueue(path)) return
    this.#endBurst()
    const now = performance.now()
    if (this.#burstBegan < 0) this.#burstBegan = now
    this.#burstEnded = now
  }

  #endBurst(): void {
    if (this.#burstBegan < 0 || performance.now() - this.#burstEnded <= BURST_GAP_MS) return
    this.#bursts.push(this.#burstEnded - this.#burstBegan)
    this.#burstBegan = -1
  }
}

class CountedFile implements DiskFile {
  readonly path: string
  readonly #disk: CountedDisk
  readonly #file: DiskFile

  constructor(disk: CountedDisk, file: DiskFile) {
    this.path = file.path
    this.#disk = disk
    this.#file = file
  }

  write(buffers: readonly Buffer[], at: number, callback: DiskCallback): void {
    this.#disk.touched(this.path)
    this.#file.write(buffers, at, callback)
  }

  read(target: Buffer, at: number, callback: (error: Error | null, bytesRead: number) => void): void {
    this.#disk.hasRead(this.path, target.length)
    this.#file.read(target, at, callback)
  }

  sync(callback: DiskCallback): void {
    this.#disk.hasSynced()
    this.#disk.touched(this.path)
    this.#file.sync((error) => {
      this.#disk.touched(this.path)
      callback(error)
    })
  }

  writeSync(bytes: Buffer, at: number): void {
    this.#disk.timed(`write ${this.path}`, () => this.#file.writeSync(bytes, at))
  }

  readSync(target: Buffer, at: number): number {
    return this.#disk.timed(`read ${this.path}`, () => this.#file.readSync(target, at))
  }

  syncSync(): void {
    this.#disk.timed(`sync ${this.path}`, () => this.#file.syncSync())
  }

  sizeSync(): number {
    return this.#file.sizeSync()
  }

  modifiedMsSync(): number {
    return this.#file.modifiedMsSync()
  }

  truncateSync(size: number): void {
    this.#disk.timed(`truncate ${this.path}`, () => this.#file.truncateSync(size))
  }

  truncate(size: number, callback: DiskCallback): void {
    this.#file.truncate?.(size, callback)
  }

  close(callback: DiskCallback): void {
    this.#file.close?.(callback)
  }

  closeSync(): void {
    this.#disk.timed(`close ${this.path}`, () => this.#file.closeSync())
  }
}

function isOfQueue(path: string): boolean {
  return path.includes('/consumequeue/')
}

function round(ms: number): number {
  return Number(ms.toFixed(2))
}
