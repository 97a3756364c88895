/** Messages delayed by any time: delivered once, never early, whoever leads, whatever is refused, and not when called back. */
import { decodeRecord, getProperty } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StoreError } from '../errors.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, flush, message, stateOf } from '../testing/fixture.ts'
import { Leaderships } from '../testing/leaderships.ts'
import { type ManualClock, passes, until } from '../testing/manual-clock.ts'
import type { MemoryLog } from '../testing/memory-log.ts'

let led: Leaderships
let clock: ManualClock
let log: MemoryLog
beforeEach(begin)
afterEach(() => led.close())

function begin(): void {
  led = new Leaderships()
  ;({ clock, log } = led)
}

const leader = (metadata?: MemoryMetadata, directory?: string): Promise<StoreCore> => led.leader(metadata, directory)

function put(core: StoreCore, body: string, properties: string): void {
  core.putter.put(message('T', body, { queueId: 3, properties: `UNIQ_KEY\x01id-${body}\x02${properties}` }), {
    stored: () => {},
    putFailed: (error) => {
      throw error
    },
  })
}

function refusal(core: StoreCore, properties: string, topic = 'T'): Promise<StoreError | null> {
  return new Promise((resolve) => {
    core.putter.put(message(topic, 'x', { properties }), { stored: () => resolve(null), putFailed: resolve })
  })
}

/** Everything in the log whose topic is the real one and that consumers see. */
function delivered(): { body: string; at: number; properties: string }[] {
  return log.entries
    .map(({ body }) => decodeRecord(body))
    .filter(({ topic, sysFlag }) => topic === 'T' && sysFlag === 0)
    .map(({ body, storeTimestamp, properties }) => ({ body: body.toString(), at: storeTimestamp, properties }))
}

const bodies = (): string[] => delivered().map(({ body }) => body)

async function committed(): Promise<void> {
  await passes(6)
  log.commit()
}

describe('a message that is delayed by any time', () => {
  test('waits in the topic of the timers and is delivered when due, with its properties', async () => {
    const core = await leader()
    const start = clock.nowMs()
    put(core, 'later', 'TAGS\x01a\x02TIMER_DELAY_MS\x012345\x02')
    await committed()
    const waiting = decodeRecord(log.entries[0]?.body as Buffer)
    expect([waiting.topic, waiting.queueId]).toEqual(['rmq_sys_wheel_timer', 0])
    const outMs = Math.floor((start + 2_345) / 100) * 100
    for (const [name, value] of [
      ['TIMER_OUT_MS', String(outMs)],
      ['REAL_TOPIC', 'T'],
      ['REAL_QID', '3'],
      ['TIMER_DELAY_MS', '2345'],
    ] as const) {
      expect(getProperty(waiting.properties, name)).toBe(value)
    }
    expect(core.machine.queues.find('rmq_sys_wheel_timer', 0)?.nextOffset).toBe(1)
    expect([...core.machine.metadata.pendingFiles.all()]).toEqual([[0, 1]])

    clock.advance(outMs + 99 - start)
    await passes()
    expect(log.waiting).toBe(0)
    clock.advance(1)
    await until(() => log.waiting === 1, 'it is proposed')
    log.commit()
    const [record] = delivered()
    expect(record?.body).toBe('later')
    expect(decodeRecord(log.entries[1]?.body as Buffer).queueId).toBe(3)
    for (const [name, value] of [
      ['TAGS', 'a'],
      ['TIMER_OUT_MS', String(outMs)],
      ['TIMER_DEQUEUE_MS', String(outMs + 100)],
      ['TIMER_ENQUEUE_MS', String(waiting.storeTimestamp)],
    ] as const) {
      expect(getProperty(record?.properties ?? '', name)).toBe(value)
    }
    expect([...core.machine.metadata.pendingFiles.all()]).toEqual([])
    await passes()
    expect(clock.timerCount).toBe(1) // The next checkpoint.
  })

  test.each([
    ['the time wanted counts down from seconds first', 'TIMER_DELAY_SEC\x012\x02TIMER_DELAY_MS\x0150000\x02', 2_000],
    ['an absolute time', `TIMER_DELIVER_MS\x01${1_700_000_000_000 + 1_250}\x02`, 1_300],
    ['a time on the grid is met exactly', `TIMER_DELIVER_MS\x01${1_700_000_000_000 + 1_200}\x02`, 1_200],
  ])('is due in time: %s', async (_, properties, dueMs) => {
    const core = await leader()
    const start = clock.nowMs()
    put(core, 'm', properties)
    await committed()
    clock.advance(dueMs - 1)
    await passes()
    expect(log.waiting).toBe(0)
    clock.advance(1)
    await until(() => log.waiting === 1, 'it is due')
    log.commit()
    expect(delivered().map(({ at }) => at - start)).toEqual([dueMs])
  })

  test.each([
    ['its time has passed', 'TIMER_DELIVER_MS\x0117\x02', 'T'],
    ['it was delivered by a timer before', 'TIMER_OUT_MS\x015\x02TIMER_DELAY_SEC\x015\x02', 'T'],
    ['a level is given, too', 'DELAY\x011\x02TIMER_DELAY_SEC\x0120\x02', 'SCHEDULE_TOPIC_XXXX'],
  ])('is no timer when %s', async (_, properties, topic) => {
    const core = await leader()
    put(core, 'm', properties)
    await committed()
    expect(decodeRecord(log.entries[0]?.body as Buffer).topic).toBe(topic)
    expect(core.machine.metadata.pendingFiles.count).toBe(0)
  })

  test.each([
    ['a longer delay than is allowed', `TIMER_DELAY_SEC\x01${3 * 86_400 + 1}\x02`, 'T', 'INVALID'],
    ['what is no number', 'TIMER_DELAY_MS\x01soon\x02', 'T', 'INVALID'],
    ['a message for the topic of the timers', '', 'rmq_sys_wheel_timer', 'INVALID'],
    ['an order to delete a timer', 'TIMER_DELAY_SEC\x015\x02TIMER_DEL_UNIQKEY\x01T_1\x02', 'T', 'INVALID'],
    ['what could not be delivered', `TIMER_DELAY_SEC\x015\x02A\x01${'x'.repeat(32_600)}\x02`, 'T', 'TOO_LARGE'],
  ])('refuses %s', async (_, properties, topic, code) => {
    const core = await leader()
    expect((await refusal(core, properties, topic))?.code).toBe(code)
  })
})

describe('a timer that is called back', () => {
  const request = (core: StoreCore, body: string, deliverMs: number): Promise<boolean> =>
    core.recall.recall({ topic: 'T', uniqKey: `id-${body}`, deliverMs })

  test('is not delivered, and the others are', async () => {
    const core = await leader()
    const deliverMs = clock.nowMs() + 1_000
    for (const body of ['a', 'b', 'c']) put(core, body, `TIMER_DELIVER_MS\x01${deliverMs}\x02`)
    await committed()
    const recalled = request(core, 'b', deliverMs)
    const unknown = request(core, 'x', deliverMs)
    await until(() => log.waiting === 1, 'the end is proposed')
    expect(await request(core, 'b', deliverMs)).toBe(false)
    log.commit()
    expect([await recalled, await unknown]).toEqual([true, false])
    expect(await request(core, 'b', deliverMs)).toBe(false)
    clock.advance(1_000)
    await until(() => log.waiting === 2, 'the others are due')
    expect(await request(core, 'a', deliverMs)).toBe(false)
    log.commit()
    expect(bodies()).toEqual(['a', 'c'])
    expect(core.machine.metadata.pendingFiles.count).toBe(0)
  })

  test('stays pending when its end is refused', async () => {
    const core = await leader()
    const deliverMs = clock.nowMs() + 1_000
    put(core, 'a', `TIMER_DELIVER_MS\x01${deliverMs}\x02`)
    await committed()
    log.refuses = (n) => n === 1
    await expect(request(core, 'a', deliverMs)).rejects.toMatchObject({ code: 'BUSY' })
    clock.advance(1_000)
    await until(() => log.waiting === 1, 'it is due')
    log.commit()
    expect(bodies()).toEqual(['a'])
  })
})

describe('delivery', () => {
  test('is in order of time, also of timers that came later', async () => {
    const core = await leader()
    for (const [body, delayMs] of [
      ['c', 3_000],
      ['a', 1_000],
      ['d', 4_000],
      ['b', 2_000],
    ] as const) {
      put(core, body, `TIMER_DELAY_MS\x01${delayMs}\x02`)
      await committed()
    }
    clock.advance(5_000)
    await until(() => log.waiting === 4, 'all are due')
    log.commit()
    expect(bodies()).toEqual(['a', 'b', 'c', 'd'])
  })

  test('is not tried again while its outcome is unknown', async () => {
    const core = await leader()
    put(core, 'a', 'TIMER_DELAY_MS\x011000\x02')
    await committed()
    clock.advance(1_100)
    await until(() => log.waiting === 1, 'it is proposed')
    log.expire()
    clock.advance(2_000)
    await passes()
    expect(log.waiting).toBe(1)
    expect(await core.recall.recall({ topic: 'T', uniqKey: 'id-a', deliverMs: clock.nowMs() - 2_100 })).toBe(false)
    log.commit()
    await passes()
    expect(bodies()).toEqual(['a'])
  })

  test('is tried again by the same leader in its next term', async () => {
    const core = await leader()
    put(core, 'a', 'TIMER_DELAY_MS\x011000\x02')
    await committed()
    clock.advance(1_100)
    await until(() => log.waiting === 1, 'it is proposed')
    log.lose(0)
    log.lead(core)
    await until(() => log.waiting === 1, 'it is proposed again')
    log.commit()
    expect(bodies()).toEqual(['a'])
  })

  test('goes on after a restart that loads none of the rows', async () => {
    const metadata = new MemoryMetadata(clock)
    const first = await leader(metadata, `${led.temp.path}/same`)
    for (let i = 0; i < 1_200; i++) put(first, `m${i}`, `TIMER_DELAY_MS\x01${1_000 + i}\x02`)
    await committed()
    await flush(first, first.machine.appliedIndex)
    expect(first.machine.metadata.timers.rows.unwritten).toBe(0)
    const before = stateOf(first.machine, `${led.temp.path}/same`)
    log.lose(0)
    await close(first)
    const second = await led.open(metadata.crash(0), `${led.temp.path}/same`)
    expect(second.machine.appliedIndex).toBe(1_199)
    expect(second.machine.metadata.timers.rows.unwritten).toBe(0)
    expect(stateOf(second.machine, `${led.temp.path}/same`)).toEqual(before)
    log.lead(second)
    clock.advance(3_000)
    for (let i = 0; i < 50 && bodies().length < 1_200; i++) await committed()
    expect(bodies()).toEqual(Array.from({ length: 1_200 }, (_, i) => `m${i}`))
    expect(second.machine.metadata.pendingFiles.count).toBe(0)
  })

  test('happens once in the log, whatever is refused or called back and wherever leaderships end', async () => {
    const leadership = fc.record({
      refused: fc.array(fc.nat(30), { maxLength: 4 }),
      steps: fc.array(fc.record({ commit: fc.nat(5), recall: fc.option(fc.nat(11)), passes: fc.nat(8) }), {
        maxLength: 5,
      }),
      kept: fc.nat(12),
    })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.array(leadership, { maxLength: 5 }), async (count, all) => {
        await led.close()
        begin()
        const start = clock.nowMs()
        let core = await leader()
        for (let i = 0; i < count; i++) put(core, `m${i}`, `TIMER_DELIVER_MS\x01${start + 100 + i * 100}\x02`)
        await committed()
        const recalled = new Set<string>()
        const unknown = new Set<string>()
        for (const { refused, steps, kept } of all) {
          log.refuses = (n) => refused.includes(n % 31)
          for (const { commit, recall, passes: wait } of steps) {
            if (recall !== null) {
              const body = `m${recall}`
              const promise = core.recall.recall({
                topic: 'T',
                uniqKey: `id-${body}`,
                deliverMs: start + 100 + recall * 100,
              })
              promise.then(
                (isEnded) => isEnded && recalled.add(body),
                (error: StoreError) => error.code === 'TIMEOUT' && unknown.add(body),
              )
            }
            await passes(wait)
            log.commit(commit)
            clock.advance(300)
          }
          await passes(6)
          log.lose(kept)
          core = await leader()
        }
        log.refuses = () => false
        for (let i = 0; i < 60 && core.machine.metadata.pendingFiles.count > 0; i++) {
          await passes(8)
          log.commit()
          clock.advance(500)
        }
        const found = bodies()
        expect(new Set(found).size).toBe(found.length)
        for (let i = 0; i < count; i++) {
          const body = `m${i}`
          if (recalled.has(body)) expect(found).not.toContain(body)
          else if (!unknown.has(body)) expect(found).toContain(body)
        }
        for (const { body, at } of delivered())
          expect(at).toBeGreaterThanOrEqual(start + 100 + Number(body.slice(1)) * 100)
        expect(core.machine.metadata.pendingFiles.count).toBe(0)
      }),
      { numRuns: 100 },
    )
  })
})
