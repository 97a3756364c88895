/**
 * Apache's keys for what the log forgets, as settings of the store.
 *
 * Keeps: ratios beyond Apache's own bounds count as the bound, as there; but a large disk may be filled beyond Apache's 90 %.
 *
 * Source: org.apache.rocketmq.store.DefaultMessageStore.CleanCommitLogService, MessageStoreConfig.getDiskMaxUsedSpaceRatio.
 */
import type { MessageStoreOptions } from '@dledger-ts/store'
import type { ConfigValues } from './keys.ts'

const MS_PER_HOUR = 3_600_000

type RetentionOptions = Pick<
  MessageStoreOptions,
  | 'retentionMs'
  | 'retentionHours'
  | 'retentionEarlyDiskPercent'
  | 'retentionDiskPercent'
  | 'diskUsedPercentMax'
  | 'retentionBytes'
  | 'retainForLaggingBytes'
>

/** @param config checked: `parseHours` understands its `deleteWhen`. */
export function retentionOptions(config: ConfigValues): Required<RetentionOptions> {
  const { cleanFileForciblyEnable, diskSpaceCleanForciblyRatio, retentionBytes } = config
  return {
    retentionMs: config.fileReservedTime * MS_PER_HOUR,
    retentionHours: parseHours(config.deleteWhen) ?? null,
    retentionEarlyDiskPercent: within(config.diskMaxUsedSpaceRatio, 10, 95),
    retentionDiskPercent: cleanFileForciblyEnable ? within(diskSpaceCleanForciblyRatio, 30, 85) : null,
    diskUsedPercentMax: Math.max(config.diskSpaceWarningLevelRatio, 35),
    retentionBytes: retentionBytes === 0 ? null : retentionBytes,
    retainForLaggingBytes: config.retainForLaggingBytes,
  }
}

/** @returns the hours of `04;16`, undefined for what is none. */
export function parseHours(text: string): readonly number[] | undefined {
  const hours: number[] = []
  for (const part of text.split(';')) {
    const hour = part.trim()
    if (hour === '') continue
    if (!/^\d{1,2}$/.test(hour) || Number(hour) > 23) return undefined
    hours.push(Number(hour))
  }
  return hours.length === 0 ? undefined : hours
}

function within(percent: number, min: number, max: number): number {
  return Math.min(Math.max(percent, min), max)
}
