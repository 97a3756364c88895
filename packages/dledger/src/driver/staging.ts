/**
 * Another member's log and state as they are received, in `incoming/` of a member's directory, until they take the place of its own.
 *
 *   incoming/data/  incoming/index/    a log like any other, which starts where the sender's does
 *   incoming/state                     the state that belongs to its start
 *
 * Keeps:
 *   - what is in the received log was checked entry by entry, chain and all; it goes on after a restart where it was synced.
 *   - a received state was checked piece by piece; a checksum over all of it is remembered with how much of it is synced, and what a start
 *     finds is read and compared with that before it goes on or is taken in. What was received is no entry that a peer could repair.
 *   - `moveIn` can be repeated after a crash at any point of it: once SWITCHING is durable, a received file counts wherever it
 *     stands, and a file of the old log counts nowhere.
 */
import { assert, crc32, type Logger } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import type { Disk, DiskCallback, DiskFile } from '../disk/disk.ts'
import type { HardState, Incoming, IncomingSnapshot } from '../hard-state/hard-state-codec.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import { INDEX_UNIT_BYTES } from '../log/index-codec.ts'
import { fileStartOf } from '../log/layout.ts'
import { SegmentFile } from '../log/segment-file.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import { WriteLane } from '../log/write-lane.ts'
import { closed } from './life.ts'

const KINDS = ['data', 'index'] as const
const CONFIGURATIONS_KEPT = 16
const CHECKED_BYTES = 1024 * 1024

export interface StagingOptions {
  readonly disk: Disk
  /** The member's own. */
  readonly directory: string
  readonly settings: NodeSettings
  readonly checksummedFrom: number
  readonly defer: (callback: () => void) => void
  readonly logger: Logger
}

export class Staging {
  readonly log: SegmentedLog
  readonly #incoming: Incoming
  readonly #state: SegmentFile | null
  readonly #stateLane: WriteLane
  /** What was handed to the disk. */
  #stateBytes: number
  #stateIsWhole: boolean
  /** Of these bytes. */
  #stateCrc: number
  /** What has reached the page cache: a sync covers it. */
  #written: Pick<Incoming, 'hint' | 'snapshot'>
  #closing = false

  /**
   * Goes on with what `incoming` says is synced.
   *
   * @param before entries from this index on are dropped; above the first one.
   * @throws DLedgerError CORRUPT when that is not there.
   */
  static open(options: StagingOptions, incoming: Incoming, before = Number.POSITIVE_INFINITY): Staging {
    const { disk, settings } = options
    const root = incomingPath(options.directory)
    disk.makeDirectorySync(root)
    disk.syncDirectorySync(options.directory)
    const log = SegmentedLog.open({
      disk,
      directory: root,
      fileBytes: settings.fileBytes,
      indexFileBytes: settings.indexFileBytes,
      zeroFillBytes: 0,
      durableHint: incoming.hint,
      checksummedFrom: options.checksummedFrom,
      beforeFirst: incoming.beforeFirst.index < 0 ? null : incoming.beforeFirst,
      configurationIndexes: incoming.configurationIndexes,
      distrustsCache: true,
      defer: options.defer,
      logger: options.logger,
    })
    let state: DiskFile | null = null
    try {
      const isEmpty = log.lastIndex < log.firstIndex
      if (!isEmpty && log.lastIndex >= before) log.truncateFrom(before)
      if (incoming.snapshot === null) return new Staging(log, null, incoming, options.defer)
      state = disk.openSync(statePath(options.directory), { create: true })
      disk.syncDirectorySync(root)
      return new Staging(log, new SegmentFile(state, 0), incoming, options.defer)
    } catch (error) {
      state?.closeSync()
      log.close()
      throw error
    }
  }

  private constructor(
    log: SegmentedLog,
    state: SegmentFile | null,
    incoming: Incoming,
    defer: StagingOptions['defer'],
  ) {
    this.log = log
    this.#state = state
    const fileAt = (): SegmentFile => {
      assert(state !== null, 'pieces of a state come where one is wanted')
      return state
    }
    this.#stateLane = new WriteLane({ fileAt, mayWrite: () => true, defer })
    this.#incoming = incoming
    const kept = incoming.snapshot
    const isThere = kept?.crc !== undefined && state !== null && state.sizeSync() >= kept.bytes
    this.#stateBytes = isThere ? kept.bytes : 0
    this.#stateIsWhole = isThere && kept.isWhole
    this.#stateCrc = isThere ? (kept.crc ?? 0) : 0
    this.#written = { hint: markOf(log), snapshot: this.#snapshot() }
  }

  /** What is said of the state, counting all that was handed in. */
  #snapshot(): IncomingSnapshot | null {
    const { snapshot } = this.#incoming
    if (snapshot === null) return null
    return { ...snapshot, bytes: this.#stateBytes, isWhole: this.#stateIsWhole, crc: this.#stateCrc }
  }

  /**
   * Reads what is there of the state; where that is not what was written, it is received from the beginning. Before the first piece.
   *
   * @param callback `isGood` false: it was not.
   */
  checkState(callback: (error: Error | null, isGood: boolean) => void): void {
    const state = this.#state
    if (state === null || this.#stateBytes === 0) return callback(null, true)
    checkStaged(state, { bytes: this.#stateBytes, crc: this.#stateCrc }, (error, isGood) => {
      if (error === null && !isGood) {
        this.#stateBytes = 0
        this.#stateIsWhole = false
        this.#stateCrc = 0
        this.#written = { ...this.#written, snapshot: this.#snapshot() }
      }
      callback(error, isGood)
    })
  }

  get incoming(): Incoming {
    return this.#incoming
  }

  /** Where the next piece of the state goes; -1 when there is none to come. */
  get stateAt(): number {
    return this.#incoming.snapshot === null || this.#stateIsWhole ? -1 : this.#stateBytes
  }

  append(batch: EntryBatch, callback: DiskCallback): void {
    let hint: Incoming['hint'] = null
    this.log.append(batch, (error) => {
      this.#written = { ...this.#written, hint }
      callback(error)
    })
    hint = markOf(this.log)
  }

  /** Pieces go one after another; what finds no room waits for `retryFull`. */
  writeState(bytes: Buffer, isLast: boolean, callback: DiskCallback): void {
    const at = this.#stateBytes
    this.#stateBytes = at + bytes.length
    this.#stateIsWhole = isLast
    this.#stateCrc = crc32(bytes, 0, bytes.length, this.#stateCrc)
    const snapshot = this.#snapshot()
    const done: DiskCallback = (error) => {
      if (error === null) this.#written = { ...this.#written, snapshot }
      callback(error)
    }
    this.#stateLane.push({ start: 0, at, bytes: bytes.length, buffers: [bytes], done })
  }

  /** The disk has no room for what was received: it waits. */
  get isFull(): boolean {
    return this.log.isFull || this.#stateLane.isFull
  }

  /** Room may have come back: what found none is tried again. */
  retryFull(): void {
    this.log.retryFull()
    this.#stateLane.retry()
  }

  /** Makes all that was written durable, and tells what a hard state may say of it. One at a time. */
  sync(callback: (error: Error | null, incoming: Incoming) => void): void {
    const hintIndex = this.#written.hint?.index ?? -1
    const configurations = this.log.configurationIndexes().filter((index) => index <= hintIndex)
    const synced: Incoming = {
      ...this.#incoming,
      ...this.#written,
      configurationIndexes: configurations.slice(-CONFIGURATIONS_KEPT),
    }
    this.log.sync((error) => {
      if (error !== null || this.#state === null || this.#closing) return callback(error, synced)
      this.#state.sync((failure) => callback(failure, synced))
    })
  }

  /** What is under way ends first, what waits gets CLOSED. Idempotent. */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    this.log.close()
    this.#stateLane.stop(closed())
    this.#state?.close()
  }
}

/** Is that which was written still there? Reads it in pieces, never called back within this call. */
export function checkStaged(
  file: Pick<SegmentFile, 'read'>,
  { bytes, crc }: { readonly bytes: number; readonly crc: number },
  callback: (error: Error | null, isGood: boolean) => void,
): void {
  const piece = Buffer.allocUnsafe(Math.min(bytes, CHECKED_BYTES))
  let at = 0
  let found = 0
  const next = (): void => {
    const part = piece.subarray(0, Math.min(piece.length, bytes - at))
    file.read(part, at, (error) => {
      if (error !== null) return callback(error, false)
      found = crc32(part, 0, part.length, found)
      at += part.length
      if (at < bytes) next()
      else callback(null, found === crc)
    })
  }
  next()
}

function markOf({ firstIndex, lastIndex, endPos, lastChain }: SegmentedLog): Incoming['hint'] {
  return lastIndex < firstIndex ? null : { index: lastIndex, endPos, chain: lastChain }
}

export function incomingPath(directory: string): string {
  return `${directory}/incoming`
}

export function statePath(directory: string): string {
  return `${incomingPath(directory)}/state`
}

/** Removes what was received, of which nothing is open: all of it, or only the log or the state. */
export function discardIncoming(
  disk: Disk,
  directory: string,
  parts: { readonly log: boolean; readonly state: boolean },
): void {
  const root = incomingPath(directory)
  if (parts.log) {
    for (const kind of KINDS) {
      for (const name of disk.listSync(`${root}/${kind}`).reverse()) disk.removeSync(`${root}/${kind}/${name}`)
    }
  }
  if (parts.state && disk.existsSync(statePath(directory))) disk.removeSync(statePath(directory))
}

/**
 * Puts the received log in the place of the member's own, whose files are closed: SWITCHING is durable.
 *
 * @returns what the hard state says afterwards; all of it is synced.
 */
export function moveIn(disk: Disk, directory: string, { settings, incoming }: Arrival): Partial<HardState> {
  const { beforeFirst, baseConfiguration, hint, configurationIndexes, snapshot } = incoming
  const lastIndex = hint?.index ?? beforeFirst.index
  const lastPos = hint?.endPos ?? beforeFirst.endPos
  const ranges = {
    data: {
      from: firstFileAfter(beforeFirst.endPos, settings.fileBytes),
      to: fileStartOf(lastPos, settings.fileBytes),
    },
    index: {
      from: fileStartOf((beforeFirst.index + 1) * INDEX_UNIT_BYTES, settings.indexFileBytes),
      to: fileStartOf(lastIndex * INDEX_UNIT_BYTES, settings.indexFileBytes),
    },
  }
  for (const kind of KINDS) {
    const [own, received] = [`${directory}/${kind}`, `${incomingPath(directory)}/${kind}`]
    disk.makeDirectorySync(own)
    const names = disk.listSync(received)
    for (const name of names) disk.renameSync(`${received}/${name}`, `${own}/${name}`)
    for (const name of disk.listSync(own)) {
      if (Number(name) < ranges[kind].from || Number(name) > ranges[kind].to) disk.removeSync(`${own}/${name}`)
    }
    if (disk.existsSync(received)) disk.syncDirectorySync(received)
    disk.syncDirectorySync(own)
  }
  disk.syncDirectorySync(directory)
  return {
    beforeFirst: beforeFirst.index < 0 ? null : beforeFirst,
    baseConfiguration,
    durableHint: hint,
    configurationIndexes,
    incoming: snapshot === null ? null : { ...incoming, phase: 'RESTORING' },
  }
}

/** Where a log starts whose entry before ends at `endPos`: its first entry is the first of a file. */
function firstFileAfter(endPos: number, fileBytes: number): number {
  const start = fileStartOf(endPos, fileBytes)
  return start === endPos ? start : start + fileBytes
}

interface Arrival {
  readonly settings: NodeSettings
  readonly incoming: Incoming
}
