/** Times of one in sixteen. */
import { expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { SampledTimes } from './sampled-times.ts'

function took(times: SampledTimes, clock: ManualClock, ms: number): void {
  for (let i = 0; i < 16; i++) {
    const begun = times.begin()
    clock.spend(ms)
    times.end(begun)
  }
}

test('one in sixteen is measured; the longest is kept, the distribution is that of the last minute or two', () => {
  const clock = new ManualClock()
  const times = new SampledTimes(clock)
  expect([times.maxMs, times.percentileMs(0.99)]).toEqual([0, 0])
  for (let i = 0; i < 98; i++) took(times, clock, 3)
  took(times, clock, 700)
  took(times, clock, 20_000)
  expect(times.maxMs).toBe(20_000)
  expect(times.distribution()).toMatch(/^\[<=0ms\]:0 \[0~10ms\]:98 .*\[500ms~1s\]:1 .*\[10s~\]:1$/)
  expect(times.percentileMs(0.5)).toBeGreaterThanOrEqual(3)
  expect(times.percentileMs(0.5)).toBeLessThan(3.5)
  expect(times.percentileMs(0.99)).toBeGreaterThanOrEqual(700)
  expect(times.percentileMs(0.99)).toBeLessThan(800)
  times.turn()
  expect(times.distribution()).toContain('[0~10ms]:98')
  times.turn()
  expect(times.distribution()).toContain('[0~10ms]:0')
  expect(times.maxMs).toBe(20_000)
})
