/** Whose turn it is, over passes of the event loop that the test makes. */
import type { Clock } from '@dledger-ts/base'
import { beforeEach, describe, expect, it } from 'vitest'
import { ReadingTurns } from './reading-turns.ts'

let nowMs: number
let deferred: (() => void)[]
let handled: string[]
let turns: ReadingTurns

beforeEach(() => {
  nowMs = 1_000
  deferred = []
  handled = []
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: () => () => {},
    defer: (callback) => deferred.push(callback),
  }
  turns = new ReadingTurns(clock)
})

/** What `name` has read takes so long to handle. */
function arrives(name: string, ms: number): { takeTurn(): void } {
  const reader = {
    takeTurn: () => {
      handled.push(name)
      nowMs += ms
    },
  }
  if (turns.mayRead(reader, nowMs)) reader.takeTurn()
  return reader
}

/** The rest of the process runs. @returns what was handled until then, since the last pass. */
function pass(): string {
  const names = handled.join('')
  handled = []
  for (const callback of deferred.splice(0)) callback()
  return names
}

describe('what many connections have read', () => {
  it('is handled at once while there is time, and for 20 ms of each pass when there is more', () => {
    for (const name of 'abcdefgh') arrives(name, 8)
    expect([pass(), pass(), pass(), pass()]).toEqual(['abc', 'def', 'gh', ''])
  })

  it('is handled in the order in which it came, also what comes while others wait', () => {
    arrives('a', 30)
    arrives('b', 30)
    arrives('c', 1)
    expect(pass()).toBe('a')
    arrives('d', 1)
    expect(pass()).toBe('b')
    expect([pass(), pass()]).toEqual(['cd', ''])
  })

  it('leaves nothing behind: without anything to handle no pass is looked at', () => {
    arrives('a', 1)
    pass()
    expect(deferred).toEqual([])
  })

  it('is dropped with a connection that is gone', () => {
    arrives('a', 30)
    const gone = arrives('b', 1)
    arrives('c', 1)
    turns.withdraw(gone)
    expect([pass(), pass(), turns.waitingCount]).toEqual(['a', 'c', 0])
  })
})
