/** When the leader looks for what comes again: never before its time, and never too late for what is popped while it looks. */
import { silentLogger } from '@dledger-ts/base'
import type { PoppedPage } from '@dledger-ts/store'
import { describe, expect, test } from 'vitest'
import type { BrokerContext } from '../context.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { Revive } from './revive.ts'

const NOTHING: PoppedPage = { rows: [], next: null }

/** A table of popped messages that answers when it is told to. */
function setup() {
  const clock = new ManualClock(1_000)
  const asked: { readonly untilMs: number; readonly answer: (page: PoppedPage) => void }[] = []
  let isLeader = true
  const due = (untilMs: number) => new Promise<PoppedPage>((answer) => asked.push({ untilMs, answer }))
  const context = { store: { isReady: () => isLeader, pops: { due } }, clock, logger: silentLogger }
  const revive = new Revive(context as unknown as BrokerContext)
  const answerAll = async (page = NOTHING) => {
    for (const one of asked.splice(0)) one.answer(page)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const lead = (yes: boolean) => {
    isLeader = yes
    revive.roleChanged()
  }
  return { clock, asked, revive, answerAll, lead }
}

describe('the leader', () => {
  test('looks once when it begins, and then sleeps without a timer while nothing is in flight', async () => {
    const { clock, asked, answerAll, lead } = setup()
    lead(true)
    clock.advance(0)
    expect(asked).toHaveLength(1)
    await answerAll()
    await answerAll()
    expect([asked.length, clock.pending]).toEqual([0, 0])
  })

  test('looks when the earliest time has come', async () => {
    const { clock, asked, revive, answerAll, lead } = setup()
    lead(true)
    clock.advance(0)
    await answerAll()
    await answerAll()
    revive.popped(5_000)
    revive.popped(3_000)
    revive.popped(9_000)
    expect(clock.pending).toBe(1)
    clock.advance(1_999)
    expect(asked).toHaveLength(0)
    clock.advance(1)
    expect(asked.map(({ untilMs }) => untilMs)).toEqual([3_000])
  })

  test('looks again for what is popped while it looks', async () => {
    const { clock, asked, revive, answerAll, lead } = setup()
    lead(true)
    clock.advance(0)
    await answerAll()
    // It has seen what is due and asks what comes next; both answers were made before this one was in the table.
    revive.popped(4_000)
    await answerAll()
    expect(clock.pending).toBe(1)
    clock.advance(3_000)
    expect(asked.map(({ untilMs }) => untilMs)).toEqual([4_000])
  })

  test('asks on behind a page that is empty though more follows', async () => {
    const { clock, asked, answerAll, lead } = setup()
    lead(true)
    clock.advance(0)
    await answerAll()
    await answerAll({ rows: [], next: 'behind' })
    const row = { group: 'g', topic: 'T', queueId: 0, queueOffset: 0, untilMs: 8_000, poppedMs: 1, attempts: 1 }
    await answerAll({ rows: [row], next: null })
    expect([asked.length, clock.pending]).toEqual([0, 1])
    clock.advance(7_000)
    expect(asked.map(({ untilMs }) => untilMs)).toEqual([8_000])
  })

  test('that leads no more sleeps, and looks again when it leads again, also while it still looks', async () => {
    const { clock, asked, revive, answerAll, lead } = setup()
    lead(true)
    clock.advance(0)
    lead(false)
    revive.popped(2_000)
    expect(clock.pending).toBe(0)
    lead(true)
    clock.advance(0)
    expect(asked).toHaveLength(1)
    await answerAll()
    await answerAll()
    clock.advance(0)
    expect(asked).toHaveLength(1)
    revive.stop()
    await answerAll()
    await answerAll()
    expect(clock.pending).toBe(0)
  })
})
