/**
 * The settings of one member, their defaults and what is allowed. Checked as a whole before anything is touched.
 */
import { leaseDurationMs } from './driver/lease.ts'
import { DLedgerError } from './errors.ts'
import { ENTRY_HEADER_BYTES } from './log/entry-batch.ts'
import type { HandoverOptions } from './raft/role/handover.ts'

/**
 * What an acknowledgement means. SYNC_FLUSH: synced (fdatasync) on a majority. ASYNC_FLUSH: in the page cache of a majority,
 * synced every `asyncFlushIntervalMs`; it survives killed processes and power cuts of a minority.
 */
export type FlushDiskType = 'SYNC_FLUSH' | 'ASYNC_FLUSH'

export interface NodeSettings {
  readonly flushDiskType: FlushDiskType
  /** Unit of the core's time. */
  readonly tickMs: number
  readonly heartbeatMs: number
  /** The least election timeout; each is drawn from this up to twice this. */
  readonly electionTimeoutMs: number
  /**
   * Whether the leader may answer `lease` reads without asking a majority. Then voters keep their promise to a leader whatever
   * happens: a lost connection is no hint that it is dead (failover takes an election timeout), and a member that was started
   * again votes for nobody for as long. Must be equal in the whole group; members that differ refuse each other. It trusts clocks
   * to run at most 2 % fast or slow. Default false: `lease` reads ask as `linearizable` ones do.
   */
  readonly leaseReads: boolean
  /** A proposal that is not committed after this is answered TIMEOUT: its outcome is unknown. */
  readonly proposalTimeoutMs: number
  readonly asyncFlushIntervalMs: number
  /** Size of a data file; fixed when the group is created. */
  readonly fileBytes: number
  /** Size of an index file; a multiple of 32. */
  readonly indexFileBytes: number
  /** How far the active data file is filled with zeros ahead of its end, so a sync need not change metadata. 0: not. */
  readonly zeroFillBytes: number
  /**
   * Newest entries kept in memory. A follower that lags further behind is fed from the disk; what is sent at once is never read
   * again. More of them grow old before they are dropped, and what is old is collected late: it costs several times its size.
   */
  readonly hotBytesMax: number
  readonly appendBytesMax: number
  readonly inflightBytesMax: number
  readonly uncommittedBytesMax: number
  /** Proposals are refused with BUSY while the state machine of the leader is this many bytes of the log behind. */
  readonly unappliedBytesMax: number
  /** Bytes of closed log files that are read a second to find rot; 0: rot is found by whoever reads it. */
  readonly scrubBytesPerSecond: number
  /** From the end of one such pass over the log to the next, in milliseconds. */
  readonly scrubIntervalMs: number
  /** Bytes of one read and one message for a follower that is given state and files (one entry always goes). */
  readonly catchUpPieceBytes: number
  /** Bytes under way at most to a follower that is being given the log's files: what this costs the leader in memory. */
  readonly catchUpWindowBytes: number
  /**
   * What all followers that catch up from disk get together, in bytes per second, from the log or by files; 0: as much as they
   * take, at the cost of appends.
   */
  readonly catchUpBytesPerSecond: number
  /** A file of the log goes when it was last written longer ago, in milliseconds of the wall clock; null: age is no reason. */
  readonly retentionMs: number | null
  /** Files go as long as the log has more bytes than this; null: size is no reason. The file that is being written stays. */
  readonly retentionBytes: number | null
  /**
   * Age lets files go only in these hours of the day, local time, and whenever the disk is `retentionEarlyDiskPercent` full; null: at
   * any time.
   */
  readonly retentionHours: readonly number[] | null
  /** From so full a disk on, the fullest of the group, files that are old enough go at any hour; null: only in `retentionHours`. */
  readonly retentionEarlyDiskPercent: number | null
  /**
   * The oldest file goes while the fullest disk of the group is that full, in percent of its file system; null: not looked at. A disk
   * that others fill costs the log its head.
   */
  readonly retentionDiskPercent: number | null
  /** What a follower that answers still lacks is kept for it, up to so many bytes; one that lacks more is given state and files. */
  readonly retainForLaggingBytes: number
  /** How often the leader decides what goes, in milliseconds, at a heartbeat; and how often a member looks how full its disk is. */
  readonly retentionIntervalMs: number
  /** Leads whenever it is up, well and level; null: nobody does rather than another. */
  readonly preferredLeader: string | null
  /** How long the preferred leader must have been up, well and level without a break before it is handed the leadership. */
  readonly preferredStableMs: number
  /** Between a transfer and the next one for the sake of preference; twice as long after each try that failed, up to 32 times. */
  readonly transferRetryMs: number
  /** A leader with a write or sync under way for longer than an election timeout hands over; after this it steps down anyway. */
  readonly storageSlowMs: number
  /** A write or sync that takes longer has failed: the member stops with STORAGE_FAILED. */
  readonly storageHangMs: number
  /** With less free on its file system a leader refuses data with DISK_FULL; reads and the log's own entries go on. 0: not looked at. */
  readonly diskFreeBytesMin: number
  /**
   * With more of the file system in use than this, in percent, a leader refuses appends as for `diskFreeBytesMin`, and takes them again
   * with less in use; null: not looked at.
   */
  readonly diskUsedPercentMax: number | null
  /**
   * Room that is taken on the disk, beyond `diskFreeBytesMin`, and given when a write finds none: for the log's own entries, the hard
   * state, checkpoints and trims, so that room is made without a restart; no data is taken until it is there again. What is under way
   * when the disk is found full (`uncommittedBytesMax` at most) takes its part of it first. 0: none. Each group of a host has its own.
   */
  readonly diskReserveBytes: number
}

export const DEFAULT_SETTINGS: NodeSettings = {
  flushDiskType: 'SYNC_FLUSH',
  tickMs: 50,
  heartbeatMs: 100,
  electionTimeoutMs: 500,
  leaseReads: false,
  proposalTimeoutMs: 2_500,
  asyncFlushIntervalMs: 500,
  fileBytes: 1024 * 1024 * 1024,
  indexFileBytes: 32 * 5_242_880,
  zeroFillBytes: 16 * 1024 * 1024,
  hotBytesMax: 2 * 1024 * 1024,
  appendBytesMax: 1024 * 1024,
  inflightBytesMax: 8 * 1024 * 1024,
  uncommittedBytesMax: 64 * 1024 * 1024,
  unappliedBytesMax: 128 * 1024 * 1024,
  scrubBytesPerSecond: 4 * 1024 * 1024,
  scrubIntervalMs: 86_400_000,
  catchUpPieceBytes: 1024 * 1024,
  catchUpWindowBytes: 8 * 1024 * 1024,
  catchUpBytesPerSecond: 128 * 1024 * 1024,
  retentionMs: null,
  retentionBytes: null,
  retentionHours: null,
  retentionEarlyDiskPercent: null,
  retentionDiskPercent: null,
  retainForLaggingBytes: 4 * 1024 * 1024 * 1024,
  retentionIntervalMs: 10_000,
  preferredLeader: null,
  preferredStableMs: 10_000,
  transferRetryMs: 30_000,
  storageSlowMs: 5_000,
  storageHangMs: 30_000,
  diskFreeBytesMin: 64 * 1024 * 1024,
  diskUsedPercentMax: null,
  diskReserveBytes: 16 * 1024 * 1024,
}

/** The largest body an entry may have: header, body and the 8 bytes of a blank must fit in one file. */
export function entryBodyBytesMax(settings: NodeSettings): number {
  return settings.fileBytes - ENTRY_HEADER_BYTES - 8
}

/** The times of handing over, in ticks of the core. */
export function handoverOptions(settings: NodeSettings): HandoverOptions {
  const ticks = (ms: number): number => Math.max(1, Math.round(ms / settings.tickMs))
  return {
    preferredLeader: settings.preferredLeader,
    stableTicks: ticks(settings.preferredStableMs),
    retryTicks: ticks(settings.transferRetryMs),
    unwellRetryTicks: ticks(2 * settings.electionTimeoutMs),
    slowTicksMax: ticks(settings.storageSlowMs),
  }
}

/** @throws DLedgerError INVALID that names the setting, its value and what is allowed. */
export function checkSettings(settings: NodeSettings): void {
  const rows: readonly [name: keyof NodeSettings, min: number, max: number][] = [
    ['tickMs', 1, 60_000],
    ['heartbeatMs', 1, 600_000],
    ['electionTimeoutMs', 1, 3_600_000],
    ['proposalTimeoutMs', 1, 3_600_000],
    ['asyncFlushIntervalMs', 1, 3_600_000],
    ['fileBytes', 1024, 2 ** 40],
    ['indexFileBytes', 32, 2 ** 40],
    ['zeroFillBytes', 0, 2 ** 30],
    ['hotBytesMax', 0, 2 ** 34],
    ['appendBytesMax', 1, 2 ** 30],
    ['inflightBytesMax', 1, 2 ** 34],
    ['uncommittedBytesMax', 1, 2 ** 34],
    ['unappliedBytesMax', 1, 2 ** 34],
    ['scrubBytesPerSecond', 0, 2 ** 40],
    ['scrubIntervalMs', 0, 2 ** 40],
    ['catchUpPieceBytes', 1, 2 ** 25],
    ['catchUpWindowBytes', 1, 2 ** 34],
    ['catchUpBytesPerSecond', 0, 2 ** 40],
    ['retainForLaggingBytes', 0, 2 ** 50],
    ['retentionIntervalMs', 1, 3_600_000],
    ['preferredStableMs', 0, 3_600_000],
    ['transferRetryMs', 0, 3_600_000],
    ['storageSlowMs', 1, 3_600_000],
    ['storageHangMs', 1, 3_600_000],
    ['diskFreeBytesMin', 0, 2 ** 50],
    ['diskReserveBytes', 0, 2 ** 40],
  ]
  for (const [name, min, max] of rows) {
    const value = settings[name] as number
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      throw invalid(`${name} is ${value}; a whole number from ${min} to ${max} is allowed`)
    }
  }
  const limits: readonly [name: keyof NodeSettings, min: number, max: number][] = [
    ['retentionMs', 1, 2 ** 50],
    ['retentionBytes', 1, 2 ** 50],
    ['retentionDiskPercent', 1, 100],
    ['retentionEarlyDiskPercent', 1, 100],
    ['diskUsedPercentMax', 1, 100],
  ]
  for (const [name, min, max] of limits) {
    const value = settings[name] as number | null
    if (value !== null && (!Number.isSafeInteger(value) || value < min || value > max)) {
      throw invalid(`${name} is ${value}; a whole number from ${min} to ${max} or null is allowed`)
    }
  }
  checkHours(settings.retentionHours)
  if (settings.flushDiskType !== 'SYNC_FLUSH' && settings.flushDiskType !== 'ASYNC_FLUSH') {
    throw invalid(`flushDiskType is ${String(settings.flushDiskType)}; SYNC_FLUSH or ASYNC_FLUSH is allowed`)
  }
  if (settings.indexFileBytes % 32 !== 0)
    throw invalid(`indexFileBytes is ${settings.indexFileBytes}; it must be a multiple of 32`)
  if (settings.heartbeatMs < settings.tickMs) {
    throw invalid(`heartbeatMs (${settings.heartbeatMs}) must be at least tickMs (${settings.tickMs})`)
  }
  if (settings.electionTimeoutMs < 2 * settings.heartbeatMs) {
    throw invalid(
      `electionTimeoutMs (${settings.electionTimeoutMs}) must be at least twice heartbeatMs (${settings.heartbeatMs})`,
    )
  }
  if (typeof settings.leaseReads !== 'boolean') {
    throw invalid(`leaseReads is ${String(settings.leaseReads)}; true or false is allowed`)
  }
  if (settings.leaseReads && leaseDurationMs(settings) <= settings.heartbeatMs) {
    throw invalid(
      `electionTimeoutMs (${settings.electionTimeoutMs}) is too short for leaseReads: no lease would last from one heartbeat ` +
        `(${settings.heartbeatMs}) to the next; a little more than twice heartbeatMs and two ticks is needed`,
    )
  }
}

function checkHours(hours: NodeSettings['retentionHours']): void {
  const isHour = (hour: unknown): boolean =>
    Number.isSafeInteger(hour) && (hour as number) >= 0 && (hour as number) <= 23
  if (hours === null || (Array.isArray(hours) && hours.length > 0 && hours.every(isHour))) return
  throw invalid(`retentionHours is ${JSON.stringify(hours)}; hours from 0 to 23, at least one, or null are allowed`)
}

/** Bytes of a group's or a member's name at most: they stand in the hard state and in every hello. */
const NAME_BYTES_MAX = 255
/** Of all members that a group begins with: each hard state names them twice. */
const NAMES_BYTES_MAX = 2_000

/** @throws DLedgerError INVALID that names what does not fit. */
export function checkNames(group: string, self: string, members: readonly string[], joins: boolean): void {
  for (const name of [group, self, ...members]) checkMemberName(name)
  if (!joins && !members.includes(self)) throw invalid(`member ${self} is not among the peers ${members.join(', ')}`)
  const twice = members.find((member, i) => members.indexOf(member) !== i)
  if (twice !== undefined) throw invalid(`member ${twice} is named twice among the peers ${members.join(', ')}`)
  const bytes = members.reduce((sum, member) => sum + Buffer.byteLength(member), 0)
  if (bytes > NAMES_BYTES_MAX)
    throw invalid(`the names of all members have ${bytes} bytes; ${NAMES_BYTES_MAX} are allowed`)
}

/** @throws DLedgerError INVALID. */
export function checkMemberName(name: string): void {
  const bytes = Buffer.byteLength(name)
  if (bytes === 0 || bytes > NAME_BYTES_MAX) {
    throw invalid(`the name of a group or member has ${bytes} bytes; 1 to ${NAME_BYTES_MAX} are allowed`)
  }
}

export function invalid(what: string): DLedgerError {
  return new DLedgerError(what, { code: 'INVALID', what })
}
