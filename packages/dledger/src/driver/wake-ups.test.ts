import { type Clock, systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { WakeUps } from './wake-ups.ts'

const settings = { tickMs: 50, heartbeatMs: 100, electionTimeoutMs: 500 }

interface Told {
  readonly atMs: number
  readonly ticks: number
}

/** What a member is told that gets heartbeats at these times and is looked at until `untilMs`. */
function lived(heartbeatsAtMs: readonly number[], untilMs: number, over: Partial<typeof settings> = {}): Told[] {
  let now = 0
  const told: Told[] = []
  let timer: { atMs: number; callback: () => void } | null = null
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => now,
    after: (delayMs, callback) => {
      timer = { atMs: now + delayMs, callback }
      return () => {
        timer = null
      }
    },
  }
  const passTo = (ms: number): void => {
    for (let due = timer; due !== null && due.atMs <= ms; due = timer) {
      now = due.atMs
      timer = null
      due.callback()
    }
    now = ms
  }
  const wakeUps = new WakeUps({
    clock,
    settings: { ...settings, ...over },
    ticker: undefined,
    wake: (ticks) => void told.push({ atMs: now, ticks }),
    overdue: () => {},
  })
  wakeUps.start()
  for (const atMs of heartbeatsAtMs) {
    passTo(atMs)
    wakeUps.heartbeatCame()
  }
  passTo(untilMs)
  wakeUps.stop()
  return told
}

const sum = (told: readonly Told[]): number => told.reduce((all, { ticks }) => all + ticks, 0)

test('all time is lived through, by heartbeats or without', () => {
  expect(sum(lived([], 2_000))).toBe(40)
  expect(sum(lived([130, 230, 330, 430], 2_030))).toBe(40)
})

test('a follower wakes once for each heartbeat, and before an election could be due where they stay away', () => {
  const told = lived([130, 230, 330], 1_000)
  expect(told.slice(1, 4).map(({ atMs }) => atMs)).toEqual([230, 330, 730])
  expect(told.find(({ atMs }) => atMs === 730)).toEqual({ atMs: 730, ticks: 8 })
})

test.for([100, 150, 199])(
  'heartbeats are not ridden on where an election is due after %i ms without',
  (electionTimeoutMs) => {
    expect(lived([50, 150, 250], 600, { electionTimeoutMs }).map(({ atMs }) => atMs)).toEqual([
      100, 200, 300, 400, 500, 600,
    ])
  },
)

test('where an election is due sooner, so is the wake-up', () => {
  const told = lived([100, 200], 600, { electionTimeoutMs: 300 })
  expect(told.map(({ atMs }) => atMs)).toEqual([100, 200, 400, 500, 600])
})
