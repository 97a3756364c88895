/** The settings of a simulated group: production's timers, and sizes so small that every border is met often. */
import { DEFAULT_SETTINGS, type NodeSettings } from '@dledger-ts/dledger/internals'
import type { Decisions } from './decisions.ts'
import type { Schedule } from './schedule.ts'

const FILE_BYTES = [1024, 1536, 4096, 32_768] as const
const INDEX_UNITS = [4, 32, 1024] as const
const ZERO_FILL_BYTES = [0, 512, 4096] as const
const HOT_BYTES_MAX = [0, 600, 8_192, 1_048_576] as const
const APPEND_BYTES_MAX = [128, 1_000, 65_536] as const
const INFLIGHT_BYTES_MAX = [256, 4_096, 1_048_576] as const
const CATCH_UP_PIECE_BYTES = [150, 700, 65_536] as const
const CATCH_UP_WINDOW_BYTES = [1, 2_000, 1_048_576] as const
const CATCH_UP_BYTES_PER_SECOND = [0, 0, 20_000] as const
const RETENTION_MS = 1_500
const RETENTION_DISK_PERCENT = 70
const RETENTION_INTERVAL_MS = 400
const DISK_RESERVE_BYTES = [0, 8_192] as const
const UNCOMMITTED_BYTES_MAX = [2_000, 1_048_576, 1_048_576] as const
/** One state machine in four is soon said to be behind. */
const UNAPPLIED_BYTES_MAX = [400, 1_048_576, 1_048_576, 1_048_576] as const
const STORAGE_SLOW_MS = [500, 1_500] as const
const STORAGE_HANG_MS = [2_500, 30_000] as const
const SCRUB_BYTES_PER_SECOND = [0, 0, 20_000, 1_048_576] as const

export function settingsOf(schedule: Schedule, decisions: Decisions): NodeSettings {
  const one = (name: string, values: readonly number[]): number =>
    values[decisions.below(name, 0, 0, values.length)] as number
  return {
    ...DEFAULT_SETTINGS,
    flushDiskType: schedule.flush,
    leaseReads: decisions.chance('leaseReads', 0, 0, 400),
    fileBytes: one('fileBytes', FILE_BYTES),
    indexFileBytes: 32 * one('indexUnits', INDEX_UNITS),
    zeroFillBytes: one('zeroFillBytes', ZERO_FILL_BYTES),
    hotBytesMax: one('hotBytesMax', HOT_BYTES_MAX),
    appendBytesMax: one('appendBytesMax', APPEND_BYTES_MAX),
    inflightBytesMax: one('inflightBytesMax', INFLIGHT_BYTES_MAX),
    scrubBytesPerSecond: one('scrubBytesPerSecond', SCRUB_BYTES_PER_SECOND),
    scrubIntervalMs: 500,
    catchUpPieceBytes: one('catchUpPieceBytes', CATCH_UP_PIECE_BYTES),
    catchUpWindowBytes: one('catchUpWindowBytes', CATCH_UP_WINDOW_BYTES),
    catchUpBytesPerSecond: one('catchUpBytesPerSecond', CATCH_UP_BYTES_PER_SECOND),
    ...retentionOf(schedule, decisions, one('fileBytes', FILE_BYTES)),
    uncommittedBytesMax: one('uncommittedBytesMax', UNCOMMITTED_BYTES_MAX),
    unappliedBytesMax: one('unappliedBytesMax', UNAPPLIED_BYTES_MAX),
    preferredLeader: decisions.chance('prefers', 0, 0, 400)
      ? `n${decisions.below('preferred', 0, 0, schedule.members)}`
      : null,
    preferredStableMs: 300,
    transferRetryMs: 800,
    storageSlowMs: one('storageSlowMs', STORAGE_SLOW_MS),
    storageHangMs: one('storageHangMs', STORAGE_HANG_MS),
    diskReserveBytes: one('diskReserveBytes', DISK_RESERVE_BYTES),
  }
}

type Retention = Pick<
  NodeSettings,
  'retentionMs' | 'retentionBytes' | 'retentionDiskPercent' | 'retainForLaggingBytes' | 'retentionIntervalMs'
>

/** In some runs the leader trims of its own accord. */
function retentionOf(schedule: Schedule, decisions: Decisions, fileBytes: number): Retention {
  const isOn = decisions.chance('retention', 0, 0, 250)
  const by = (name: string): boolean => isOn && decisions.chance(name, 0, 0, 500)
  return {
    retentionMs: by('by age') ? RETENTION_MS : null,
    retentionBytes: by('by size') ? fileBytes * (1 + decisions.below('files retained', 0, 0, 4)) : null,
    retentionDiskPercent: by('by disk') ? RETENTION_DISK_PERCENT : null,
    retainForLaggingBytes: decisions.chance('lagging retain', 0, 0, 500) ? 0 : fileBytes * 3,
    retentionIntervalMs: RETENTION_INTERVAL_MS,
  }
}

export function hasRetention({ retentionMs, retentionBytes, retentionDiskPercent }: NodeSettings): boolean {
  return retentionMs !== null || retentionBytes !== null || retentionDiskPercent !== null
}
