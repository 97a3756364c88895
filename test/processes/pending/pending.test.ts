/** Three failovers with open transactions and waiting messages; `npm run test:pending` for a hundred. */
import { expect, test } from 'vitest'
import { runRounds, violations } from './rounds.ts'

test(
  'transactions and timers are in the log exactly once though their leaders are killed',
  { timeout: 300_000 },
  async () => {
    const lines: string[] = []
    const result = await runRounds({ rounds: 3, flush: 'ASYNC_FLUSH', say: (line) => lines.push(line) })
    expect(violations(result), lines.join('\n')).toEqual([])
    expect(result.transactions.once).toBeGreaterThan(100)
    expect(result.timers.once).toBeGreaterThan(100)
    expect(result.questions).toBeGreaterThan(50)
    expect(result.recalled).toBeGreaterThan(0)
  },
)
