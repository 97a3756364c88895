/** Held pulls: woken by what they wait for, at the deadline exactly, once, and never after their connection closed. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BYTES_MAX, BYTES_PER_CONNECTION_MAX, TAG_BYTES } from './held-bytes.ts'
import { HELD_PULLS_PER_CONNECTION_MAX, HeldPull, LongPolling } from './long-polling.ts'
import { ManualClock } from './testing/manual-clock.ts'

function setup() {
  const clock = new ManualClock()
  const resumed: string[] = []
  const polling = new LongPolling<string>(clock, (pull) => resumed.push(pull))
  const channel = {}
  const hold = (name: string, queueId: number, delayMs: number, tags: number[] | null = null, on: object = channel) =>
    polling.hold(new HeldPull('T', queueId, tags === null ? null : new Set(tags), on, name), delayMs)
  return { clock, resumed, polling, channel, hold }
}

describe('what pulls take while they are held', () => {
  const large = { bytes: 16 * 1024 * 1024, connections: BYTES_MAX / BYTES_PER_CONNECTION_MAX }

  function heldWhole(
    polling: LongPolling<string>,
    channel: object,
    requestBytes: number,
    tags: number[] | null = null,
  ) {
    const held = new HeldPull('T', 0, tags === null ? null : new Set(tags), channel, 'a', requestBytes)
    return polling.hold(held, 15_000)
  }

  test('is bounded for each connection and for all: further ones are not held', () => {
    const { polling } = setup()
    const channels = Array.from({ length: large.connections + 1 }, () => ({}))
    const taken = channels.map((channel) => {
      let count = 0
      while (heldWhole(polling, channel, large.bytes)) count++
      return count
    })
    expect(taken).toEqual([4, 4, 4, 4, 0])
    polling.closed(channels[0] as object)
    expect(heldWhole(polling, channels[4] as object, large.bytes)).toBe(true)
  })

  test('counts tags, and is free again when a pull is woken', () => {
    const { clock, polling } = setup()
    const channel = {}
    const tags = Array.from({ length: BYTES_PER_CONNECTION_MAX / TAG_BYTES }, (_, i) => i)
    expect(heldWhole(polling, channel, 0, tags)).toBe(true)
    expect(heldWhole(polling, channel, 1)).toBe(false)
    polling.arrived('T', 0, 7)
    clock.runDeferred()
    expect(heldWhole(polling, channel, 1)).toBe(true)
  })
})

describe('a held pull', () => {
  test('is answered at its deadline, not a millisecond before', () => {
    const { clock, resumed, hold } = setup()
    hold('a', 0, 15_000)
    clock.advance(14_999)
    expect(resumed).toEqual([])
    clock.advance(1)
    expect(resumed).toEqual(['a'])
    expect(clock.pending).toBe(0)
  })

  test('is woken once by a batch, when the whole batch is visible', () => {
    const { clock, resumed, polling, hold } = setup()
    hold('a', 0, 15_000)
    polling.arrived('T', 0, 7)
    polling.arrived('T', 0, 8)
    expect(resumed).toEqual([])
    clock.runDeferred()
    expect(resumed).toEqual(['a'])
    clock.advance(20_000)
    expect(resumed).toEqual(['a'])
  })

  test('waits on while other queues, other topics and other tags arrive', () => {
    const { clock, resumed, polling, hold } = setup()
    hold('tag 7', 0, 15_000, [7])
    hold('any of queue 1', 1, 15_000)
    polling.arrived('T', 0, 8)
    polling.arrived('U', 0, 7)
    polling.arrived('T', 2, 7)
    clock.runDeferred()
    expect(resumed).toEqual([])
    polling.arrived('T', 0, 7)
    clock.runDeferred()
    expect(resumed).toEqual(['tag 7'])
    expect(polling.size).toBe(1)
  })

  test('is dropped with its connection', () => {
    const { clock, resumed, polling, channel, hold } = setup()
    const other = {}
    hold('a', 0, 10)
    hold('b', 1, 10)
    hold('c', 0, 10, null, other)
    polling.closed(channel)
    expect(polling.size).toBe(1)
    clock.advance(10)
    expect(resumed).toEqual(['c'])
  })
})

describe('thousands of held pulls', () => {
  const QUEUES = 5_000
  const PER_QUEUE = 3

  function manyHeld() {
    const made = setup()
    for (let i = 0; i < QUEUES * PER_QUEUE; i++) made.hold(String(i), i % QUEUES, 15_000 + (i % 1_000))
    return made
  }

  test('have one timer, and none when they are gone', () => {
    const { clock, polling, channel } = manyHeld()
    expect([polling.size, clock.pending]).toEqual([QUEUES * PER_QUEUE, 1])
    polling.closed(channel)
    expect([polling.size, clock.pending]).toEqual([0, 0])
  })

  test('are not looked at for messages of other queues, or with other tags', () => {
    const { clock, polling, resumed, hold } = manyHeld()
    for (let i = 0; i < 1_000; i++) hold(`tag ${i}`, QUEUES, 15_000, [i, 2_000 + i])
    const waiting = polling.size
    for (let i = 0; i < 1_000; i++) {
      polling.arrived('T', QUEUES + 1, i)
      polling.arrived('U', i, i)
      polling.arrived('T', QUEUES, 5_000 + i)
    }
    clock.runDeferred()
    expect([polling.lookedAt, polling.size, resumed]).toEqual([0, waiting, []])
    polling.arrived('T', 7, 0)
    polling.arrived('T', QUEUES, 500)
    polling.arrived('T', QUEUES, 2_500)
    clock.runDeferred()
    expect(polling.lookedAt).toBe(PER_QUEUE + 1)
    expect(resumed).toEqual(['7', '5007', '10007', 'tag 500'])
  })

  test('of one connection are not more than it may have; others still may', () => {
    const { hold, polling } = setup()
    for (let i = 0; i < HELD_PULLS_PER_CONNECTION_MAX; i++) expect(hold(String(i), i, 15_000)).toBe(true)
    expect([hold('one more', 0, 15_000), hold('of another', 0, 15_000, null, {})]).toEqual([false, true])
    expect(polling.size).toBe(HELD_PULLS_PER_CONNECTION_MAX + 1)
  })

  test('of one queue are answered in turns, between which others have theirs', () => {
    const clock = new ManualClock()
    const resumed: number[] = []
    const polling = new LongPolling<number>(clock, (pull) => {
      clock.spend(1)
      resumed.push(pull)
    })
    for (let i = 0; i < 1_000; i++) polling.hold(new HeldPull('T', 0, null, {}, i), 15_000)
    polling.arrived('T', 0, 0)
    const perPass: number[] = []
    while (resumed.length < 1_000) {
      const before = resumed.length
      clock.runDeferred()
      perPass.push(resumed.length - before)
    }
    expect(perPass).toEqual(Array.from({ length: 100 }, () => 10))
    expect(resumed).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
    clock.runDeferred()
    expect([resumed.length, clock.pending]).toEqual([1_000, 0])
  })
})

test('whatever happens in whatever order, each pull is resumed or dropped exactly once', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('hold' as const),
      queueId: fc.nat(2),
      delay: fc.nat(50),
      channel: fc.nat(2),
      tag: fc.option(fc.nat(2)),
    }),
    fc.record({ kind: fc.constant('arrive' as const), queueId: fc.nat(2), tag: fc.nat(2) }),
    fc.record({ kind: fc.constant('close' as const), channel: fc.nat(2) }),
    fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(30) }),
    fc.record({ kind: fc.constant('end pass' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { clock, resumed, polling, hold } = setup()
      const channels: object[] = [{}, {}, {}]
      const owed = new Set<string>()
      const ownersOf = new Map<number, Set<string>>()
      let held = 0
      for (const s of steps) {
        if (s.kind === 'hold') {
          const name = String(held++)
          owed.add(name)
          ownersOf.set(s.channel, (ownersOf.get(s.channel) ?? new Set()).add(name))
          hold(name, s.queueId, s.delay, s.tag === null ? null : [s.tag], channels[s.channel])
        } else if (s.kind === 'arrive') polling.arrived('T', s.queueId, s.tag)
        else if (s.kind === 'close') {
          polling.closed(channels[s.channel] ?? {})
          for (const name of ownersOf.get(s.channel) ?? []) owed.delete(name)
        } else if (s.kind === 'advance') clock.advance(s.ms)
        else clock.runDeferred()
      }
      clock.advance(100)
      expect(new Set(resumed).size).toBe(resumed.length)
      for (const name of owed) expect(resumed).toContain(name)
      expect(polling.size).toBe(0)
      expect(clock.pending).toBe(0)
    }),
  )
})
