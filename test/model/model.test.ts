/** Brokers of a simulated group against the model: a fixed number of runs, as far as the time reaches. */
import { describe, expect, test } from 'vitest'
import { PLANTED } from './planted.ts'
import { explore, type Run } from './property.ts'
import { runSteps } from './run.ts'

const SEED = 1
const RUNS = 60
const RUNS_MS_MAX = 25_000
const TIMEOUT_MS = 300_000

const QUICK_FAULTS = ['every message stored twice', 'half messages are visible', 'timers are not kept']

const FAILOVER: Run = {
  seed: 7,
  expires: false,
  steps: [
    { do: 'send', sender: 0, to: 'leader', queue: 0, count: 5, way: { kind: 'plain' } },
    { do: 'send', sender: 1, to: 1, queue: 0, count: 5, way: { kind: 'plain' } },
    { do: 'wait', ms: 20 },
    { do: 'die', who: 'leader', death: 'power' },
    { do: 'send', sender: 0, to: 2, queue: 0, count: 5, way: { kind: 'plain' } },
    { do: 'wait', ms: 1_500 },
    { do: 'pull', of: 'leader', queue: 0, back: 8 },
    { do: 'die all', death: 'kill' },
    { do: 'start' },
    { do: 'wait', ms: 1_500 },
    { do: 'pull', of: 'leader', queue: 0, back: 8 },
  ],
}

/** The one that led goes on after a while, believes that it still leads, and is told of what another one has given out. */
const REPLACED: Run = {
  seed: 1884414016,
  expires: false,
  steps: [
    { do: 'send', sender: 0, to: 0, queue: 0, count: 1, way: { kind: 'plain' } },
    { do: 'wait', ms: 50 },
    { do: 'pause', who: 'leader' },
    { do: 'wait', ms: 2_500 },
    { do: 'pop', of: 'leader', count: 1, invisibleMs: 5_000 },
    { do: 'wait', ms: 1_500 },
    { do: 'ack', to: 1, count: 1 },
    { do: 'die', who: 'leader', death: 'kill' },
  ],
}

describe('brokers of a group under faults', () => {
  test(`show what the model allows, in ${RUNS} runs of seed ${SEED}`, { timeout: TIMEOUT_MS }, async () => {
    const { failure, report, runs, counts } = await explore({ seed: SEED, runs: RUNS, forMs: RUNS_MS_MAX })
    expect({ failure, report }).toEqual({ failure: null, report: null })
    // Runs in which nothing happens would prove nothing.
    expect(counts.acknowledged / runs).toBeGreaterThan(5)
  })

  test(
    'answer no acknowledgement that a member which led before knows nothing of',
    { timeout: TIMEOUT_MS },
    async () => {
      const { violation, counts } = await runSteps(REPLACED)
      expect(violation).toBeNull()
      expect(counts).toMatchObject({ popped: 1, popAcks: 1 })
    },
  )

  // `npm run test:model -- --planted` plants all of them.
  test.each(QUICK_FAULTS)('are found out: %s', { timeout: TIMEOUT_MS }, async (name) => {
    const { failure } = await explore({ seed: SEED, runs: 20, shrinkMs: 0, planted: PLANTED[name] })
    expect(failure).not.toBeNull()
  })

  test('do the same again from the same seed and steps', { timeout: TIMEOUT_MS }, async () => {
    const first = await runSteps(FAILOVER)
    expect(first).toMatchObject({ violation: null })
    expect(first.counts.acknowledged).toBeGreaterThan(10)
    expect(await runSteps(FAILOVER)).toEqual(first)
  })
})
