/**
 * Random schedules over three and five cores: safety after each step, and agreement after healing. The same schedules find
 * planted faults. fast-check prints the seed of a failure and shrinks its schedule.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PLANTED_FAULTS, type PlantedFault } from './planted-faults.ts'
import { MEMBERSHIP_SHARES, runSchedule, SHARES } from './testing/schedule.ts'

/** Only changes of the membership show these. */
const MEMBERSHIP_FAULTS = [
  'learner-counted',
  'second-change-before-commit',
  'change-before-own-term',
  'rolled-back-configuration-kept',
  'removed-leader-counts-itself',
  'replacement-keeps-match',
] as const satisfies readonly PlantedFault[]

const schedules = fc.array(fc.tuple(fc.nat(SHARES - 1), fc.nat(997), fc.nat(997)), {
  minLength: 60,
  maxLength: 260,
  size: 'max',
})

/** Ticks within which a healed group has a leader and equal logs; an election timeout is at most 8. */
const HEALED_WITHIN_TICKS = 100

function safeAndHealing(size: number, faults?: ReadonlySet<PlantedFault>) {
  return fc.property(fc.nat(), schedules, (seed, schedule) => {
    const cluster = runSchedule(size, seed, schedule, faults)
    cluster.heal(HEALED_WITHIN_TICKS)
    cluster.check()
  })
}

describe('under crashes, loss, duplication, reordering and partitions', () => {
  test.each([
    { size: 3, numRuns: 1500 },
    { size: 5, numRuns: 800 },
  ])('$size members stay safe, and agree again when healed (Ongaro §3.6, §3.9)', ({ size, numRuns }) => {
    fc.assert(safeAndHealing(size), { numRuns: Number(process.env['RAFT_RUNS'] ?? numRuns) })
  })
})

const changes = fc.array(fc.tuple(fc.nat(MEMBERSHIP_SHARES - 1), fc.nat(997), fc.nat(997)), {
  minLength: 60,
  maxLength: 260,
  size: 'max',
})

function safeWhileChanging(faults?: ReadonlySet<PlantedFault>) {
  return fc.property(fc.nat(), fc.constantFrom(1, 3, 3), changes, (seed, size, schedule) => {
    const cluster = runSchedule(size, seed, schedule, faults, 2)
    cluster.heal(4 * HEALED_WITHIN_TICKS)
    cluster.check()
  })
}

describe('under changes of the membership besides', () => {
  test('members that come, go and lose their disks leave the group safe, and it agrees again when healed (Ongaro §4)', () => {
    fc.assert(safeWhileChanging(), { numRuns: Number(process.env['RAFT_RUNS'] ?? 1500) })
  })

  test.each(MEMBERSHIP_FAULTS)('%s is found', (fault) => {
    const found = fc.check(safeWhileChanging(new Set([fault])), { numRuns: 10_000, endOnFailure: true, seed: 7 })
    if (process.env['RAFT_RUNS'] !== undefined) console.log(fault, found.numRuns, String(found.errorInstance))
    expect(found.failed).toBe(true)
  })
})

describe('the schedules can fail', () => {
  /** A wiped disk or a rare order of messages shows these: identities.test.ts and replication.test.ts have a test for each. */
  const foundElsewhere: ReadonlySet<PlantedFault> = new Set([
    'identity-ignored',
    'old-term-append-accepted',
    'stale-response-counted',
    'persist-matched-by-index-only',
    'hung-leader-keeps-heartbeating',
    'tainted-member-leads',
    'preferred-without-hysteresis',
    ...MEMBERSHIP_FAULTS,
    // Nothing that was acknowledged is lost here: the simulation cuts the power.
    'recovering-counted',
    'recovering-votes',
    'recovering-by-old-leader',
    'recover-answer-without-nonce',
    'match-kept-across-recovery',
  ])

  test.each(PLANTED_FAULTS.filter((fault) => !foundElsewhere.has(fault)))('%s is found', (fault) => {
    const found = fc.check(safeAndHealing(3, new Set([fault])), { numRuns: 10_000, endOnFailure: true, seed: 7 })
    if (process.env['RAFT_RUNS'] !== undefined) console.log(fault, found.numRuns, String(found.errorInstance))
    expect(found.failed).toBe(true)
  })
})
