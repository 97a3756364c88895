/** How long a start waits for its disk, by a clock that stands still in between. */
import { expect, test } from 'vitest'
import { BoundedStart, type BoundedStartOptions, FULL_MS_MAX } from './bounded-start.ts'

const HANG_MS = 30_000

/** @returns `pass`: so much time passes, and then what is due comes late; `told`: what the start was told. */
function waiting({ isFull = false } = {}) {
  let nowMs = 0
  let due: { readonly atMs: number; readonly callback: () => void } | null = null
  const told: (Error | null)[] = []
  let tries = 0
  const clock = {
    monotonicMs: () => nowMs,
    after: (ms: number, callback: () => void) => {
      due = { atMs: nowMs + ms, callback }
      return () => (due = null)
    },
  }
  const member = {
    hardStateIsFull: isFull,
    retryFullHardState: () => tries++,
    stopWaitingForHardState: () => {},
    log: { waitsForRoom: false, retryFull: () => {} },
  }
  const node = { directory: '/m', settings: { storageHangMs: HANG_MS }, clock }
  const options = { node, member, doing: 'this' } as unknown as BoundedStartOptions
  const steps = new BoundedStart(options, (error) => void told.push(error))
  const pass = (ms: number): void => {
    nowMs += ms
    if (due === null || due.atMs > nowMs) return
    const { callback } = due
    due = null
    callback()
  }
  return { steps, told, pass, tries: () => tries }
}

test('a disk that hangs is waited for so long', () => {
  const { told, pass } = waiting()
  for (let ms = 0; ms < HANG_MS - 100; ms += 100) pass(100)
  expect(told).toEqual([])
  for (let i = 0; i < 3; i++) pass(100)
  expect(told).toMatchObject([{ code: 'STORAGE_FAILED' }])
})

test('time in which the process stood still counts for no disk', () => {
  const { steps, told, pass } = waiting()
  pass(100)
  pass(10 * HANG_MS)
  expect(told).toEqual([])
  steps.thenDo(() => steps.end(null))(null)
  expect(told).toEqual([null])
})

test('nor for one that is full: room is looked for before it is given up', () => {
  const { told, pass, tries } = waiting({ isFull: true })
  pass(100)
  pass(10 * FULL_MS_MAX)
  expect([told, tries()]).toEqual([[], 2])
  for (let ms = 0; ms < FULL_MS_MAX; ms += 100) pass(100)
  expect(told).toMatchObject([{ code: 'DISK_FULL' }])
})
