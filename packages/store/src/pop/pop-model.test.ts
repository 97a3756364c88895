/**
 * Pops by many at once, against what they promise: nothing is lost, and nothing comes again once its acknowledgement is answered,
 * whatever is refused, timed out, or lost with a leadership.
 */
import { decodeRecord } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { StoreError } from '../errors.ts'
import type { PoppedHandle } from '../metadata/popped-messages.ts'
import type { StoreCore } from '../store-core.ts'
import { message } from '../testing/fixture.ts'
import { Leaderships } from '../testing/leaderships.ts'
import { passes } from '../testing/manual-clock.ts'
import { blockedUntil } from './ordered-batch.ts'

const GROUP = 'g'
const AGAIN = '%RETRY%g_T'
const COUNT = 8

let led: Leaderships | null = null
afterEach(async () => {
  await led?.close()
  led = null
})

const step = fc.record({
  what: fc.constantFrom('pop', 'pop', 'acknowledge', 'acknowledge', 'change', 'revive'),
  count: fc.integer({ min: 1, max: 4 }),
  which: fc.nat(20),
  forMs: fc.integer({ min: 1, max: 40 }),
  commit: fc.nat(4),
  wait: fc.nat(6),
  laterMs: fc.nat(15),
})
const leadership = fc.record({
  refused: fc.array(fc.nat(15), { maxLength: 3 }),
  steps: fc.array(step, { maxLength: 16 }),
  kept: fc.nat(5),
})
const life = fc.array(leadership, { minLength: 1, maxLength: 4 })
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never
type Leadership = typeof leadership extends fc.Arbitrary<infer Value> ? Value : never

/** Clients and the leader's part of a broker, and what they know. */
class World {
  readonly led = new Leaderships()
  /** Bodies whose acknowledgement was answered. */
  readonly acknowledged = new Set<string>()
  /** What clients hold: under what they can acknowledge a message, and what it says. */
  readonly held: { readonly handle: PoppedHandle; readonly body: string }[] = []
  /** What must not be. */
  readonly wrong: string[] = []
  readonly #locked = new Set<string>()
  core!: StoreCore

  async begin(): Promise<void> {
    await this.lead()
    for (let i = 0; i < COUNT; i++) await this.settle(this.put(message('T', String(i))))
  }

  async lead(): Promise<void> {
    this.core = await this.led.leader()
    this.#locked.clear()
    for (const topic of ['T', AGAIN]) {
      const known = this.core.offsets.get(GROUP, topic, 0)
      if (known === undefined) this.core.offsets.commit(GROUP, topic, 0, 0)
    }
  }

  /**
   * One leadership after another: what clients ask for is not waited for, and of what is under way when a leadership ends the newest entries
   * are lost. In the end one leads that refuses nothing.
   */
  async live(all: readonly Leadership[], ask: (wish: Step) => Promise<unknown>): Promise<void> {
    const { log, clock } = this.led
    for (const { refused, steps, kept } of all) {
      log.refuses = (n) => refused.includes(n % 16)
      for (const wish of steps) {
        ask(wish).catch((error: unknown) => {
          if (!(error instanceof StoreError)) this.wrong.push(String(error))
        })
        await passes(wish.wait)
        clock.advance(wish.laterMs)
        log.commit(wish.commit)
      }
      await passes(4)
      log.lose(kept)
      await passes(4)
      await this.lead()
    }
    log.refuses = () => false
  }

  put(one: ReturnType<typeof message>): Promise<unknown> {
    return new Promise((stored, putFailed) => this.core.putter.put(one, { stored, putFailed }))
  }

  async settle<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false
    const done = promise.finally(() => (isSettled = true))
    done.catch(() => {})
    for (let i = 0; i < 200 && !isSettled; i++) {
      await passes(2)
      this.led.log.commit()
    }
    expect(isSettled).toBe(true)
    return promise
  }

  read(
    topic: string,
    queueOffset: number,
    maxCount: number,
  ): Promise<{ body: string; bytes: Buffer; queueOffset: number }[]> {
    const request = { topic, queueId: 0, queueOffset, maxCount, maxBytes: 1 << 20, tagFilter: null }
    return new Promise((resolve, reject) => {
      this.core.reader.get(request, (error, result) => {
        if (error !== null) return reject(error)
        resolve(
          (result?.records ?? []).map((bytes) => {
            const record = decodeRecord(bytes)
            return { body: record.body.toString(), bytes, queueOffset: record.queueOffset }
          }),
        )
      })
    })
  }

  async pop(count: number, forMs: number): Promise<number> {
    const { core } = this
    const popped: { topic: string; found: Awaited<ReturnType<World['read']>> }[] = []
    const locked: string[] = []
    try {
      for (const topic of ['T', AGAIN]) {
        if (this.#locked.has(topic)) continue
        this.#locked.add(topic)
        locked.push(topic)
        const found = await this.read(topic, core.offsets.get(GROUP, topic, 0) ?? 0, count)
        if (found.length > 0) popped.push({ topic, found })
      }
      if (popped.length === 0) return 0
      const nowMs = this.led.clock.nowMs()
      const untilMs = nowMs + forMs
      const queues = popped.map(({ topic, found }) => {
        const queueOffsets = found.map(({ queueOffset }) => queueOffset)
        return { topic, queueId: 0, queueOffsets, nextOffset: (queueOffsets.at(-1) as number) + 1 }
      })
      const taken = await core.pops.popQueues({ group: GROUP, queues, untilMs, poppedMs: nowMs })
      for (const [i, { topic, found }] of popped.entries()) {
        for (const { body, queueOffset } of found) {
          if (taken[i]?.includes(queueOffset) !== true) continue
          if (this.acknowledged.has(body)) this.wrong.push(`${body} came again, though it was acknowledged`)
          this.held.push({ handle: { group: GROUP, topic, queueId: 0, queueOffset, untilMs }, body })
        }
      }
      return popped.length
    } finally {
      if (core === this.core) for (const topic of locked) this.#locked.delete(topic)
    }
  }

  async acknowledge(which: number): Promise<void> {
    const one = this.held[which % Math.max(1, this.held.length)]
    if (one === undefined) return
    if (await this.core.pops.acknowledge(one.handle)) this.acknowledged.add(one.body)
  }

  async change(which: number, forMs: number): Promise<void> {
    const one = this.held[which % Math.max(1, this.held.length)]
    if (one === undefined) return
    const untilMs = this.led.clock.nowMs() + forMs
    if (await this.core.pops.changeInvisible(one.handle, untilMs)) {
      this.held.push({ handle: { ...one.handle, untilMs }, body: one.body })
    }
  }

  async revive(): Promise<void> {
    const { core } = this
    const { rows } = await core.pops.due(this.led.clock.nowMs(), '', 100)
    for (const row of rows) {
      const [found] = await this.read(row.topic, row.queueOffset, 1)
      if (found === undefined) throw new Error('what is in flight is there')
      await core.pops.endWith(row, message(AGAIN, found.body))
    }
  }
}

describe('messages that are popped', () => {
  test('are each acknowledged in the end, and never seen again after that', async () => {
    await fc.assert(
      fc.asyncProperty(life, async (all) => {
        const world = new World()
        led = world.led
        await world.begin()
        const { clock } = world.led
        await world.live(all, ({ what, count, which, forMs }) =>
          what === 'pop'
            ? world.pop(count, forMs)
            : what === 'acknowledge'
              ? world.acknowledge(which)
              : what === 'change'
                ? world.change(which, forMs)
                : world.revive(),
        )
        for (let round = 0; round < 50 && world.acknowledged.size < COUNT; round++) {
          clock.advance(50)
          await world.settle(world.revive())
          const from = world.held.length
          await world.settle(world.pop(10, 40))
          for (let i = from; i < world.held.length; i++) await world.settle(world.acknowledge(i))
        }
        const missing = Array.from({ length: COUNT }, (_, i) => String(i)).filter(
          (body) => !world.acknowledged.has(body),
        )
        // What was acknowledged although the client never heard of it does not come again either.
        const inFlight = await world.core.pops.due(Number.MAX_SAFE_INTEGER - 1, '', 100)
        expect(inFlight.rows).toEqual([])
        const unheard = missing.filter((body) => !world.held.some((one) => one.body === body))
        expect(unheard).toEqual([])
        expect(world.wrong).toEqual([])
        await world.led.close()
        led = null
      }),
      { numRuns: 80 },
    )
  })

  test('in order come in order: a queue is passed only where everything before is acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(life, async (all) => {
        const world = new World()
        led = world.led
        await world.begin()
        const { clock } = world.led
        const queue = { group: GROUP, topic: 'T', queueId: 0 }
        const heldNow: { queueOffset: number; poppedMs: number }[] = []
        const done = new Set<number>()
        const popInOrder = async (maxCount: number, forMs: number): Promise<number> => {
          const { core } = world
          const nowMs = clock.nowMs()
          if (blockedUntil(core.orderedPops.batch(queue), null, nowMs) > 0) return 0
          const fromOffset = core.offsets.get(GROUP, 'T', 0) ?? 0
          const found = (await world.read('T', fromOffset, maxCount)).map(({ queueOffset }) => queueOffset)
          if (found.length === 0) return 0
          const earlier = await core.orderedPops.pop(queue, {
            fromOffset,
            queueOffsets: found,
            nextOffset: (found.at(-1) as number) + 1,
            untilMs: nowMs + forMs,
            poppedMs: nowMs,
            attemptId: null,
          })
          const given = [...(earlier?.keys() ?? [])]
          for (const queueOffset of given) {
            if (done.has(queueOffset)) world.wrong.push(`${queueOffset} came again, though it was acknowledged`)
            heldNow.push({ queueOffset, poppedMs: nowMs })
          }
          // Nothing before what comes first is open.
          for (let i = 0; i < (given[0] ?? 0); i++) {
            if (!heldNow.some((one) => one.queueOffset === i)) world.wrong.push(`${given[0]} came before ${i}`)
          }
          return given.length
        }
        const acknowledge = async (which: number): Promise<void> => {
          const one = heldNow[which % Math.max(1, heldNow.length)]
          if (one === undefined) return
          if (await world.core.orderedPops.acknowledge(queue, [one.queueOffset], one.poppedMs))
            done.add(one.queueOffset)
        }
        const change = async (which: number, forMs: number): Promise<void> => {
          const one = heldNow[which % Math.max(1, heldNow.length)]
          if (one === undefined) return
          await world.core.orderedPops.changeInvisible(queue, { ...one, untilMs: clock.nowMs() + forMs })
        }
        await world.live(all, ({ what, count, which, forMs }) =>
          what === 'pop' || what === 'revive'
            ? popInOrder(count, forMs)
            : what === 'acknowledge'
              ? acknowledge(which)
              : change(which, forMs),
        )
        for (let round = 0; round < 50; round++) {
          clock.advance(50)
          const from = heldNow.length
          if ((await world.settle(popInOrder(4, 40))) === 0) break
          for (let i = from; i < heldNow.length; i++) await world.settle(acknowledge(i))
        }
        expect(world.core.offsets.get(GROUP, 'T', 0)).toBe(COUNT)
        expect(world.core.orderedPops.batch(queue)).toBeUndefined()
        expect(new Set(heldNow.map(({ queueOffset }) => queueOffset)).size).toBe(COUNT)
        expect(world.wrong).toEqual([])
        await world.led.close()
        led = null
      }),
      { numRuns: 80 },
    )
  })
})
