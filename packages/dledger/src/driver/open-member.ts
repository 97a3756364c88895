/**
 * Opens a member's directory: owner, hard state, log. Synchronous; either all of it is open or nothing was changed.
 *
 * Keeps:
 *   O1  A directory has one owner at a time.
 *   O2  A log without readable hard state does not start: it could vote twice. That of Apache's DLedger is taken over once, with
 *       term and vote; its hard state is made last, so a crash leaves either Apache's directory or ours.
 *   O7  A hard state that is older than the log does not start either: it forgot terms and votes.
 *   O3  Group, member, file size and format are those the directory was made with.
 *   O6  A backup belongs to nobody: who opens it first takes it, under an identity of its own.
 *   O5  What a start reads after an unclean stop is written again and synced before it counts: the page cache may show what a
 *       failed sync has left unwritten for ever.
 *   O4  A member that may have lost acknowledged entries to a power cut (asynchronous flush, unclean stop, another boot or an
 *       unknown one) is recovering, and stays so across deaths until it is intact again (raft/role/recovery.ts).
 */
import { dirname, join } from 'node:path'
import { decodeConfiguration } from '../configuration-codec.ts'
import { invalid } from '../config.ts'
import { type DirectoryLock, lockDirectory } from '../directory-lock.ts'
import { type Disk, type DiskCallback, isDiskFull } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import type { WatchedDisk } from '../disk/watched-disk.ts'
import { type HardState, HardStateFile } from '../hard-state/hard-state-file.ts'
import { withoutWhatMayGo } from '../hard-state/hard-state-size.ts'
import { SegmentedLog } from '../log/segmented-log.ts'
import { readApacheDirectory, refuseForgottenTerm, retireApacheTerm, type TermAndVote } from './apache-directory.ts'
import { giveReserveForStart } from './disk-reserve.ts'
import { discardIncoming, moveIn } from './staging.ts'
import type { LogNodeOptions } from './node-options.ts'
import { lostEntriesOf } from './repairing.ts'
import { nextLife } from './incarnation.ts'
import type { Configuration } from '../raft/configuration.ts'
import type { LogShape } from '../raft/output.ts'

export interface OpenedMember {
  readonly hardState: HardState
  readonly log: SegmentedLog
  readonly shape: LogShape
  /** The files of the log were replaced, and the hard state knows: closes the old ones before, opens the new ones after. */
  closeLog(): void
  reopenLog(): void
  /** Changes some fields and makes the whole durable; calls in order. */
  writeHardState(change: Partial<HardState>, callback: DiskCallback): void
  /** What the hard state is to say found no room on the disk: it waits for `retryFullHardState`, and nothing that depends on it happens. */
  readonly hardStateIsFull: boolean
  retryFullHardState(): void
  /** For a stop: from here on nothing waits for room; what does is given up, and nobody is told. */
  stopWaitingForHardState(): void
  /** Closes the files and gives the directory free, once nothing under way can arrive there any more; then calls back. */
  release(callback: () => void): void
  /** As `release`, for a start that failed before anything was taken in: a clean stop before it is still one. */
  abandon(callback: () => void): void
}

/** @throws DLedgerError INVALID or CORRUPT with a line that names what and where. */
export function openMember(options: LogNodeOptions, disk: WatchedDisk): OpenedMember {
  const { directory, settings, owner, logger } = options
  const hardStatePath = join(directory, 'hard-state')
  try {
    if (!disk.existsSync(hardStatePath)) makeDirectoryDurably(disk, directory)
  } catch (cause) {
    const what = `${directory}: cannot be made: ${cause instanceof Error ? cause.message : String(cause)}`
    throw new DLedgerError(what, { code: 'INVALID', what }, { cause })
  }
  const lock = lockWithRoom(disk, directory, owner)
  let file: HardStateFile | null = null
  let log: SegmentedLog | null = null
  const closeAll = (): void => {
    log?.close()
    file?.closeSync()
    lock.release()
  }
  try {
    const readsCopies = options.plantedDriverFaults?.has('hard-state-copy-unread') !== true
    file = HardStateFile.openSync(disk, hardStatePath, { readsCopies })
    if (file !== null) {
      compare(file.state, options)
      refuseOutdated(file.state, options)
      // A start that ended before its directory was synced has left a name that may be in the page cache only.
      disk.syncDirectorySync(directory)
    }
    if (file?.state.storeId === UNTAKEN) {
      file.writeSync({ ...file.state, member: options.self, storeId: options.newStoreId() })
    }
    file ??= HardStateFile.createSync(disk, hardStatePath, takenOver(options) ?? firstHardState(options))
    retireApacheTerm(disk, directory)
    const distrustsCache =
      !file.state.cleanStop && options.plantedDriverFaults?.has('page-cache-trusted-after-failed-sync') !== true
    if (file.wasDamaged)
      logger.error({ file: hardStatePath }, 'the hard state is damaged in one of its copies, which is mended')
    // Before its other slot is written: the older state there may be the last one that is on the disk.
    if (distrustsCache) file.rewriteSync()
    else file.mendSync()
    if (file.state.incoming?.phase === 'SWITCHING') {
      // A crash came while a received log took the place of this one.
      file.writeSync({ ...file.state, ...moveIn(disk, directory, { settings, incoming: file.state.incoming }) })
    }
    const known = file.state
    if ((known.incoming ?? null) === null) discardIncoming(disk, directory, { log: true, state: true })
    log = openLog(known, options, { disk, distrustsCache })
    refuseOlderState(known, log, hardStatePath)
    const shape = shapeOf(log, known, options)
    const recovering = isRecovering(known, shape, options)
    file.writeSync({
      ...known,
      ...nextLife(known, options.random),
      bootId: owner.bootId,
      cleanStop: false,
      asyncAcks: known.asyncAcks || settings.flushDiskType === 'ASYNC_FLUSH',
      recovering,
    })
    return new Member(file, log, { shape, lock, before: known, options, disk })
  } catch (error) {
    closeAll()
    throw error
  }
}

/** What decides whether a directory fits. */
export type DirectoryClaim = Pick<
  LogNodeOptions,
  'disk' | 'directory' | 'group' | 'self' | 'settings' | 'owner' | 'classic'
>

/**
 * Refuses a directory that `openMember` would refuse for its owner, group, member, file size, format, history or damage, and
 * changes nothing, but that where hardly anything is free the reserve is given for what a start writes.
 *
 * @throws DLedgerError INVALID or CORRUPT with a line that names what and where.
 */
export function checkMember(claim: DirectoryClaim): void {
  const { disk, directory, owner } = claim
  if (!disk.existsSync(directory)) return
  const lock = lockWithRoom(disk, directory, owner)
  let file: HardStateFile | null = null
  try {
    file = HardStateFile.openSync(disk, join(directory, 'hard-state'))
    if (file === null) {
      checkApacheDirectory(claim)
      return
    }
    compare(file.state, claim)
    refuseOutdated(file.state, claim)
    // What a crash interrupted is finished by opening.
    if (file.state.incoming?.phase === 'SWITCHING') return
    const { settings } = claim
    const { durableHint, checksummedFrom, beforeFirst, configurationIndexes = null } = file.state
    const found = SegmentedLog.check({
      disk,
      directory,
      fileBytes: settings.fileBytes,
      indexFileBytes: settings.indexFileBytes,
      durableHint,
      checksummedFrom,
      beforeFirst,
      configurationIndexes,
      servesDamaged: true,
      termMax: file.state.term,
    })
    refuseOlderState(file.state, found, join(directory, 'hard-state'))
  } finally {
    file?.closeSync()
    lock.release()
  }
}

/** The lock of the directory, and the room that a start needs; the reserve is given for either. */
function lockWithRoom(disk: Disk, directory: string, owner: DirectoryClaim['owner']): DirectoryLock {
  let lock: DirectoryLock
  try {
    lock = lockDirectory(disk, directory, owner)
  } catch (error) {
    if (!(error instanceof Error && isDiskFull(error))) throw error
    // A file that found no room may be of use to somebody who runs there; its owner makes it anew.
    giveReserveForStart(disk, directory)
    lock = lockDirectory(disk, directory, owner)
  }
  try {
    giveReserveForStart(disk, directory)
  } catch (error) {
    lock.release()
    throw error
  }
  return lock
}

/** A term is on the disk before the first entry of it: one that is older than the log has forgotten votes. */
function refuseOlderState({ term }: HardState, { lastTerm }: { readonly lastTerm: number }, path: string): void {
  if (lastTerm <= term) return
  const what = `${path} says term ${term}, but the log has entries of term ${lastTerm}: it is an older one, so this member will not vote`
  throw new DLedgerError(what, { code: 'CORRUPT', file: path, at: 0 })
}

interface LogDisk {
  readonly disk: Disk
  readonly distrustsCache: boolean
}

function openLog(known: HardState, options: LogNodeOptions, { disk, distrustsCache }: LogDisk): SegmentedLog {
  const { directory, settings, clock, logger } = options
  return SegmentedLog.open({
    disk,
    directory,
    fileBytes: settings.fileBytes,
    indexFileBytes: settings.indexFileBytes,
    zeroFillBytes: settings.zeroFillBytes,
    indexUnitsHeld: INDEX_UNITS_HELD,
    durableHint: known.durableHint,
    checksummedFrom: known.checksummedFrom,
    beforeFirst: known.beforeFirst,
    configurationIndexes: known.configurationIndexes ?? null,
    distrustsCache,
    servesDamaged: true,
    termMax: known.term,
    plantedFaults: options.plantedDriverFaults ?? new Set<string>(),
    defer: (callback) => clock.defer(callback),
    logger,
  })
}

function shapeOf(log: SegmentedLog, known: HardState, options: LogNodeOptions): LogShape {
  // Reading them may find out that one is damaged.
  const configurations = configurationsOf(log, known, options)
  return {
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    prevTerm: log.prevTerm,
    termRuns: log.termRuns(),
    lost: lostEntriesOf(log),
    configurations,
  }
}

interface Opened {
  readonly shape: LogShape
  readonly lock: DirectoryLock
  /** As it was found, or made. */
  readonly before: HardState
  readonly options: LogNodeOptions
  readonly disk: WatchedDisk
}

class Member implements OpenedMember {
  log: SegmentedLog
  shape: LogShape
  hardState: HardState
  readonly #file: HardStateFile
  readonly #lock: DirectoryLock
  readonly #before: HardState
  readonly #options: LogNodeOptions
  readonly #disk: WatchedDisk
  #released = false

  constructor(file: HardStateFile, log: SegmentedLog, opened: Opened) {
    this.#file = file
    this.#lock = opened.lock
    this.#before = opened.before
    this.#options = opened.options
    this.#disk = opened.disk
    this.log = log
    this.shape = opened.shape
    this.hardState = file.state
  }

  closeLog(): void {
    this.log.close()
  }

  reopenLog(): void {
    this.log = openLog(this.hardState, this.#options, { disk: this.#disk, distrustsCache: false })
    this.shape = shapeOf(this.log, this.hardState, this.#options)
  }

  writeHardState(change: Partial<HardState>, callback: DiskCallback): void {
    const { clock, directory, logger } = this.#options
    const wanted = { ...this.hardState, ...change }
    const written = withoutWhatMayGo(wanted)
    if (written === null) {
      const what = `${directory}: the hard state has no room for ${Object.keys(change).join(' and ')}: names and addresses of the members are too long`
      return clock.defer(() => callback(invalid(what)))
    }
    if (written !== wanted)
      logger.warn({}, 'the hard state has no room for all that it knew of others: some of that is forgotten')
    this.hardState = written
    this.#file.write(written, callback)
  }

  get hardStateIsFull(): boolean {
    return this.#file.isFull
  }

  retryFullHardState(): void {
    this.#file.retryFull()
  }

  stopWaitingForHardState(): void {
    this.#file.stopWaiting()
  }

  release(callback: () => void): void {
    if (this.#released) return callback()
    this.#released = true
    this.log.close()
    this.#file.closeSync()
    this.#disk.whenIdle(() => {
      try {
        this.#lock.release()
      } catch (error) {
        // The next owner takes over what a process that is gone has left; for this one nothing depends on it any more.
        this.#options.logger.warn({ err: error }, 'the lock file could not be removed')
      }
      callback()
    })
  }

  abandon(callback: () => void): void {
    try {
      // A life that was begun is never begun again.
      const { incarnation, formerIncarnations = [] } = this.hardState
      // Nor is a term taken back that the log may hold by now: of a copy that was being made the master.
      const base = this.hardState.term > this.#before.term ? this.hardState : this.#before
      this.#file.writeSync({ ...base, incarnation, formerIncarnations })
    } catch (error) {
      // What stands there says too little, not too much.
      this.#options.logger.warn({ err: error }, 'a start that failed counts as an unclean stop')
    }
    this.release(callback)
  }
}

/** Member and store of a directory that nobody has opened yet: a backup. */
export const UNTAKEN = ''

/** Its own name is synced too: a store that a power cut takes away whole would forget its votes. */
export function makeDirectoryDurably(disk: Disk, directory: string): void {
  const made = [directory]
  for (let parent = dirname(directory); !disk.existsSync(parent); parent = dirname(parent)) made.push(parent)
  disk.makeDirectorySync(directory)
  for (const path of made.reverse()) disk.syncDirectorySync(dirname(path))
}

function firstHardState(options: LogNodeOptions): HardState {
  return {
    group: options.group,
    member: options.self,
    storeId: options.newStoreId(),
    incarnation: 0,
    mustBeNamed: options.joins === true,
    term: 0,
    votedFor: null,
    fileBytes: options.settings.fileBytes,
    checksummedFrom: 0,
    bootId: options.owner.bootId,
    asyncAcks: false,
    cleanStop: true,
    recovering: false,
    durableHint: null,
    beforeFirst: null,
  }
}

/** Index units that wait for others in memory: 16 KiB of an index file. */
const INDEX_UNITS_HELD = 512

/** What is known of a log that Apache's DLedger wrote: no entry has checksums. */
const UNCHECKED = { durableHint: null, checksummedFrom: Number.MAX_SAFE_INTEGER, beforeFirst: null } as const

/** @returns term and vote, null for a directory that holds nothing yet. Changes nothing. */
function checkApacheDirectory(claim: DirectoryClaim): TermAndVote | null {
  const vote = readApacheDirectory(claim)
  if (vote === null) return null
  const { disk, directory } = claim
  const { fileBytes, indexFileBytes } = claim.settings
  const found = SegmentedLog.check({ disk, directory, fileBytes, indexFileBytes, ...UNCHECKED })
  if (found.lastChain !== 0) {
    throw invalid(`${directory}: its entries were written by this program, but its hard state is not there`)
  }
  refuseForgottenTerm(directory, vote, found.lastTerm)
  return vote
}

/** The hard state for a directory of Apache's DLedger, whose torn tail is cut and whose files are synced when this returns. */
function takenOver(options: LogNodeOptions): HardState | null {
  const vote = checkApacheDirectory(options)
  if (vote === null) return null
  const { disk, directory, settings, logger } = options
  const { fileBytes, indexFileBytes } = settings
  const asApache = { ...UNCHECKED, keepsSizes: true }
  const log = SegmentedLog.open({ disk, directory, fileBytes, indexFileBytes, zeroFillBytes: 0, ...asApache, logger })
  const { firstIndex, lastIndex: index, endPos } = log
  const configurationIndexes = [...log.configurationIndexes()]
  log.close()
  logger.info({ ...vote, lastIndex: index }, "a directory of Apache's DLedger is taken over")
  const durableHint = index < firstIndex ? null : { index, endPos, chain: 0 }
  return { ...firstHardState(options), ...vote, checksummedFrom: index + 1, durableHint, configurationIndexes }
}

function compare(known: HardState, { directory, group, self, settings }: DirectoryClaim): void {
  if (known.group !== group) throw invalid(`${directory}: belongs to group ${known.group}, not ${group}`)
  if (known.member !== self && known.member !== UNTAKEN)
    throw invalid(`${directory}: belongs to member ${known.member}, not ${self}`)
  if (known.fileBytes !== settings.fileBytes) {
    throw invalid(
      `${directory}: was made with log files of ${known.fileBytes} bytes, the configuration says ${settings.fileBytes}; ` +
        'the size is fixed when the group is created',
    )
  }
}

/** A slave may have been anything. */
function refuseOutdated({ outdated }: HardState, { directory, classic }: DirectoryClaim): void {
  if (outdated == null || classic === 'slave') return
  const what = `${directory}: ${outdated}`
  throw new DLedgerError(what, { code: 'OUTDATED', what })
}

/** Of a boot of which nothing is known, nobody can say that it is the same one. */
export const UNKNOWN_BOOT = 'unknown'

function isRecovering(known: HardState, shape: LogShape, options: LogNodeOptions): boolean {
  const { directory, owner, logger, settings, assumeIntact = false } = options
  const isSameBoot = known.bootId === owner.bootId && owner.bootId !== UNKNOWN_BOOT
  if (!known.recovering && (!known.asyncAcks || known.cleanStop || isSameBoot)) return false
  const facts = { directory, lastIndex: shape.lastIndex, syncedIndex: known.durableHint?.index ?? -1 }
  if (isLoneVoter(known, shape, options)) {
    const ms = settings.asyncFlushIntervalMs
    logger.warn(
      facts,
      `what was acknowledged in the ${ms} ms before the machine went off may be gone, and no other member has it`,
    )
    return false
  }
  if (assumeIntact) {
    logger.error(
      facts,
      'assumeIntact: this member may lack entries that it acknowledged, and counts all the same: they may be lost',
    )
    return false
  }
  logger.warn(
    facts,
    'recovering: what was acknowledged before a sync may be gone; it counts again when a leader has made it whole',
  )
  return true
}

/** Nobody else counts for anything: this member has nobody to ask. A learner beside a lone voter has. */
function isLoneVoter({ storeId }: HardState, shape: LogShape, { self, bootstrapVoters }: LogNodeOptions): boolean {
  const named = shape.configurations.at(-1)?.configuration.voters
  const [voter, ...others] = named ?? bootstrapVoters.map((id) => ({ id, storeId: null }))
  return voter?.id === self && (voter.storeId ?? storeId) === storeId && others.length === 0
}

function configurationsOf(
  log: SegmentedLog,
  known: HardState,
  { controlEnvelope }: LogNodeOptions,
): { index: number; configuration: Configuration }[] {
  const inLog = log.configurationEntries().map(({ index, body }) => ({
    index,
    configuration: decodeConfiguration(controlEnvelope.unwrap(body)),
  }))
  const base = known.baseConfiguration ?? null
  if (base === null) return inLog
  return [{ index: base.index, configuration: decodeConfiguration(Buffer.from(base.payload)) }, ...inLog]
}
