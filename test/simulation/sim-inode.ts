/**
 * One file of a simulated drive: what the page cache holds, what the platter holds, and the changes in between.
 *
 * Keeps:
 *   - `durable` is exactly what survives when everything unsynced is lost.
 *   - A power loss leaves, for each 512-byte sector, the content it had after some prefix of the changes that touched it:
 *     a sector never tears, an entry that spans sectors may, and later changes may survive where earlier ones do not.
 *   - Sizes change in order: a lost change of the size loses all later ones.
 *   - What a failed sync covered stays readable and is never written any more (Linux marks such pages clean).
 */
import { Damage } from './damage.ts'
import type { Decisions } from './decisions.ts'
import { SparseBytes } from './sparse-bytes.ts'

/** Former contents of a sector that are remembered. */
const FORMER_MAX = 4

export const SECTOR_BYTES = 512
/** How much of the unsynced changes a power loss takes, per mille, one of these for each file and loss. */
const LOSS_PER_MILLE = [1000, 1000, 500, 150, 0] as const

interface Change {
  readonly sequence: number
  /** A write of these bytes at `at`; null: the size is set to `at`. */
  readonly bytes: Buffer | null
  readonly at: number
}

/** Set when any file of a drive changes; cleared by those who read the images. */
export interface ChangeMarks {
  cache: boolean
  durable: boolean
}

export class Inode {
  readonly id: number
  readonly #marks: ChangeMarks
  cache = new SparseBytes()
  cacheBytes = 0
  durable = new SparseBytes()
  durableBytes = 0
  /** Lowest byte that changed since a reader of the image last looked. */
  cacheChangedFrom = 0
  durableChangedFrom = 0
  /** Change whenever `cache` or `durable` may show other bytes than before. */
  cacheVersion = 0
  durableVersion = 0
  /** As a process sees it now, and after a power loss. */
  damage = new Damage()
  #durableDamage = new Damage()
  /** As the next read of it sees it, and no other. */
  readonly #once = new Damage()
  /** What sectors held on the platter before they were written over there, the latest last; null: nobody wants to know. */
  readonly #former: Map<number, Buffer[]> | null
  /** The size that a process sees of a file that was cut; null: the true one. */
  cutAt: number | null = null
  #pending: Change[] = []
  /** Sectors that have their place on the drive. */
  readonly #claimed = new Set<number>()
  #sequence = 0
  /** The cache holds something that will never be written. */
  #cacheDiffers = false
  #losses = 0

  constructor(id: number, marks: ChangeMarks, { keepsFormer = false } = {}) {
    this.id = id
    this.#marks = marks
    this.#former = keepsFormer ? new Map() : null
  }

  /** Where the changes made so far end: what a sync that starts now will cover. */
  get sequence(): number {
    return this.#sequence
  }

  /** From now on something else is read at `at`, whoever reads it, and also after a power loss. */
  spoil(at: number, value: number): void {
    this.damage.set(at, value)
    this.#durableDamage.set(at, value)
  }

  /** As `spoil`, for whoever reads it next. */
  spoilOnce(at: number, value: number): void {
    this.#once.set(at, value)
  }

  /** Fills `target` with what a process sees. */
  read(target: Buffer, at: number): void {
    this.cache.read(target, at)
    this.damage.apply(target, at)
    if (!this.#once.touches(at, at + target.length)) return
    this.#once.apply(target, at)
    this.#once.mend(0, Number.POSITIVE_INFINITY)
  }

  /** What the sector at `at` held on the platter before it was last written there, or before that; null: nothing is known. */
  formerSector(at: number, pick: (count: number) => number): Buffer | null {
    const former = this.#former?.get(Math.floor(at / SECTOR_BYTES)) ?? []
    return former[pick(former.length)] ?? null
  }

  #rememberSectors(from: number, to: number): void {
    if (this.#former === null) return
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector++) {
      const bytes = Buffer.alloc(SECTOR_BYTES)
      this.durable.read(bytes, sector * SECTOR_BYTES)
      const former = this.#former.get(sector) ?? []
      former.push(bytes)
      if (former.length > FORMER_MAX) former.shift()
      this.#former.set(sector, former)
    }
  }

  /** Something was written and is not synced. */
  get hasPendingWrites(): boolean {
    return this.#pending.length > 0
  }

  isDamaged(from: number, to: number): boolean {
    return [this.damage, this.#durableDamage, this.#once].some((damage) => damage.touches(from, to))
  }

  /** Everything from `size` on is gone for those who read. */
  cut(size: number): void {
    this.cutAt = size
    const byte = Buffer.alloc(1)
    for (
      let at = this.cache.findNonZero(size, this.cacheBytes);
      at >= 0;
      at = this.cache.findNonZero(at + 1, this.cacheBytes)
    ) {
      this.cache.read(byte, at)
      this.spoil(at, 0)
    }
  }

  /** How many of `count` bytes at `at` lie where something was written before. */
  roomAt(at: number, count: number): number {
    let end = at
    while (end < at + count && this.#claimed.has(Math.floor(end / SECTOR_BYTES))) {
      end = (Math.floor(end / SECTOR_BYTES) + 1) * SECTOR_BYTES
    }
    return Math.min(count, end - at)
  }

  write(bytes: Buffer, at: number): void {
    for (let sector = Math.floor(at / SECTOR_BYTES); sector * SECTOR_BYTES < at + bytes.length; sector++) {
      this.#claimed.add(sector)
    }
    this.cache.write(bytes, at)
    this.damage.mend(at, at + bytes.length)
    this.#once.mend(at, at + bytes.length)
    this.cacheBytes = Math.max(this.cacheBytes, at + bytes.length)
    this.#cacheChanged(at)
    this.#pending.push({ sequence: ++this.#sequence, bytes, at })
  }

  truncate(size: number): void {
    if (this.cutAt !== null && size >= this.cutAt) this.cutAt = null
    this.damage.mend(size, Number.POSITIVE_INFINITY)
    this.#once.mend(size, Number.POSITIVE_INFINITY)
    if (size === this.cacheBytes) return
    if (size < this.cacheBytes) {
      for (const sector of this.#claimed) if (sector * SECTOR_BYTES >= size) this.#claimed.delete(sector)
      this.cache.zeroFrom(size)
      this.#cacheChanged(size)
    }
    this.cacheBytes = size
    this.#pending.push({ sequence: ++this.#sequence, bytes: null, at: size })
  }

  /** Brings the changes up to `sequence` to the platter. */
  synced(sequence: number): void {
    let count = 0
    for (const change of this.#pending) {
      if (change.sequence > sequence) break
      count++
      if (change.bytes === null) this.#resizeDurable(change.at)
      else this.#writeDurable(change.bytes, change.at)
    }
    if (count > 0) this.#pending.splice(0, count)
  }

  /** The sync failed: its changes will never be written, though the cache still shows them. */
  syncFailed(sequence: number): void {
    const rest = this.#pending.filter((change) => change.sequence > sequence)
    if (rest.length < this.#pending.length) this.#cacheDiffers = true
    this.#pending = rest
  }

  losePower(decisions: Decisions): void {
    const loss = this.#losses++
    if (this.#pending.length > 0) this.#keepSome(decisions, loss)
    this.damage = this.#durableDamage.clone()
    if (this.#pending.length === 0 && !this.#cacheDiffers) return
    this.#pending = []
    this.#cacheDiffers = false
    this.cache = this.durable.clone()
    this.cacheBytes = this.durableBytes
    this.#cacheChanged(0)
    this.#durableChanged(0)
  }

  #keepSome(decisions: Decisions, loss: number): void {
    const mode = decisions.below('loss mode', this.id, loss, LOSS_PER_MILLE.length)
    const perMille = LOSS_PER_MILLE[mode] as number
    let drawn = loss * 100_003
    const lost = (): boolean => decisions.chance('lost', this.id, drawn++, perMille)
    let sizesAreKept = true
    /** Sectors that have lost a change: nothing later reaches them. */
    const stopped = new Set<number>()
    let allStoppedFrom = Number.POSITIVE_INFINITY
    for (const change of this.#pending) {
      if (change.bytes === null) {
        if (lost()) sizesAreKept = false
        if (sizesAreKept) {
          if (change.at < this.durableBytes) {
            for (const sector of stopped) if (sector * SECTOR_BYTES >= change.at) stopped.delete(sector)
          }
          this.#resizeDurable(change.at)
        } else {
          allStoppedFrom = Math.min(allStoppedFrom, Math.floor(change.at / SECTOR_BYTES))
        }
        continue
      }
      const end = change.at + change.bytes.length
      if (end > this.durableBytes) {
        if (lost()) sizesAreKept = false
        if (sizesAreKept) this.durableBytes = end
      }
      for (let sector = Math.floor(change.at / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) {
        if (sector >= allStoppedFrom || stopped.has(sector)) continue
        if (lost()) {
          stopped.add(sector)
          continue
        }
        const from = Math.max(change.at, sector * SECTOR_BYTES)
        const to = Math.min(end, (sector + 1) * SECTOR_BYTES)
        this.#rememberSectors(from, to)
        this.durable.write(change.bytes.subarray(from - change.at, to - change.at), from)
        this.#durableDamage.mend(from, to)
      }
    }
    this.durable.zeroFrom(this.durableBytes)
  }

  #writeDurable(bytes: Buffer, at: number): void {
    this.#rememberSectors(at, at + bytes.length)
    this.durable.write(bytes, at)
    this.#durableDamage.mend(at, at + bytes.length)
    this.durableBytes = Math.max(this.durableBytes, at + bytes.length)
    this.#durableChanged(at)
  }

  #resizeDurable(size: number): void {
    if (size < this.durableBytes) {
      this.durable.zeroFrom(size)
      this.#durableDamage.mend(size, Number.POSITIVE_INFINITY)
      this.#durableChanged(size)
    }
    this.durableBytes = size
  }

  #cacheChanged(from: number): void {
    this.cacheChangedFrom = Math.min(this.cacheChangedFrom, from)
    this.cacheVersion++
    this.#marks.cache = true
  }

  #durableChanged(from: number): void {
    this.durableChangedFrom = Math.min(this.durableChangedFrom, from)
    this.durableVersion++
    this.#marks.durable = true
  }
}
