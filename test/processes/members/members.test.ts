/**
 * Members as real processes, struck in every way there is while clients append, read and use registers: nothing acknowledged is
 * lost, no reader sees the log change, registers are linearizable. `npm run test:processes` goes on for as long as wanted.
 */
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { run } from '../group/run.ts'
import { BLOWS, type BlowName, POWER_CUTS, WIRE_CUTS } from './blows.ts'
import { type RoundsOptions, runRounds, summary } from './rounds.ts'

const TIMEOUT_MS = 180_000

describe('members in network namespaces', { timeout: TIMEOUT_MS }, () => {
  test('lose nothing when wires are pulled and packets are lost, or it is said that there are none here', async () => {
    const main = fileURLToPath(new URL('../../dist/processes/members/main.js', import.meta.url))
    const args = [main, '--network', 'namespaces', '--minutes', '0.01', '--rounds', '3']
    const blows = Object.keys(WIRE_CUTS).flatMap((name) => ['--blow', name])
    const { status, stdout, stderr } = await run(process.execPath, [...args, ...blows], { timeoutMs: TIMEOUT_MS })
    console.log(stdout)
    expect({ status, stderr }).toMatchObject({ status: 0 })
    expect(stdout).toMatch(/ 0 violations\n$|^skipped: /)
  })
})

describe('frames between members', { timeout: TIMEOUT_MS }, () => {
  test('that arrive with a bit flipped or only in part change nothing: their connections are closed', async () => {
    const blows: BlowName[] = [
      'flipped bits',
      'connections reset in the middle of frames',
      'flipped bits in greetings',
      'flipped bits',
    ]
    const seed = randomInt(2 ** 31)
    const result = await runRounds({ size: 3, flush: 'SYNC_FLUSH', shadowed: false, seed, blows, say: () => {} })
    console.log(`seed ${seed}: ${result.flips} bits flipped, ${result.resets} resets, ${result.badFrames} bad frames`)
    expect({ seed, violations: result.violations }).toEqual({ seed, violations: [] })
    expect(result.flips).toBeGreaterThan(10)
    expect(result.resets).toBeGreaterThan(5)
    expect(result.badFrames).toBeGreaterThan(5)
  })
})

describe('reads without an entry in the log', { timeout: TIMEOUT_MS }, () => {
  test.each([
    { what: 'leases', leaseReads: true },
    { what: 'a majority that is asked', leaseReads: false },
  ])(
    'are never stale, also of a leader that was stopped while another took its place: by $what',
    async ({ leaseReads }) => {
      const stop: BlowName = 'SIGSTOP of the leader, which is asked before it knows that another leads'
      const blows: BlowName[] = [stop, 'nothing reaches or leaves the leader', stop, 'SIGKILL of the leader', stop]
      const seed = randomInt(2 ** 31)
      const options = { size: 3, flush: 'SYNC_FLUSH', shadowed: false, leaseReads, seed, blows } as const
      const result = await runRounds({ ...options, say: (line) => console.log(line) })
      console.log(summary(result))
      expect({ seed, violations: result.violations }).toEqual({ seed, violations: [] })
      expect(result.readsWithoutEntry).toBeGreaterThan(50)
    },
  )
})

describe('what was acknowledged stays and what is read does not change', { timeout: TIMEOUT_MS }, () => {
  test.each<Pick<RoundsOptions, 'flush' | 'shadowed' | 'blows'> & { what: string }>([
    {
      what: 'SIGKILL, SIGSTOP, partitions, resets and flipped bits',
      flush: 'SYNC_FLUSH',
      shadowed: false,
      blows: Object.keys(BLOWS) as BlowName[],
    },
    {
      what: 'power cuts that undo what was not synced, of one and of all',
      flush: 'SYNC_FLUSH',
      shadowed: true,
      blows: [...Object.keys(POWER_CUTS), ...Object.keys(POWER_CUTS)] as BlowName[],
    },
    {
      what: 'SIGKILL and SIGSTOP while nothing is synced at once',
      flush: 'ASYNC_FLUSH',
      shadowed: false,
      blows: ['SIGKILL of the leader', 'SIGKILL of all at once', 'SIGSTOP of the leader beyond the election timeout'],
    },
  ])('over $what, $flush', async ({ flush, shadowed, blows }) => {
    const seed = randomInt(2 ** 31)
    const result = await runRounds({ size: 3, flush, shadowed, seed, blows, say: (line) => console.log(line) })
    console.log(summary(result))
    expect({ seed, violations: result.violations }).toEqual({ seed, violations: [] })
    expect(result.rounds).toHaveLength(blows.length)
    // Histories in which nothing happens would prove nothing.
    expect(result.acknowledged).toBeGreaterThan(100 * blows.length)
    expect(result.operations).toBeGreaterThan(30 * blows.length)
    expect(result.reads).toBeGreaterThan(5 * blows.length)
  })
})
