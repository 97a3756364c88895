import { expect, test } from 'vitest'
import { GarbageRoom, NARROW_PERCENT, WIDE_PERCENT } from './garbage-room.ts'

/** A room, what it did, and what fires its timer. */
function room({ heapMiB = 20 } = {}) {
  let heapBytes = heapMiB * 1024 * 1024
  const did: (number | 'collect')[] = []
  let timer: { readonly delayMs: number; readonly callback: () => void } | null = null
  const garbage = new GarbageRoom({
    setGrowthPercent: (percent) => did.push(percent),
    heapBytes: () => heapBytes,
    collect: () => did.push('collect'),
    after: (delayMs, callback) => {
      const mine = { delayMs, callback }
      timer = mine
      return () => {
        if (timer === mine) timer = null
      }
    },
  })
  return {
    did,
    collectedAt: (...times: number[]) => times.forEach((ms) => garbage.collected(ms)),
    fire: () => {
      const due = timer
      timer = null
      due?.callback()
    },
    grow: (mib: number) => {
      heapBytes = mib * 1024 * 1024
    },
    waits: () => timer?.delayMs ?? null,
  }
}

test('collections that come soon one after another make room, once', () => {
  const { did, collectedAt, waits } = room()
  expect(did).toEqual([NARROW_PERCENT])
  collectedAt(0, 300, 600)
  expect(did).toEqual([NARROW_PERCENT])
  expect(waits()).toBeNull()
  collectedAt(900, 1200, 1500)
  expect(did).toEqual([NARROW_PERCENT, WIDE_PERCENT])
  expect(waits()).toBe(5_000)
})

test('seldom ones do not, nor some that come soon with a longer time between them', () => {
  const { did, collectedAt } = room()
  collectedAt(0, 1_000, 2_000, 2_100, 2_200, 3_000, 3_100, 3_200, 4_000)
  expect(did).toEqual([NARROW_PERCENT])
})

test('after a while without any, what has gathered is collected and the room is as before, until it is too small again', () => {
  const { did, collectedAt, fire, waits } = room()
  collectedAt(0, 100, 200, 300)
  fire()
  expect(did).toEqual([NARROW_PERCENT, WIDE_PERCENT, NARROW_PERCENT, 'collect'])
  // The one that it asked for.
  collectedAt(5_300)
  expect(waits()).toBeNull()
  collectedAt(5_400, 5_500)
  expect(did).toHaveLength(4)
  collectedAt(5_600)
  expect(did.slice(4)).toEqual([WIDE_PERCENT])
})

test('a large heap gets no more room, and loses it; nothing is collected for that', () => {
  expect(NARROW_PERCENT).toBeLessThan(WIDE_PERCENT)
  const large = room({ heapMiB: 40 })
  large.collectedAt(0, 100, 200, 300, 400)
  expect(large.did).toEqual([NARROW_PERCENT])
  const { did, collectedAt, grow, fire, waits } = room()
  collectedAt(0, 100, 200, 300)
  grow(40)
  fire()
  expect(did).toEqual([NARROW_PERCENT, WIDE_PERCENT, NARROW_PERCENT])
  grow(20)
  collectedAt(1_000, 1_100, 1_200, 1_300)
  grow(40)
  collectedAt(1_400)
  expect(did.slice(3)).toEqual([WIDE_PERCENT, NARROW_PERCENT])
  expect(waits()).toBeNull()
  grow(20)
  collectedAt(1_500, 1_600)
  expect(did).toHaveLength(5)
})
