/** Queries that share the passes of an event loop that the test makes. */
import type { Clock } from '@dledger-ts/base'
import { beforeEach, expect, test } from 'vitest'
import { QueryTurns } from './query-turns.ts'

let nowMs: number
let deferred: (() => void)[]
let done: string
let turns: QueryTurns

beforeEach(() => {
  nowMs = 1_000
  deferred = []
  done = ''
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: () => () => {},
    defer: (callback) => deferred.push(callback),
  }
  turns = new QueryTurns(clock)
})

/** So many pieces of work of 8 ms each, all of it at hand. */
async function query(name: string, pieces: number): Promise<void> {
  for (let i = 0; i < pieces; i++) {
    if (turns.isOver) await turns.next()
    done += name
    nowMs += 8
  }
  turns.ended()
}

/** Ends this pass. @returns what was done in the next one. */
async function pass(): Promise<string> {
  done = ''
  for (const callback of deferred.splice(0)) {
    callback()
    // What goes on by promises does so between two callbacks.
    for (let i = 0; i < 8; i++) await Promise.resolve()
  }
  return done
}

test('what is at hand is looked at for 20 ms of each pass, one after the other, and nobody is forgotten', async () => {
  const all = Promise.all([query('a', 5), query('b', 1), query('c', 4)])
  for (let i = 0; i < 8; i++) await Promise.resolve()
  expect(done).toBe('aaa')
  // `a` waited first, and leaves the rest of its time to `b`.
  expect([await pass(), await pass(), await pass(), await pass()]).toEqual(['aab', 'ccc', 'c', ''])
  await all
})

test('without a query nothing is looked at', async () => {
  await query('a', 1)
  expect(await pass()).toBe('')
  expect(deferred).toEqual([])
})
