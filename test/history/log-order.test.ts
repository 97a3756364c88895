/** The checker of logs, checked: good histories pass, and each way of making one bad is seen. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { goodLogs, LOG_MUTATIONS } from './log-arbitraries.ts'
import { type Append, checkLogOrder, type LogHistory } from './log-order.ts'

const RUNS = 500

/** Acknowledged appends of which the last began after the first was answered. */
function acknowledgedOf({ appends }: LogHistory): readonly Append[] {
  return appends.filter(({ outcome }) => outcome === 'acknowledged')
}

describe('a log', () => {
  test('made good passes', () => {
    fc.assert(
      fc.property(goodLogs, (history) => {
        expect(checkLogOrder(history)).toEqual([])
      }),
      { numRuns: RUNS },
    )
  })

  test.each(Object.keys(LOG_MUTATIONS))('with %s fails', (name) => {
    fc.assert(
      fc.property(goodLogs, (history) => {
        const acknowledged = acknowledgedOf(history)
        const [first, last] = [acknowledged[0], acknowledged.at(-1)]
        fc.pre(first !== undefined && last !== undefined && last.invokedAt > first.answeredAt)
        const bad = (LOG_MUTATIONS[name] as (typeof LOG_MUTATIONS)[string])(history, acknowledged)
        expect(checkLogOrder(bad)).not.toEqual([])
      }),
      { numRuns: RUNS },
    )
  })

  test('of many entries is judged in seconds: the time grows with the length', () => {
    const count = 300_000
    const appends = Array.from({ length: count }, (_, i): Append => {
      return { id: `${i}`, content: '', invokedAt: i, answeredAt: i + 3, outcome: 'acknowledged', index: i }
    })
    const entries = appends.map(({ id, content, index }) => ({ id, content, index }))
    const reads = ['a', 'b', 'c'].map((reader) => {
      return {
        reader,
        startedAt: count + 9,
        endedAt: count + 10,
        from: 0,
        end: count,
        entries,
        claim: 'final' as const,
      }
    })
    const startedMs = performance.now()
    expect(checkLogOrder({ appends, reads })).toEqual([])
    expect(performance.now() - startedMs).toBeLessThan(5_000)
  })

  test('is told of in words', () => {
    const append: Append = { id: 'a', content: 'x', invokedAt: 1, answeredAt: 2, outcome: 'acknowledged', index: 3 }
    const reads = [{ reader: 'n1', startedAt: 5, endedAt: 6, from: 0, end: 4, entries: [], claim: 'final' as const }]
    expect(checkLogOrder({ appends: [append], reads })).toEqual(['n1 saw nothing at 3, where a stands'])
  })
})
