import { describe, expect, test } from 'vitest'
import { type LoopTimes, StallMeter } from './stall-meter.ts'

/** A loop whose clocks a test moves. */
class Loop {
  readonly stalls: number[] = []
  readonly meter: StallMeter
  nowMs = 0
  activeMs = 0
  starvedMs = 0

  constructor() {
    this.meter = new StallMeter(this.#times(), (ms) => this.stalls.push(ms))
  }

  /** The next look, so much late. */
  look(lateMs = 0, starvedMs = 0, activeShare = 0): number {
    const elapsedMs = this.meter.dueMs + lateMs - this.nowMs
    this.nowMs += elapsedMs
    this.activeMs += elapsedMs * activeShare
    this.starvedMs += starvedMs
    this.meter.look(this.#times())
    return this.meter.dueMs - this.nowMs
  }

  #times(): LoopTimes {
    return { nowMs: this.nowMs, activeMs: this.activeMs, starvedMs: this.starvedMs }
  }
}

describe('a meter of stalls', () => {
  test('an idle loop is looked at twice a second', () => {
    const loop = new Loop()
    for (let i = 0; i < 10; i++) expect(loop.look(0, 0, 0.01)).toBe(500)
  })

  test('a loop that waited for a core is idle all the same', () => {
    const loop = new Loop()
    for (let i = 0; i < 10; i++) expect(loop.look(0, 240, 0.5)).toBe(500)
    expect(loop.look(0, 200, 0.5)).toBe(10)
  })

  test('a loop that works is looked at every 10 ms, until it has been idle for half a second', () => {
    const loop = new Loop()
    expect(loop.look(0, 0, 0.5)).toBe(10)
    for (let i = 0; i < 200; i++) expect(loop.look(0, 0, 0.5)).toBe(10)
    let idle = 0
    while (loop.look() === 10) idle++
    // What was seen of its work before counts for the first half second.
    expect(idle * 10).toBeLessThanOrEqual(1_000)
    expect(loop.look()).toBe(500)
  })

  test('a look that comes late is a stall, without the time in which there was no core', () => {
    const loop = new Loop()
    loop.look(40, 15)
    loop.look(10, 25)
    loop.look(0, 100)
    loop.look(7)
    expect(loop.stalls).toEqual([25, 0, 0, 7])
  })

  test('the longest stall is told for 50 to 60 seconds', () => {
    const loop = new Loop()
    loop.look(80)
    const at = loop.nowMs
    loop.look(20)
    while (loop.nowMs < at + 49_000) loop.look()
    expect(loop.meter.longestMs(loop.nowMs)).toBe(80)
    while (loop.nowMs < at + 61_000) loop.look()
    expect(loop.meter.longestMs(loop.nowMs)).toBe(0)
  })

  test('a loop that stood for minutes tells that, and forgets what was before', () => {
    const loop = new Loop()
    loop.look(90)
    loop.look(300_000, 299_950)
    expect(loop.meter.longestMs(loop.nowMs)).toBe(50)
  })
})
