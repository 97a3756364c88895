/** Messages in flight: both orders say the same, each is ended once, and no failover forgets or revives one. */
import { decodeRecord } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { PoppedMessage } from '../metadata/popped-messages.ts'
import type { StoreCore } from '../store-core.ts'
import { flush, message } from '../testing/fixture.ts'
import { Leaderships } from '../testing/leaderships.ts'
import { type ManualClock, passes } from '../testing/manual-clock.ts'
import type { MemoryLog } from '../testing/memory-log.ts'

const QUEUE = { group: 'g', topic: 'T', queueId: 0 }

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

async function committed<T>(promise: Promise<T>): Promise<T> {
  await passes(8)
  log.commit()
  return promise
}

async function inFlight(core: StoreCore): Promise<readonly PoppedMessage[]> {
  const { rows } = await core.pops.inFlight(QUEUE, 0, 1_000)
  const inTime = await core.pops.due(Number.MAX_SAFE_INTEGER - 1, '', 1_000)
  const order = (a: PoppedMessage, b: PoppedMessage): number => a.queueOffset - b.queueOffset
  expect([...inTime.rows].sort(order)).toEqual(rows)
  const times = inTime.rows.map(({ untilMs }) => untilMs)
  expect(times).toEqual([...times].sort((a, b) => a - b))
  return rows
}

describe('a popped message', () => {
  test('is in flight until it is acknowledged, under the handle of its last pop', async () => {
    const core = await leader()
    const name = { ...QUEUE, queueOffset: 7 }
    expect(await committed(core.pops.pop(name, 5_000, 1_000))).toBe(true)
    expect(await inFlight(core)).toEqual([{ ...name, untilMs: 5_000, poppedMs: 1_000, attempts: 1 }])
    expect(await committed(core.pops.changeInvisible({ ...name, untilMs: 5_000 }, 9_000))).toBe(true)
    expect(await core.pops.acknowledge({ ...name, untilMs: 5_000 })).toBe(false)
    expect(await committed(core.pops.pop(name, 20_000, 9_500))).toBe(true)
    expect(await inFlight(core)).toEqual([{ ...name, untilMs: 20_000, poppedMs: 9_500, attempts: 2 }])
    expect(await committed(core.pops.acknowledge({ ...name, untilMs: 20_000 }))).toBe(true)
    expect(await core.pops.acknowledge({ ...name, untilMs: 20_000 })).toBe(false)
    expect(await inFlight(core)).toEqual([])
  })

  test('comes again by a record that ends its flight, unless it was acknowledged', async () => {
    const core = await leader()
    const handles = [0, 1].map((queueOffset) => ({ ...QUEUE, queueOffset, untilMs: 5_000 }))
    await committed(Promise.all(handles.map((handle) => core.pops.pop(handle, 5_000, 1_000))))
    expect(log.entries).toHaveLength(1)
    expect((await core.pops.due(4_999, '', 10)).rows).toEqual([])
    expect((await core.pops.due(5_000, '', 10)).rows).toHaveLength(2)
    const [first, second] = handles as [(typeof handles)[0], (typeof handles)[0]]
    const again = core.pops.endWith(first, message('%RETRY%g_T', 'again'))
    const late = core.pops.acknowledge(first)
    const acknowledged = core.pops.acknowledge(second)
    const tooLate = core.pops.endWith(second, message('%RETRY%g_T', 'never'))
    await committed(again)
    expect(await late).toBe(false)
    expect(await acknowledged).toBe(true)
    expect(await tooLate).toBeNull()
    expect(await inFlight(core)).toEqual([])
    const retried = log.entries.map(({ body }) => decodeRecord(body)).filter(({ topic }) => topic === '%RETRY%g_T')
    expect(retried.map(({ body }) => body.toString())).toEqual(['again'])
  })

  test.each([
    ['a group with a colon', { group: 'a:b' }],
    ['a queue that is none', { queueId: -1 }],
  ])('has no row for %s', async (_, wrong) => {
    const core = await leader()
    await expect(core.pops.pop({ ...QUEUE, queueOffset: 1, ...wrong }, 1, 1)).rejects.toMatchObject({ code: 'INVALID' })
  })

  test('is remembered by the next leader, and after a restart', async () => {
    const metadata = new MemoryMetadata(clock)
    const core = await leader(metadata, `${led.temp.path}/same`)
    for (let i = 0; i < 20; i++) {
      await committed(core.pops.pop({ ...QUEUE, queueOffset: i }, 9_000 - i, 1_000))
    }
    const rows = await inFlight(core)
    expect(rows).toHaveLength(20)
    await flush(core, core.machine.appliedIndex)
    log.lose(0)
    const restarted = await leader(metadata.crash(0), `${led.temp.path}/same`)
    expect(await inFlight(restarted)).toEqual(rows)
    log.lose(0)
    expect(await inFlight(await leader())).toEqual(rows)
  })

  test('has one row in both orders or none, whatever is asked at once, refused, or lost with a leadership', async () => {
    const step = fc.record({
      what: fc.constantFrom('pop', 'acknowledge', 'change', 'again'),
      queueOffset: fc.nat(4),
      untilMs: fc.nat(9),
      commit: fc.nat(4),
      passes: fc.nat(6),
    })
    const leadership = fc.record({
      refused: fc.array(fc.nat(15), { maxLength: 3 }),
      steps: fc.array(step, { maxLength: 14 }),
      kept: fc.nat(4),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(leadership, { minLength: 1, maxLength: 4 }), async (all) => {
        await led.close()
        begin()
        let core = await leader()
        for (const { refused, steps, kept } of all) {
          log.refuses = (n) => refused.includes(n % 16)
          for (const { what, queueOffset, untilMs, commit, passes: wait } of steps) {
            const handle = { ...QUEUE, queueOffset, untilMs }
            const asked =
              what === 'pop'
                ? core.pops.pop(handle, untilMs, 1)
                : what === 'acknowledge'
                  ? core.pops.acknowledge(handle)
                  : what === 'change'
                    ? core.pops.changeInvisible(handle, (untilMs + 3) % 10)
                    : core.pops.endWith(handle, message('R', String(queueOffset)))
            asked.catch(() => {})
            await passes(wait)
            log.commit(commit)
          }
          await passes(8)
          await inFlight(core)
          log.lose(kept)
          core = await leader()
        }
        log.refuses = () => false
        for (const row of await inFlight(core)) expect(await committed(core.pops.acknowledge(row))).toBe(true)
        expect(await inFlight(core)).toEqual([])
      }),
      { numRuns: 60 },
    )
  })
})
