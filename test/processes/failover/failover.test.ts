/**
 * The promise of the whole, on real processes: the leader is killed ten times under load and no acknowledged message is lost.
 */
import { expect, test } from 'vitest'
import { runRounds } from './rounds.ts'

const TIMEOUT_MS = 300_000

test(
  'ten times kill -9 of the leader: what was acknowledged is where it was acknowledged, at all members',
  { timeout: TIMEOUT_MS },
  async () => {
    const result = await runRounds({ rounds: 10, flush: 'SYNC_FLUSH', say: (line) => console.log(line) })
    const { acknowledged, lost, redelivered, storedTwice, failed } = result
    console.log(
      `acknowledged ${acknowledged}, lost ${lost.length}, duplicated ${redelivered + storedTwice} ` +
        `(${redelivered} delivered twice, ${storedTwice} stored twice), ${failed} sends with unknown outcome`,
    )
    expect(lost).toEqual([])
    expect(result.violations).toEqual([])
    expect(result.outageMs).toHaveLength(10)
    expect(acknowledged).toBeGreaterThan(4_000)
  },
)
