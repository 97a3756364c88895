/** When a leader hands over unasked, and when it does not. */
import { describe, expect, test } from 'vitest'
import { Progress } from '../progress.ts'
import { StorageHealth } from '../storage-health.ts'
import { Handover, type HandoverOptions } from './handover.ts'

const options: HandoverOptions = {
  preferredLeader: 'n2',
  stableTicks: 10,
  retryTicks: 30,
  unwellRetryTicks: 4,
  slowTicksMax: 12,
}

function group(matches: readonly number[]): Progress[] {
  return matches.map((matchIndex, i) => {
    const peer = new Progress(`n${i + 1}`, null, matchIndex + 1)
    peer.matchIndex = matchIndex
    return peer
  })
}

function handover(over: { cameByTransfer?: boolean; hasHysteresis?: boolean } = {}): Handover {
  return new Handover(options, { cameByTransfer: false, hasHysteresis: true, ...over })
}

/** Asks once a tick. @returns after how many ticks there was a target, -1 for never. */
function ticksUntil(one: Handover, peers: readonly Progress[], fit: (peer: Progress) => boolean, health = 0): number {
  for (let ticks = 1; ticks <= 2_000; ticks++) {
    if (one.next(1, { peers, isFit: fit, health }) !== null) return ticks
  }
  return -1
}

const all = (): boolean => true
const none = (): boolean => false

describe('a preferred leader', () => {
  test('is handed the leadership when it was fit for long enough', () => {
    expect(ticksUntil(handover(), group([5, 5]), all)).toBe(options.stableTicks)
  })

  test('starts to count anew when it was not fit for a moment', () => {
    const one = handover()
    const peers = group([5, 5])
    for (let tick = 1; tick < options.stableTicks; tick++) {
      expect(one.next(1, { peers, isFit: all, health: 0 })).toBeNull()
    }
    expect(one.next(1, { peers, isFit: none, health: 0 })).toBeNull()
    expect(ticksUntil(one, peers, all)).toBe(options.stableTicks)
  })

  test('waits after a transfer, and twice as long after each try that failed, up to a limit', () => {
    const peers = group([5, 5])
    expect(ticksUntil(handover({ cameByTransfer: true }), peers, all)).toBe(options.retryTicks)
    const one = handover()
    ticksUntil(one, peers, all)
    const waits: number[] = []
    for (let i = 0; i < 7; i++) {
      one.failed()
      waits.push(ticksUntil(one, peers, all))
    }
    expect(waits).toEqual([60, 120, 240, 480, 960, 960, 960])
  })

  test('gets none while it is not fit, nor when it is unknown', () => {
    expect(ticksUntil(handover(), group([5, 5]), none)).toBe(-1)
    expect(ticksUntil(handover(), group([5]), all)).toBe(-1)
  })
})

describe('a leader whose storage is not well', () => {
  for (const health of Object.values(StorageHealth)) {
    test(`hands over to the fit follower that matches best (health ${health})`, () => {
      const target = handover().next(1, { peers: group([7, 5]), isFit: all, health })
      expect(target?.id).toBe('n1')
    })
  }

  test('keeps the leadership while nobody is fit', () => {
    expect(ticksUntil(handover(), group([5, 5]), none, StorageHealth.SLOW)).toBe(-1)
  })

  test('does not pass it on at once when it was just handed over, and backs off when a try fails', () => {
    const peers = group([5, 5])
    const one = handover({ cameByTransfer: true })
    expect(ticksUntil(one, peers, all, StorageHealth.SLOW)).toBe(options.unwellRetryTicks)
    one.failed()
    expect(ticksUntil(one, peers, all, StorageHealth.SLOW)).toBe(2 * options.unwellRetryTicks)
  })
})
