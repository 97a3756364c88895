import { expect, test } from 'vitest'
import { QUICK_BYTES_MAX, QuickWrites } from './quick-writes.ts'

/** When small writes are made by the calling thread again after a slow one that ended at `endedMs`. */
function backAt(quick: QuickWrites, endedMs: number): number {
  let atMs = endedMs
  while (!quick.mayWrite(1, atMs)) atMs += 500
  return atMs
}

test('small writes are quick until one of them is slow', () => {
  const quick = new QuickWrites()
  expect(quick.mayWrite(QUICK_BYTES_MAX, 0)).toBe(true)
  expect(quick.mayWrite(QUICK_BYTES_MAX + 1, 0)).toBe(false)
  quick.wrote(0, 24.9)
  expect(quick.mayWrite(1, 25)).toBe(true)
  quick.wrote(25, 50)
  expect(quick.mayWrite(1, 50)).toBe(false)
  expect(backAt(quick, 50)).toBe(1_050)
})

test('what is slow again and again is tried less and less', () => {
  const quick = new QuickWrites()
  let atMs = 0
  const pauses: number[] = []
  for (let i = 0; i < 9; i++) {
    quick.wrote(atMs, atMs + 100)
    const back = backAt(quick, atMs + 100)
    pauses.push(back - atMs - 100)
    atMs = back
  }
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
})

test('what was quick for as long as it was paused is trusted as before', () => {
  const quick = new QuickWrites()
  quick.wrote(0, 100)
  const back = backAt(quick, 100)
  quick.wrote(back + 1_000, back + 1_100)
  expect(backAt(quick, back + 1_100) - back - 1_100).toBe(1_000)
})

test('while a sync, or a write of another thread, takes long none is quick', () => {
  const quick = new QuickWrites()
  const sync = quick.begun(0)
  expect(quick.mayWrite(1, 24)).toBe(true)
  const write = quick.begun(24)
  expect(quick.mayWrite(1, 25)).toBe(false)
  quick.ended(sync)
  expect(quick.mayWrite(1, 25)).toBe(true)
  expect(quick.mayWrite(1, 49)).toBe(false)
  quick.ended(write)
  expect(quick.mayWrite(1, 49)).toBe(true)
})

test('many that take a large share of the time are paused like a slow one', () => {
  const quick = new QuickWrites()
  for (let i = 0; i < 9; i++) quick.wrote(i * 40, i * 40 + 20)
  expect(quick.mayWrite(1, 380)).toBe(true)
  quick.wrote(380, 400)
  expect(quick.mayWrite(1, 400)).toBe(false)
  expect(backAt(quick, 400)).toBe(1_400)
  for (let i = 0; i < 50; i++) quick.wrote(10_000 + i * 200, 10_020 + i * 200)
  expect(quick.mayWrite(1, 20_000)).toBe(true)
})

test('one that stands for longer than the pause, each time, is paused longer each time', () => {
  const quick = new QuickWrites()
  quick.wrote(0, 5_000)
  quick.wrote(8_000, 13_000)
  expect(backAt(quick, 13_000)).toBe(15_000)
})
