/** What is derived and finds no room: it waits for some, within bounds, and not beyond the end of the store. */
import { silentLogger } from '@dledger-ts/base'
import { beforeEach, expect, test } from 'vitest'
import { DiskRoom } from './disk-room.ts'
import { ManualClock } from './testing/manual-clock.ts'

const FULL = Object.assign(new Error('no room'), { code: 'ENOSPC' })
const MIB = 1024 * 1024

let clock: ManualClock
let free: number
let unwritten: number
let room: DiskRoom
/** What each attempt ended with. */
let outcomes: (Error | null)[]
let askedForRoom: number
let tries: number

beforeEach(() => {
  clock = new ManualClock()
  free = 0
  unwritten = 0
  askedForRoom = 0
  outcomes = []
  tries = 0
  room = new DiskRoom({
    clock,
    logger: silentLogger,
    freeBytes: () => free,
    unwrittenBytes: () => unwritten,
    makeRoom: () => void askedForRoom++,
  })
})

/** Succeeds where there is room for it. */
function write(): void {
  room.attempt(
    (done) => {
      tries++
      done(free > 0 ? null : FULL)
    },
    (error) => outcomes.push(error),
  )
}

test('waits until there is room, and is done then', () => {
  write()
  expect(askedForRoom).toBe(1)
  write()
  clock.advance(10_000)
  free = MIB
  clock.advance(10_000)
  expect([tries, outcomes]).toEqual([2, []])
  free = 4 * MIB
  clock.advance(1_000)
  expect([tries, outcomes, clock.timerCount]).toEqual([4, [null, null], 0])
})

test('waits no longer when too much has gathered in memory', () => {
  write()
  unwritten = 256 * MIB + 1
  clock.advance(1_000)
  write()
  expect([tries, outcomes, clock.timerCount]).toEqual([2, [FULL, FULL], 0])
})

test('is tried again and told at the end of the store, and later at once', () => {
  write()
  room.stop()
  write()
  expect([tries, outcomes, clock.timerCount]).toEqual([3, [FULL, FULL], 0])
})

test('is done at the end of the store where there is room by then, be it little', () => {
  write()
  free = 1
  room.stop()
  expect([tries, outcomes, clock.timerCount]).toEqual([2, [null], 0])
})

test('does not wait after any other failure', () => {
  const failure = new Error('broken')
  room.attempt(
    (done) => done(failure),
    (error) => outcomes.push(error),
  )
  expect([outcomes, clock.timerCount]).toEqual([[failure], 0])
})
