/**
 * The promise of the whole, on real processes: the leader is killed six times under load and no acknowledged message is lost.
 */
import { describe, expect, test } from 'vitest'
import { ENFORCING } from '../group/tls.ts'
import { type RoundsOptions, runRounds, summary } from './rounds.ts'

const TIMEOUT_MS = 300_000
/** A slow machine may need some time; but a client that learns of the new leader by its 30 s timer only has failed. */
const OUTAGE_MS_MAX = 15_000

describe('what was acknowledged is where it was acknowledged, at all members', { timeout: TIMEOUT_MS }, () => {
  test.each<Pick<RoundsOptions, 'rounds' | 'blow' | 'flush' | 'tls'> & { over: string }>([
    { rounds: 6, blow: 'kill', flush: 'SYNC_FLUSH', over: 'TCP' },
    { rounds: 3, blow: 'pause', flush: 'ASYNC_FLUSH', over: 'TCP' },
    { rounds: 3, blow: 'kill', flush: 'SYNC_FLUSH', over: 'TLS', tls: ENFORCING },
  ])('after $rounds times $blow of the leader, $flush, over $over', async (options) => {
    const result = await runRounds({ ...options, say: (line) => console.log(line) })
    console.log(summary(result))
    expect(result.lost).toEqual([])
    expect(result.violations).toEqual([])
    expect(result.outageMs).toHaveLength(options.rounds)
    expect(Math.max(...result.outageMs)).toBeLessThan(OUTAGE_MS_MAX)
    expect(result.acknowledged).toBeGreaterThan(400 * options.rounds)
  })
})
