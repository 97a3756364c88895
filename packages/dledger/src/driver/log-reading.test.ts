/** Reads of entries that are not in memory: what becomes of them while the log changes. */
import { systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { DLedgerError } from '../errors.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import { HotTail } from './hot-tail.ts'
import type { Life } from './life.ts'
import { LogReading, type ReadCallback } from './log-reading.ts'

const damaged = new DLedgerError('not what was written', { code: 'CORRUPT', file: 'log', at: 0 })

/** A log that ends with `lastIndex`, whose reads end as the test says; it asserts what a log does. */
class HeldLog {
  lastIndex = 9
  readonly firstIndex = 0
  readonly reads: { readonly range: [number, number]; readonly end: ReadCallback }[] = []

  read(firstIndex: number, lastIndex: number, _bytesMax: number, callback: ReadCallback): void {
    expect(lastIndex, 'no entry behind the end is asked for').toBeLessThanOrEqual(this.lastIndex)
    this.reads.push({ range: [firstIndex, lastIndex], end: callback })
  }

  firstLostFrom(): number {
    return Number.POSITIVE_INFINITY
  }

  examine(): boolean {
    return false
  }

  trimmed(what: string): DLedgerError {
    return new DLedgerError(`${what} is gone`, { code: 'TRIMMED', firstIndex: this.firstIndex })
  }
}

function readingOf(log: HeldLog): LogReading {
  const life = { state: 'open', isRunning: true, guarded: (work: () => void) => work() }
  return new LogReading({
    clock: systemClock,
    life: life as unknown as Life,
    hot: new HotTail(0),
    log: () => log as unknown as SegmentedLog,
    isSwitching: () => false,
    onFailed: (error) => expect.unreachable(error.message),
  })
}

test('a read that comes late, of entries that were cut meanwhile, goes on with what is left of them', async () => {
  const log = new HeldLog()
  const reading = readingOf(log)
  const read = new Promise<Error | null>((resolve) => reading.read(5, 9, 1_000, (error) => resolve(error)))
  log.lastIndex = 6
  log.reads[0]?.end(damaged, null)
  expect(log.reads.map(({ range }) => range)).toEqual([
    [5, 9],
    [5, 6],
  ])
  log.reads[1]?.end(null, null)
  expect(await read).toBeNull()
  expect(reading.isIdle).toBe(true)
})

test('where nothing of them is left it is told so', async () => {
  const log = new HeldLog()
  const read = new Promise<Error | null>((resolve) => readingOf(log).read(5, 9, 1_000, (error) => resolve(error)))
  log.lastIndex = 3
  log.reads[0]?.end(damaged, null)
  expect(await read).toMatchObject({ code: 'TRIMMED' })
})
