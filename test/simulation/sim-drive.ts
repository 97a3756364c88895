/**
 * What a machine's drive and page cache hold, whichever process uses them: files by name, now and durably.
 *
 * Keeps:
 *   - A name made, removed or renamed is durable only when its directory has been synced.
 *   - After a killed process everything that had reached the page cache is there; a write under way may be torn.
 *   - After a power loss an arbitrary part of what was not synced is gone (see Inode), and so are unsynced names; a name that
 *     depends on a lost one is lost too.
 */
import { dirname } from 'node:path'
import type { Decisions } from './decisions.ts'
import { type ChangeMarks, Inode } from './sim-inode.ts'

export type NamedThing = Inode | 'directory'
export type SimDriveImage = readonly (readonly [path: string, content: Buffer | 'directory'])[]
export type PlantedErrorKind = 'write' | 'sync' | 'full'

const EMPTY_DRIVE: readonly (readonly [string, NamedThing])[] = [
  ['/', 'directory'],
  ['/srv', 'directory'],
]

interface NameChange {
  readonly directory: string
  /** What each name stands for afterwards; null: nothing. */
  readonly names: readonly (readonly [path: string, thing: NamedThing | null])[]
}

export interface WriteUnderWay {
  readonly inode: Inode
  readonly bytes: readonly Buffer[]
  readonly at: number
  done: boolean
}

export class SimDrive {
  readonly id: number
  readonly decisions: Decisions
  names = new Map<string, NamedThing>(EMPTY_DRIVE)
  durableNames = new Map<string, NamedThing>(EMPTY_DRIVE)
  /** Change with every change of `names` and `durableNames`. */
  namesVersion = 0
  durableNamesVersion = 0
  /** Files that no process sees, though they ought to be there. */
  readonly missing = new Set<string>()
  readonly marks: ChangeMarks = { cache: true, durable: true }
  /** Multiplies the time that operations take. */
  slowness = 1
  /** Names the operation for keyed decisions about it. */
  operations = 0
  /** Names what was asked of it beside the operations. */
  looks = 0
  readonly writesUnderWay = new Set<WriteUnderWay>()
  /** Writes, syncs and reads that the living process waits for, oldest first: when each was asked for. */
  readonly askedFor = new Set<{ readonly atUs: number }>()
  isFull = false
  /** It has hung, or was slow, once. */
  wasTroubled = false
  /** What waits for a drive that hangs; null while it does not. */
  #held: (() => void)[] | null = null
  /** It hangs in reads alone. */
  #writesAll = false
  #hangs = 0
  #pendingNames: NameChange[] = []
  #inodes = 0
  #losses = 0
  #planted: { kind: PlantedErrorKind; operationsLeft: number } | null = null
  /** Reads left until one fails; null: none does. */
  #readsLeft: number | null = null
  /** Reads of this fail. */
  #unreadable: { readonly inode: Inode; readonly from: number; readonly to: number } | null = null
  /** Files remember what their sectors held before. */
  keepsFormer = false
  /** Planted errors that happened. */
  errorsGiven = 0

  constructor(id: number, decisions: Decisions) {
    this.id = id
    this.decisions = decisions
  }

  /** From now on nothing that is asked for happens, or nothing is read; what the process does synchronously still does. */
  hang(): void {
    this.wasTroubled = true
    const writesAll = this.decisions.chance('hangs in reads alone', this.id, this.#hangs++, 250)
    this.#writesAll = writesAll && (this.#held === null || this.#writesAll)
    this.#held ??= []
  }

  answerAgain(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const happen of held) happen()
  }

  whenAnswering(kind: string, happen: () => void): void {
    if (this.#held === null || (this.#writesAll && kind !== 'read')) happen()
    else this.#held.push(happen)
  }

  /** Nothing new finds room until `giveRoom`; what was written before may be written over. */
  fill(): void {
    this.isFull = true
    this.wasTroubled = true
  }

  giveRoom(): void {
    this.isFull = false
  }

  /** Whatever others store there. */
  get usedPercent(): number {
    return this.isFull ? 100 : this.decisions.below('used', this.id, this.looks++, 101)
  }

  /** Some file systems tell how much is free. */
  get freeBytes(): number {
    if (!this.decisions.chance('tells what is free', this.id, 0, 400)) return Number.POSITIVE_INFINITY
    return this.isFull ? 0 : 1e12
  }

  /** Some file systems have no room for a name either, when they are full. */
  get refusesNames(): boolean {
    return this.isFull && this.decisions.chance('full means no names', this.id, 0, 400)
  }

  /** Some file systems write nothing in place: what is written over needs room, too. */
  get writesElsewhere(): boolean {
    return this.isFull && this.decisions.chance('full means no room to write over', this.id, 0, 300)
  }

  newInode(): Inode {
    return new Inode(this.id * 1_000_000 + this.#inodes++, this.marks, { keepsFormer: this.keepsFormer })
  }

  changeNames(directory: string, names: NameChange['names']): void {
    for (const [path, thing] of names) setName(this.names, path, thing)
    this.#pendingNames.push({ directory, names })
    this.namesVersion++
    this.marks.cache = true
  }

  syncDirectory(directory: string): void {
    if (this.#pendingNames.length === 0) return
    const rest: NameChange[] = []
    for (const change of this.#pendingNames) {
      if (change.directory !== directory) rest.push(change)
      else for (const [path, thing] of change.names) setName(this.durableNames, path, thing)
    }
    this.#pendingNames = rest
    this.durableNamesVersion++
    this.marks.durable = true
  }

  /** The `operationsLeft`-th operation of that kind from now on fails. */
  plantError(kind: PlantedErrorKind, operationsLeft: number): void {
    this.#planted = { kind, operationsLeft }
  }

  /** The `operationsLeft`-th read from now on fails. */
  plantReadError(operationsLeft: number): void {
    this.#readsLeft = operationsLeft
  }

  /** Every read of these bytes fails from now on. */
  makeUnreadable(inode: Inode, from: number, to: number): void {
    this.#unreadable = { inode, from, to }
  }

  makeReadable(): void {
    this.#unreadable = null
  }

  clearPlantedError(): void {
    this.#planted = null
    this.#readsLeft = null
    this.#unreadable = null
  }

  /** @returns the error that a read of these bytes meets, or null. */
  errorOfRead(inode: Inode, at: number, count: number): Error | null {
    const bad = this.#unreadable
    const isUnreadable = bad !== null && bad.inode === inode && bad.from < at + count && bad.to > at
    const isDue = this.#readsLeft !== null && this.#readsLeft-- <= 0
    if (isDue) this.#readsLeft = null
    if (!isUnreadable && !isDue) return null
    this.errorsGiven++
    return Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
  }

  /** @returns the error that this operation meets, or null. */
  errorOf(operation: 'write' | 'sync'): Error | null {
    const planted = this.#planted
    if (planted === null || (planted.kind === 'sync') !== (operation === 'sync')) return null
    if (planted.operationsLeft-- > 0) return null
    this.#planted = null
    this.errorsGiven++
    if (planted.kind === 'full')
      return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    return Object.assign(new Error(`EIO: i/o error, ${operation}`), { code: 'EIO' })
  }

  /** The process is gone: each write under way happened, did not, or happened in part. */
  processKilled(): void {
    this.askedFor.clear()
    for (const write of this.writesUnderWay) {
      write.done = true
      const operation = this.operations++
      const bytes = Buffer.concat(write.bytes)
      const outcome = this.decisions.below('killed write', this.id, operation, 3)
      if (outcome === 0) continue
      const kept = outcome === 1 ? bytes.length : this.decisions.below('torn write', this.id, operation, bytes.length)
      if (kept > 0) write.inode.write(bytes.subarray(0, kept), write.at)
    }
    this.writesUnderWay.clear()
  }

  powerLost(): void {
    this.processKilled()
    this.#loseNames()
    const inodes = new Set<Inode>()
    for (const thing of this.names.values()) if (thing !== 'directory') inodes.add(thing)
    for (const inode of inodes) inode.losePower(this.decisions)
  }

  /** What a copy of the switched-off drive holds. */
  snapshot(): SimDriveImage {
    return [...this.durableNames].map(([path, thing]) => {
      if (thing === 'directory') return [path, thing]
      const bytes = Buffer.alloc(thing.durableBytes)
      thing.durable.read(bytes, 0)
      return [path, bytes]
    })
  }

  /** A copy takes its place. */
  restore(image: SimDriveImage): void {
    this.wipe()
    for (const [path, content] of image) {
      if (content === 'directory') {
        this.names.set(path, content)
        continue
      }
      const inode = this.newInode()
      if (content.length > 0) inode.write(content, 0)
      inode.synced(inode.sequence)
      this.names.set(path, inode)
    }
    this.durableNames = new Map(this.names)
    this.#namesChanged()
  }

  /** An empty drive takes its place. */
  wipe(): void {
    this.names = new Map(EMPTY_DRIVE)
    this.durableNames = new Map(this.names)
    this.#pendingNames = []
    this.missing.clear()
    this.#namesChanged()
  }

  #loseNames(): void {
    const loss = this.#losses++
    const perMille = [1000, 500, 0][this.decisions.below('names loss mode', this.id, loss, 3)] as number
    const blocked = new Set<string>()
    let drawn = loss * 10_007
    for (const change of this.#pendingNames) {
      const lost = this.decisions.chance('name lost', this.id, drawn++, perMille)
      if (lost || change.names.some(([path]) => blocked.has(path))) for (const [path] of change.names) blocked.add(path)
      else for (const [path, thing] of change.names) setName(this.durableNames, path, thing)
    }
    this.#pendingNames = []
    for (const path of this.durableNames.keys()) if (!this.#hasParents(path)) this.durableNames.delete(path)
    this.names = new Map(this.durableNames)
    this.#namesChanged()
  }

  #namesChanged(): void {
    this.namesVersion++
    this.durableNamesVersion++
    this.marks.cache = true
    this.marks.durable = true
  }

  #hasParents(path: string): boolean {
    for (let parent = dirname(path); parent !== '/'; parent = dirname(parent)) {
      if (this.durableNames.get(parent) !== 'directory') return false
    }
    return true
  }
}

function setName(names: Map<string, NamedThing>, path: string, thing: NamedThing | null): void {
  if (thing === null) names.delete(path)
  else names.set(path, thing)
}
