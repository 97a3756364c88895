/** Pops that wait: woken one at a time by what they wait for, at the deadline exactly, and never after their connection closed. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BYTES_PER_CONNECTION_MAX } from '../held-bytes.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { PopPolling, WaitingPop } from './pop-polling.ts'

function setup(limits = { perQueueMax: 10, totalMax: 20 }) {
  const clock = new ManualClock()
  const resumed: string[] = []
  const polling = new PopPolling<string>(
    clock,
    limits,
    (pop) => resumed.push(pop),
    (topic, group) => [`%RETRY%${group}_${topic}`],
  )
  const channel = {}
  const hold = (
    pop: string,
    more: Partial<{ group: string; queueId: number; tags: number[]; delayMs: number; on: object }> = {},
  ) => {
    const { group = 'g', queueId = -1, tags, delayMs = 15_000, on = channel } = more
    return polling.hold(new WaitingPop({ group, topic: 'T', queueId }, tags ? new Set(tags) : null, on, pop), delayMs)
  }
  return { clock, resumed, polling, channel, hold }
}

test('pops that wait take no more memory than there is for one connection', () => {
  const { polling } = setup()
  const channel = {}
  const hold = (requestBytes: number) =>
    polling.hold(new WaitingPop({ group: 'g', topic: 'T', queueId: 0 }, null, channel, 'a', requestBytes), 1_000)
  expect(hold(BYTES_PER_CONNECTION_MAX)).toBe(true)
  expect(hold(1)).toBe(false)
  polling.closed(channel)
  expect(polling.size).toBe(0)
})

describe('a waiting pop', () => {
  test('is resumed at its deadline, not a millisecond before', () => {
    const { clock, resumed, hold } = setup()
    hold('a')
    clock.advance(14_999)
    expect(resumed).toEqual([])
    clock.advance(1)
    expect(resumed).toEqual(['a'])
    expect(clock.pending).toBe(0)
  })

  test('is the only one of its group that a batch wakes, and the one that waits longest', () => {
    const { clock, resumed, polling, hold } = setup()
    hold('a')
    hold('b')
    hold('other', { group: 'h' })
    for (let i = 0; i < 50; i++) polling.arrived('T', i % 4, 7)
    expect(resumed).toEqual([])
    clock.runDeferred()
    expect(resumed).toEqual(['a', 'other'])
    polling.wake('T', 'g', 2)
    clock.runDeferred()
    expect(resumed).toEqual(['a', 'other', 'b'])
  })

  test('waits on while other queues, other topics and other tags arrive', () => {
    const { clock, resumed, polling, hold } = setup()
    hold('queue 1', { queueId: 1 })
    hold('tag 5', { tags: [5] })
    polling.arrived('T', 0, 7)
    polling.arrived('U', 1, 5)
    clock.runDeferred()
    expect(resumed).toEqual([])
    polling.arrived('T', 1, 5)
    clock.runDeferred()
    expect(resumed.sort()).toEqual(['queue 1', 'tag 5'])
  })

  test('of any queue is woken by what comes again to its group, and to no other', () => {
    const { clock, resumed, polling, hold } = setup()
    hold('a', { queueId: 3 })
    polling.arrived('%RETRY%h_T', 0, 0)
    clock.runDeferred()
    expect(resumed).toEqual([])
    polling.arrived('%RETRY%g_T', 0, 0)
    clock.runDeferred()
    expect(resumed).toEqual(['a'])
    polling.arrived('%RETRY%g_T', 0, 0)
    clock.runDeferred()
    expect(resumed).toEqual(['a'])
  })

  test('is refused where too many wait, for one queue or in all', () => {
    const { polling, hold } = setup({ perQueueMax: 2, totalMax: 3 })
    expect([hold('a'), hold('b'), hold('c')]).toEqual([true, true, false])
    expect([hold('d', { queueId: 0 }), hold('e', { queueId: 0 })]).toEqual([true, false])
    expect([polling.size, polling.waiting('T', 'g', -1), polling.waiting('T', 'g', 0)]).toEqual([3, 2, 1])
  })

  test('is dropped with its connection, and run again when another member leads', () => {
    const { clock, resumed, polling, channel, hold } = setup()
    hold('gone')
    hold('stays', { on: {} })
    polling.closed(channel)
    expect([polling.size, clock.pending]).toEqual([1, 1])
    polling.resumeAll()
    clock.runDeferred()
    expect(resumed).toEqual(['stays'])
    expect([polling.size, clock.pending]).toEqual([0, 0])
  })

  test('that was woken and whose client goes before it runs gives its turn to the next of its group', () => {
    const { clock, resumed, polling, channel, hold } = setup()
    hold('gone')
    hold('next', { on: {} })
    polling.arrived('T', 0, 7)
    polling.closed(channel)
    clock.runDeferred()
    clock.runDeferred()
    expect(resumed).toEqual(['next'])
  })

  test('is resumed or dropped once for each time it waits, whatever happens', () => {
    const event = fc.oneof(
      fc.record({
        what: fc.constant('hold' as const),
        queueId: fc.integer({ min: -1, max: 2 }),
        channel: fc.nat(2),
        tag: fc.option(fc.nat(2)),
      }),
      fc.record({ what: fc.constant('arrived' as const), queueId: fc.nat(2), tag: fc.nat(2), again: fc.boolean() }),
      fc.record({ what: fc.constant('wake' as const), queueId: fc.nat(2) }),
      fc.record({ what: fc.constant('closed' as const), channel: fc.nat(2) }),
      fc.record({ what: fc.constant('pass' as const), ms: fc.nat(30) }),
      fc.record({ what: fc.constant('resumeAll' as const) }),
    )
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const { clock, resumed, polling, hold } = setup({ perQueueMax: 4, totalMax: 9 })
        const channels: object[] = [{}, {}, {}]
        /** Those that somebody waits for, by their name. */
        const owners = new Map<string, object>()
        for (const [i, one] of events.entries()) {
          switch (one.what) {
            case 'hold': {
              const on = channels[one.channel] as object
              const tags = one.tag === null ? {} : { tags: [one.tag] }
              if (hold(String(i), { queueId: one.queueId, on, delayMs: 20, ...tags })) owners.set(String(i), on)
              break
            }
            case 'arrived':
              polling.arrived(one.again ? '%RETRY%g_T' : 'T', one.queueId, one.tag)
              break
            case 'wake':
              polling.wake('T', 'g', one.queueId)
              break
            case 'closed': {
              const on = channels[one.channel] as object
              polling.closed(on)
              channels[one.channel] = {}
              for (const [name, owner] of owners) if (owner === on && !resumed.includes(name)) owners.delete(name)
              break
            }
            case 'pass':
              clock.advance(one.ms)
              break
            case 'resumeAll':
              polling.resumeAll()
          }
        }
        while (clock.hasDeferred) clock.runDeferred()
        expect(new Set(resumed).size).toBe(resumed.length)
        for (const name of resumed) expect(owners.has(name)).toBe(true)
        expect(resumed.length + polling.size).toBe(owners.size)
        expect(clock.pending).toBe(Math.min(1, polling.size))
      }),
    )
  })
})
