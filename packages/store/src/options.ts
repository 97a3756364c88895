/** The settings of a store, their defaults, and what is allowed. Checked as a whole before anything is touched. */
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { type Clock, type Logger, type Random, silentLogger, systemClock } from '@dledger-ts/base'
import {
  bootIdentity,
  type ClassicRole,
  DEFAULT_SETTINGS,
  type DirectoryOwner,
  type Disk,
  type DLedgerOptions,
  type NodeSettings,
  nodeDisk,
  type PeerSockets,
  TcpTransport,
  type Transport,
} from '@dledger-ts/dledger'
import { DEFAULT_MESSAGE_DELAY_LEVEL, type HostAddress, parseDelayLevels } from '@dledger-ts/protocol'
import { ApacheCheckpointFiles } from './apache/checkpoint-files.ts'
import { CONSUME_QUEUE_ENTRY_BYTES, CONSUME_QUEUE_FILE_BYTES } from './consume-queue/entry-codec.ts'
import { findLogDirectory } from './apache/log-directory.ts'
import { StoreError } from './errors.ts'
import { DEFAULT_INDEX_SHAPE, INDEX_FILE_BYTES_MAX, indexFileBytes, type KeyIndexSettings } from './key-index/layout.ts'
import { LevelMetadata } from './metadata/level-metadata.ts'
import type { MetadataStore } from './metadata/metadata-store.ts'
import type { RebuildProgress } from './rebuild/full-rebuild.ts'
import type { SendsProgress } from './send-once/stored-sends.ts'
import type { TimerSettings } from './timer/timer-message.ts'

const DEFAULT_CHECKPOINT_INTERVAL_MS = 5_000
const DEFAULT_TIMER_PRECISION_MS = 100
const DEFAULT_TIMER_MAX_DELAY_MS = 3 * 24 * 60 * 60 * 1000
const DEFAULT_HOT_BYTES_MAX = 16 * 1024 * 1024
/** The largest buffer of Node.js 20. */
const HOT_BYTES_LIMIT = 2 ** 32
/** Apache's accessMessageInMemoryMaxRatio: this share of the machine's memory counts as in memory. */
const IN_MEMORY_RATIO = 0.4
const DEFAULT_DUPLICATE_SEND_IDS_MAX = 1_048_576
/** 512 MiB of memory. */
const DUPLICATE_SEND_IDS_LIMIT = 16_777_216
const WEEK_MS = 7 * 24 * 3_600_000
const ALL_INTERFACES = '0.0.0.0'

/** Settings of the log that are handed down as they are; units, defaults and consequences in the README of `dledger`. */
const LOG_SETTINGS = [
  'flushDiskType',
  'asyncFlushIntervalMs',
  'tickMs',
  'heartbeatMs',
  'electionTimeoutMs',
  'proposalTimeoutMs',
  'preferredLeader',
  'storageSlowMs',
  'storageHangMs',
  'diskFreeBytesMin',
  'diskUsedPercentMax',
  'diskReserveBytes',
  'scrubBytesPerSecond',
  'catchUpBytesPerSecond',
  'retentionMs',
  'retentionHours',
  'retentionEarlyDiskPercent',
  'retentionBytes',
  'retentionDiskPercent',
  'retainForLaggingBytes',
  'retentionIntervalMs',
] as const satisfies readonly (keyof NodeSettings)[]

export interface MessageStoreOptions extends Partial<Pick<NodeSettings, (typeof LOG_SETTINGS)[number]>> {
  /** Everything lies below it: `commitlog/`, `consumequeue/`, `index/`, `metadata/`. */
  readonly dir: string
  /** `<dir>/commitlog` when absent; the log itself is in `dledger-<self>` below it, or below `dir` where Apache's broker put it. */
  readonly commitLogDir?: string
  /** This member's id. Default `n0`. */
  readonly self?: string
  /** Name of the group; members of another group are refused. Default `default`. */
  readonly group?: string
  /** All members that found the group, this one included. Absent, empty or only this one: no network is used. */
  readonly peers?: readonly { readonly id: string; readonly host: string; readonly port: number }[]
  /** How the others are reached. Default: TCP, on this member's port in `peers`. */
  readonly transport?: Transport
  /**
   * A master that slaves copy, or one of these: nobody is elected, and `peers` is empty. Left out: a group of one without a network, or
   * the group of the `peers`.
   */
  readonly classic?: {
    readonly role: ClassicRole
    /** Where the others of the two are listened to. */
    readonly listenPort: number
    /** Known to the master and its slaves; at least 16 bytes. Default: none. */
    readonly secret?: string
  }
  /** A slave has answered its master: see `copies`. */
  readonly onCopyAnswered?: () => void
  /** The address on which the TCP transport listens. Default: all. */
  readonly listenHost?: string
  /** What that transport dials and accepts by. Default: TCP; with TLS, for one, what `Tls` of `@dledger-ts/remoting` gives. */
  readonly sockets?: PeerSockets
  /** Told to the other members: the address on which this member's broker serves clients. */
  readonly advertised?: string
  /** Size of a log file; fixed when the group is created. Apache: mappedFileSizeCommitLog. */
  readonly fileBytes?: number
  /** Size of a ConsumeQueue file, a multiple of 20. Apache: mappedFileSizeConsumeQueue. */
  readonly consumeQueueFileBytes?: number
  /** Whether messages can be found by key and unique id. Apache: messageIndexEnable. Default true. */
  readonly messageIndexEnable?: boolean
  /** Hash slots of an index file; 4 bytes of memory each. Apache: maxHashSlotNum. Default 5,000,000. */
  readonly maxHashSlotNum?: number
  /** Entries of an index file. Apache: maxIndexNum. Default 20,000,000. */
  readonly maxIndexNum?: number
  /** Delays by level, the same on all members. Default: Apache's 18. */
  readonly messageDelayLevel?: string
  /** Timers (messages delayed by any time) are as exact as this. Default 100. Apache: timerPrecisionMs. */
  readonly timerPrecisionMs?: number
  /** The longest such delay. Default 3 days. Apache: timerMaxDelaySec. */
  readonly timerMaxDelayMs?: number
  /** Counts at once after a power cut under ASYNC_FLUSH, though it may lack what it acknowledged. Default false. */
  readonly assumeIntact?: boolean
  /** How often what is derived from the log is written; a restart applies again what came after. Default 5,000. */
  readonly checkpointIntervalMs?: number
  /** Newest records kept in memory, taken as it is needed and kept; 4 GiB at most. Default 16 MiB. */
  readonly hotBytesMax?: number
  /** Records no further than this behind the newest count as in memory. Default 40 % of the machine's memory. */
  readonly inMemoryBytes?: number
  /**
   * A message whose topic and unique id (property UNIQ_KEY) were stored within this span is not stored again; the put is answered with
   * the first one's place. So a program that puts one message object twice within the span stores it once. In milliseconds of store
   * time, at most a week; 0, the default, switches it off. The same on all members.
   */
  readonly duplicateSendWindowMs?: number
  /** Sends recognised at most, 32 bytes of memory each; beyond, the oldest go before their span ends. Default 1,048,576. */
  readonly duplicateSendIdsMax?: number
  /** The host in records that the store makes itself. */
  readonly storeHost?: HostAddress
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
  readonly disk?: Disk
  /** Which process opens the directory, on which start of the machine. Default: this one; simulations start both anew with it. */
  readonly owner?: DirectoryOwner
  /** Where metadata is kept; closed with the store. Default: a `level` database in `<dir>/metadata`. */
  readonly metadata?: MetadataStore
  /**
   * A start that applies much of the log again, for what is derived from it is gone, damaged or old, says how far it is: when that
   * begins, at most once a second, when it is done. A group of one does it within `open`, unless it serves meanwhile. What it throws ends the
   * member.
   */
  readonly onRebuild?: (progress: RebuildProgress) => void
  /**
   * A group of one that applies much of the log again opens before that is done, and serves what is ready: `open` resolves, reads of what
   * is applied are answered, what is not known yet is REBUILDING, puts are NOT_LEADER or BUSY until `isReady`. Default false: `open`
   * resolves when messages are taken.
   */
  readonly serveWhileRebuilding?: boolean
  /**
   * Where repeated sends are recognised a start reads those of the last span from the log, within `open`, and says how far it is: as
   * `onRebuild`.
   */
  readonly onSendsRead?: (progress: SendsProgress) => void
  /** The member has stopped for good after a storage failure or a broken invariant; close it. */
  readonly onFatal?: (error: Error) => void
}

/** Everything chosen. */
export interface CheckedOptions {
  readonly given: MessageStoreOptions
  readonly clock: Clock
  readonly logger: Logger
  readonly disk: Disk
  readonly consumeQueueDirectory: string
  readonly consumeQueueFileBytes: number
  readonly keyIndex: KeyIndexSettings | null
  readonly fileBytes: number
  readonly delayLevelsMs: readonly number[]
  readonly timerSettings: TimerSettings
  readonly hotBytesMax: number
  readonly checkpointIntervalMs: number
  readonly inMemoryBytes: number
  readonly storeHost: HostAddress | null
  readonly sendOnce: { readonly windowMs: number; readonly idsMax: number; readonly timeoutMs: number } | null
  /** This boot of the machine; empty when it is not known. */
  readonly bootId: string
  readonly apacheFiles: ApacheCheckpointFiles
  readonly onRebuild: ((progress: RebuildProgress) => void) | null
  readonly onSendsRead: ((progress: SendsProgress) => void) | null
  readonly onFatal: (error: Error) => void
}

/** @throws StoreError INVALID that names the setting and what is allowed; dledger checks its own. */
export function checkOptions(given: MessageStoreOptions): CheckedOptions {
  const consumeQueueFileBytes = given.consumeQueueFileBytes ?? CONSUME_QUEUE_FILE_BYTES
  if (consumeQueueFileBytes % CONSUME_QUEUE_ENTRY_BYTES !== 0 || !(consumeQueueFileBytes > 0)) {
    throw invalid(
      `consumeQueueFileBytes is ${consumeQueueFileBytes}; a multiple of ${CONSUME_QUEUE_ENTRY_BYTES} is allowed`,
    )
  }
  const checkpointIntervalMs = given.checkpointIntervalMs ?? DEFAULT_CHECKPOINT_INTERVAL_MS
  if (!(checkpointIntervalMs >= 1))
    throw invalid(`checkpointIntervalMs is ${checkpointIntervalMs}; at least 1 is allowed`)
  const logger = given.logger ?? silentLogger
  return {
    given,
    clock: given.clock ?? systemClock,
    logger,
    disk: given.disk ?? nodeDisk,
    consumeQueueDirectory: join(given.dir, 'consumequeue'),
    consumeQueueFileBytes,
    keyIndex: keyIndexSettings(given),
    fileBytes: given.fileBytes ?? DEFAULT_SETTINGS.fileBytes,
    delayLevelsMs: delayLevels(given.messageDelayLevel ?? DEFAULT_MESSAGE_DELAY_LEVEL),
    timerSettings: timerSettings(given),
    hotBytesMax: wholeNumber('hotBytesMax', given.hotBytesMax ?? DEFAULT_HOT_BYTES_MAX, 0, HOT_BYTES_LIMIT),
    checkpointIntervalMs,
    inMemoryBytes: given.inMemoryBytes ?? Math.floor(totalmem() * IN_MEMORY_RATIO),
    storeHost: given.storeHost ?? null,
    sendOnce: sendOnce(given),
    bootId: given.owner?.bootId ?? bootIdentity(),
    apacheFiles: new ApacheCheckpointFiles(given.disk ?? nodeDisk, given.dir, process.pid),
    onRebuild: given.onRebuild ?? null,
    onSendsRead: given.onSendsRead ?? null,
    onFatal: given.onFatal ?? ((error) => logger.error({ err: error }, 'the store has stopped')),
  }
}

/** Where logs are looked for. */
export function commitLogDirectory(given: MessageStoreOptions): string {
  return given.commitLogDir ?? join(given.dir, 'commitlog')
}

function sendOnce(given: MessageStoreOptions): CheckedOptions['sendOnce'] {
  const windowMs = wholeNumber('duplicateSendWindowMs', given.duplicateSendWindowMs ?? 0, 0, WEEK_MS)
  const idsMax = given.duplicateSendIdsMax ?? DEFAULT_DUPLICATE_SEND_IDS_MAX
  wholeNumber('duplicateSendIdsMax', idsMax, 1, DUPLICATE_SEND_IDS_LIMIT)
  if (windowMs === 0) return null
  return { windowMs, idsMax, timeoutMs: given.proposalTimeoutMs ?? DEFAULT_SETTINGS.proposalTimeoutMs }
}

function wholeNumber(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw invalid(`${name} is ${value}; a whole number from ${min} to ${max} is allowed`)
}

/** The settings of the log below the store. @throws StoreError INVALID. */
export function logOptions(options: CheckedOptions): DLedgerOptions {
  const { given, clock, logger, disk, fileBytes, onFatal } = options
  const self = given.self ?? 'n0'
  const peers = given.peers ?? []
  const transport = given.transport ?? tcpTransport(options, self)
  return {
    directory: findLogDirectory({ disk, dir: given.dir, commitLogDir: commitLogDirectory(given), self }),
    group: given.group ?? 'default',
    self,
    ...(given.classic?.role === 'slave' ? {} : { members: peers.length === 0 ? [self] : peers.map((peer) => peer.id) }),
    ...(given.classic === undefined ? {} : { classic: given.classic.role }),
    ...(given.onCopyAnswered === undefined ? {} : { onAcknowledged: given.onCopyAnswered }),
    advertised: given.advertised ?? '',
    clock,
    logger,
    disk,
    fileBytes,
    onFatal,
    ...(transport === null ? {} : { transport }),
    ...(given.random === undefined ? {} : { random: given.random }),
    ...(given.owner === undefined ? {} : { owner: given.owner }),
    ...(given.assumeIntact === undefined ? {} : { assumeIntact: given.assumeIntact }),
    ...settingsGiven(given),
  }
}

function settingsGiven(given: MessageStoreOptions): Partial<NodeSettings> {
  return Object.fromEntries(LOG_SETTINGS.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]))
}

/**
 * Opens the database in `<dir>/metadata`. A damaged one is put aside, for all of it is built again, where the log has its beginning.
 *
 * @throws StoreError as LevelMetadata.open.
 */
export async function openMetadata(options: CheckedOptions, logDirectory: string): Promise<MetadataStore> {
  const { disk, logger, given } = options
  const directory = join(given.dir, 'metadata')
  disk.makeDirectorySync(given.dir)
  try {
    return await LevelMetadata.open(directory)
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'CORRUPT') throw error
    if (startsLater(disk, logDirectory)) {
      const what = `${error.message}; the log does not have its beginning any more, so empty the member's directory, or restore a backup`
      throw new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause: error })
    }
    logger.warn(
      { err: error },
      'the metadata database is damaged: it is put aside as metadata.damaged and built again from the log',
    )
    await LevelMetadata.setAside(directory)
    return LevelMetadata.open(directory)
  }
}

/** Whether the log has forgotten entries: its first file is named by where it starts. */
function startsLater(disk: Disk, logDirectory: string): boolean {
  const first = disk.listSync(join(logDirectory, 'data'))[0]
  return first !== undefined && Number(first) > 0
}

/** null for a group of one. */
function tcpTransport({ given, clock, logger }: CheckedOptions, self: string): Transport | null {
  const peers = given.peers ?? []
  const own = peers.find((peer) => peer.id === self)
  const { classic } = given
  if (classic !== undefined && peers.length > 0)
    throw invalid('a master and its slaves have no peers of which one is elected')
  if (classic !== undefined) {
    return new TcpTransport({
      self,
      listenHost: given.listenHost ?? ALL_INTERFACES,
      listenPort: classic.listenPort,
      peers: [],
      clock,
      logger,
      ...(classic.secret === undefined ? {} : { secret: classic.secret }),
      ...(given.sockets === undefined ? {} : { sockets: given.sockets }),
    })
  }
  if (peers.length > 0 && own === undefined) {
    throw invalid(`member ${self} is not among the peers ${peers.map((peer) => peer.id).join(', ')}`)
  }
  if (own === undefined || peers.length === 1) return null
  return new TcpTransport({
    self,
    listenHost: given.listenHost ?? ALL_INTERFACES,
    listenPort: own.port,
    peers: peers.filter((peer) => peer.id !== self),
    clock,
    logger,
    ...(given.sockets === undefined ? {} : { sockets: given.sockets }),
  })
}

function keyIndexSettings(given: MessageStoreOptions): KeyIndexSettings | null {
  if (given.messageIndexEnable === false) return null
  const slotCount = given.maxHashSlotNum ?? DEFAULT_INDEX_SHAPE.slotCount
  const entryCountMax = given.maxIndexNum ?? DEFAULT_INDEX_SHAPE.entryCountMax
  const shape = { slotCount, entryCountMax }
  if (!(Number.isSafeInteger(slotCount) && slotCount >= 1)) {
    throw invalid(`maxHashSlotNum is ${slotCount}; at least 1 is allowed`)
  }
  if (!(Number.isSafeInteger(entryCountMax) && entryCountMax >= 2)) {
    throw invalid(`maxIndexNum is ${entryCountMax}; at least 2 is allowed`)
  }
  if (indexFileBytes(shape) > INDEX_FILE_BYTES_MAX) {
    throw invalid(
      `maxHashSlotNum and maxIndexNum make files of ${indexFileBytes(shape)} bytes; at most ${INDEX_FILE_BYTES_MAX} are allowed`,
    )
  }
  return { directory: join(given.dir, 'index'), shape }
}

function timerSettings(given: MessageStoreOptions): TimerSettings {
  const { timerPrecisionMs = DEFAULT_TIMER_PRECISION_MS, timerMaxDelayMs = DEFAULT_TIMER_MAX_DELAY_MS } = given
  for (const [name, value] of Object.entries({ timerPrecisionMs, timerMaxDelayMs })) {
    if (!(Number.isSafeInteger(value) && value >= 1)) throw invalid(`${name} is ${value}; at least 1 is allowed`)
  }
  return { timerPrecisionMs, timerMaxDelayMs }
}

function delayLevels(text: string): readonly number[] {
  try {
    return parseDelayLevels(text)
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause)
    throw new StoreError(what, { code: 'INVALID', what }, { cause })
  }
}

function invalid(what: string): StoreError {
  return new StoreError(what, { code: 'INVALID', what })
}
