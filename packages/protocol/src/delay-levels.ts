/**
 * `messageDelayLevel`: how long each delay level waits, e.g. `1s 5s 10s 30s 1m`. Level 1 is the first.
 *
 * Source: org.apache.rocketmq.store.schedule.ScheduleMessageService.parseDelayLevel.
 */
import { ProtocolError } from './errors.ts'

export const DEFAULT_MESSAGE_DELAY_LEVEL = '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h'

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * @returns the delay of level n in milliseconds at [n - 1].
 * @throws ProtocolError `BAD_TEXT` when a piece is not a number with one of s, m, h, d.
 */
export function parseDelayLevels(text: string): readonly number[] {
  return text.split(' ').map((piece) => {
    const unitMs = UNIT_MS[piece.slice(-1)]
    const count = piece.slice(0, -1)
    if (unitMs === undefined || !/^\d{1,9}$/.test(count)) {
      throw new ProtocolError(`messageDelayLevel: "${piece}" is not a number followed by s, m, h or d`, {
        code: 'BAD_TEXT',
        what: 'messageDelayLevel',
        text,
      })
    }
    return Number(count) * unitMs
  })
}

/** @returns the delay of `level`; levels above the table wait as long as its last one. */
export function delayOfLevel(levels: readonly number[], level: number): number {
  return levels[Math.min(level, levels.length) - 1] ?? 0
}
