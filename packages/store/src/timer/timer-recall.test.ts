/** A recall that outlives its leadership ends nothing in the next one. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { StoreCore } from '../store-core.ts'
import { message } from '../testing/fixture.ts'
import { Leaderships } from '../testing/leaderships.ts'
import { passes } from '../testing/manual-clock.ts'
import type { RecallRequest } from './timer-recall.ts'

const DELIVER_MS = 1_700_000_060_000
const REQUEST: RecallRequest = { topic: 'T', deliverMs: DELIVER_MS, uniqKey: 'id' }

let led: Leaderships
beforeEach(() => {
  led = new Leaderships()
})
afterEach(() => led.close())

async function leaderWithTimer(): Promise<StoreCore> {
  const core = await led.leader()
  const properties = `UNIQ_KEY\x01id\x02TIMER_DELIVER_MS\x01${DELIVER_MS}\x02`
  for (const given of [message('T', 'timer', { properties }), message('T', 'newer', { body: Buffer.alloc(9_000) })]) {
    const stored = new Promise((resolve, putFailed) => core.putter.put(given, { stored: resolve, putFailed }))
    await passes(6)
    led.log.commit()
    await stored
  }
  return core
}

/** The same member loses the leadership and gains it again. */
function newTerm(core: StoreCore): void {
  led.log.lose(0)
  led.log.lead(core)
}

async function isPending(core: StoreCore): Promise<boolean> {
  const recalled = core.recall.recall(REQUEST)
  await passes(20)
  led.log.commit()
  return recalled
}

test.each([0, 2])('one that looks for its row, and %i passes later another term begins', async (count) => {
  const core = await leaderWithTimer()
  const recalled = core.recall.recall(REQUEST)
  recalled.catch(() => {})
  await passes(count)
  newTerm(core)
  const { claims } = core.machine.metadata.timers
  expect(claims.size).toBe(0)
  await passes(20)
  led.log.commit()
  await expect(recalled).rejects.toMatchObject({ code: expect.stringMatching(/NOT_LEADER|TIMEOUT/) as string })
  expect([claims.size, led.log.waiting]).toEqual([0, 0])
  expect(await isPending(core)).toBe(true)
})

test('one that reads the record of the row that it has found, when another term begins', async () => {
  // Only the newest record is in memory.
  await led.close()
  led = new Leaderships({ hotBytesMax: 1 })
  const core = await leaderWithTimer()
  let reading: (() => void) | null = null
  const { log } = led
  const readBytes = log.readBytes.bind(log)
  log.readBytes = (pos, size, callback) => {
    reading = () => readBytes(pos, size, callback)
  }
  const recalled = core.recall.recall(REQUEST)
  recalled.catch(() => {})
  await passes(10)
  expect(core.machine.metadata.timers.claims.size).toBe(1)
  newTerm(core)
  log.readBytes = readBytes
  ;(reading as (() => void) | null)?.()
  await passes(20)
  log.commit()
  await expect(recalled).rejects.toMatchObject({ code: 'NOT_LEADER' })
  expect([core.machine.metadata.timers.claims.size, log.waiting]).toEqual([0, 0])
  expect(await isPending(core)).toBe(true)
})

test('a timer that came due while a recall had it, which was refused, is delivered then', async () => {
  await led.close()
  led = new Leaderships({ hotBytesMax: 1 })
  const core = await leaderWithTimer()
  const { log, clock } = led
  const readBytes = log.readBytes.bind(log)
  let reading: (() => void) | null = null
  log.readBytes = (pos, size, callback) => {
    reading = () => readBytes(pos, size, callback)
  }
  const recalled = core.recall.recall(REQUEST)
  recalled.catch(() => {})
  await passes(10)
  const { claims } = core.machine.metadata.timers
  expect(claims.size).toBe(1)
  clock.advance(DELIVER_MS + 1_000 - clock.nowMs())
  await passes(10)
  expect([claims.size, log.waiting]).toEqual([1, 0])
  log.readBytes = readBytes
  log.refuseNext()
  ;(reading as (() => void) | null)?.()
  await passes(20)
  await expect(recalled).rejects.toMatchObject({ code: 'BUSY' })
  clock.advance(1)
  await passes(20)
  log.commit()
  expect(core.machine.queues.find('T', 0)?.nextOffset).toBe(2)
  expect(claims.size).toBe(0)
})
