/**
 * The group under simulated faults: 2,000 schedules without a violation, the ones that once had one, the same run twice, and
 * planted faults that must show.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { scheduleOf } from './arbitraries.ts'
import { type Failure, noTotals, replayCommand, shrink, tryFromSeed } from './explore.ts'
import { type FaultName, plant } from './planted.ts'
import { runSeeds } from './pool.ts'
import { EVENTS_MIN, runSchedule } from './run.ts'
import type { Profile, Schedule } from './schedule.ts'

const SCHEDULES_BEYOND = 100
const SCHEDULES_FOR_EVENTS = 60
const PROFILES: readonly Profile[] = ['within', 'short', 'mixed', 'beyond']
/** Continuous integration runs at least 5,000 more. */
const SCHEDULES = 300
const TIMEOUT_MS = 600_000
const SHRINK_MS_MAX = 60_000
const REGRESSIONS = new URL('./regressions/', import.meta.url)

describe('a group under faults', () => {
  test(`keeps every invariant over ${SCHEDULES} schedules`, { timeout: TIMEOUT_MS }, async () => {
    const failures: Failure[] = []
    const totals = await runSeeds(
      {
        from: 1,
        to: SCHEDULES,
        deadline: Number.POSITIVE_INFINITY,
        workers: { url: new URL('../dist/simulation/worker.js', import.meta.url), jobs: availableParallelism() },
      },
      (failure) => failures.push(failure),
    )
    expect(failures.map(describeFailure)).toEqual([])
    expect(totals.schedules).toBe(SCHEDULES)
    // Schedules in which nothing happens would prove nothing.
    expect(totals.events / SCHEDULES).toBeGreaterThan(2_000)
    expect(totals.acknowledged / SCHEDULES).toBeGreaterThan(20)
  })

  test(
    'and damage beyond any budget, never serves or applies other bytes than were committed',
    { timeout: TIMEOUT_MS },
    () => {
      const totals = noTotals()
      for (let seed = 1; seed <= SCHEDULES_BEYOND; seed++) {
        expect(tryFromSeed(seed, totals, undefined, 'beyond')).toBeNull()
      }
      expect(totals.acknowledged / SCHEDULES_BEYOND).toBeGreaterThan(10)
    },
  )

  test.each(readdirSync(REGRESSIONS))('keeps every invariant where it once did not: %s', (name) => {
    const schedule = JSON.parse(readFileSync(new URL(name, REGRESSIONS), 'utf8')) as Schedule
    expect(runSchedule(schedule).violation).toBeNull()
  })
})

describe('a simulation', () => {
  test.each(PROFILES)('has at least 2,000 events (%s)', { timeout: TIMEOUT_MS }, (profile) => {
    // Among the first ones of each profile are some that would have fewer if their group did not work on.
    for (let seed = 1; seed <= SCHEDULES_FOR_EVENTS; seed++) {
      const { events, violation } = runSchedule(scheduleOf(seed, profile))
      expect({ seed, violation, few: events < EVENTS_MIN }).toEqual({ seed, violation: null, few: false })
    }
  })

  test('of the short profile has the faults of the same seed, closer together', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const [long, short] = [scheduleOf(seed), scheduleOf(seed, 'short')]
      expect(short.faults.map(({ kind }) => kind)).toEqual(long.faults.map(({ kind }) => kind))
      expect(short.seed).toBe(long.seed)
      expect(short.faultyMs).toBeLessThan(long.faultyMs / 2)
      for (const { atMs } of [...short.faults, ...short.requests])
        expect(atMs).toBeLessThanOrEqual(short.faultyMs + 200)
    }
  })

  test('run again does the same', () => {
    const hashes = new Set<number>()
    for (let seed = 1; seed <= 20; seed++) {
      const schedule = scheduleOf(seed)
      const first = runSchedule(schedule)
      const second = runSchedule(structuredClone(schedule), { keepText: true })
      expect({ ...second, lines: [] }).toEqual(first)
      hashes.add(first.traceHash)
    }
    expect(hashes.size).toBe(20)
  })

  test.each([1, 2])(
    'does the same in another process, with hashes of strings and randomness of its own (%i)',
    (number) => {
      const main = fileURLToPath(new URL('../dist/simulation/main.js', import.meta.url))
      const seed = 40 + number
      const args = [`--hash-seed=${number}`, `--random-seed=${number}`, main, '--seeds', `${seed}..${seed}`]
      const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
      // Others before it must leave nothing behind.
      for (let other = 1; other <= 5; other++) runSchedule(scheduleOf(other))
      expect(stdout).toContain(`trace ${runSchedule(scheduleOf(seed)).traceHash}\n`)
    },
  )

  /** `npm run sim:mutants` looks for all of them; these are found at once. */
  test.each<[FaultName, number]>([
    ['commit-old-term-by-counting', 100],
    ['vote-not-persisted', 20],
    ['vote-persisted-after-reply', 20],
    ['votes-twice', 100],
    ['off-by-one-quorum', 20],
    ['truncate-on-late-duplicate', 100],
    ['ack-before-durable', 20],
    ['no-step-down-on-higher-term', 200],
    ['noop-omitted', 20],
    ['durable-before-sync', 20],
    ['acknowledged-before-commit', 20],
    ['directory-sync-omitted', 20],
    ['cut-bytes-not-zeroed', 200],
    ['corrupt-middle-treated-as-end', 200],
    ['reads-own-state', 200],
    ['read-error-ignored', 100],
  ])('finds the planted fault %s within %i schedules', (name, schedulesMax) => {
    const totals = noTotals()
    let failure: Failure | null = null
    for (let seed = 1; failure === null && totals.schedules < schedulesMax; seed++) {
      failure = tryFromSeed(seed, totals, plant(name))
    }
    expect(failure).not.toBeNull()
  })
})

describe('the clients of registers', () => {
  test.each<FaultName>(['reads-own-state', 'off-by-one-quorum'])(
    'see the planted fault %s, whatever the invariants say',
    (name) => {
      let seen: string | null = null
      for (let seed = 1; seen === null && seed <= 300; seed++) {
        seen = runSchedule(scheduleOf(seed), { planted: plant(name), judgedBy: 'clients' }).violation
      }
      expect(seen).toMatch(/^register k\d is not linearizable:\n/)
    },
  )
})

function describeFailure(failure: Failure, place: number): string {
  const lines = [`seed ${failure.seed}: ${failure.violation}`, `replay: ${replayCommand(failure.seed)}`]
  const small = place === 0 ? shrink(failure.seed, SHRINK_MS_MAX) : null
  if (small !== null) lines.push(`made small: ${small.violation}`, JSON.stringify(small.schedule))
  return lines.join('\n')
}
