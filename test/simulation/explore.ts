/** Runs the schedules of many seeds, and makes a failing one small. */
import fc from 'fast-check'
import { SCHEDULES, scheduleOf } from './arbitraries.ts'
import type { PlantedFaults } from './planted.ts'
import { EVENTS_MIN, runSchedule } from './run.ts'
import type { Profile, Schedule } from './schedule.ts'

export interface Totals {
  schedules: number
  events: number
  faults: number
  committed: number
  acknowledged: number
}

export interface Failure {
  readonly seed: number
  readonly violation: string
}

export function noTotals(): Totals {
  return { schedules: 0, events: 0, faults: 0, committed: 0, acknowledged: 0 }
}

/** Runs one seed's schedule and adds to `totals`. @returns what was violated, or null. */
export function tryFromSeed(seed: number, totals: Totals, planted?: PlantedFaults, profile?: Profile): Failure | null {
  return trySchedule(seed, scheduleOf(seed, profile), totals, planted)
}

/** As `tryFromSeed`, for a schedule that was made from that seed's. */
export function trySchedule(seed: number, schedule: Schedule, totals: Totals, planted?: PlantedFaults): Failure | null {
  totals.schedules++
  let result
  try {
    result = runSchedule(schedule, planted === undefined ? {} : { planted })
  } catch (error) {
    // Of a long run nothing else may be lost.
    return { seed, violation: `the simulation itself threw: ${error instanceof Error ? error.stack : String(error)}` }
  }
  totals.events += result.events
  totals.faults += result.faults
  totals.committed += result.committed
  totals.acknowledged += result.acknowledged
  if (result.violation !== null) return { seed, violation: result.violation }
  if (result.events >= EVENTS_MIN) return null
  return { seed, violation: `the simulation had ${result.events} events: fewer than ${EVENTS_MIN} prove too little` }
}

/** The smallest schedule that fast-check finds from this seed's which still violates something. */
export function shrink(
  seed: number,
  msMax: number,
  profile: Profile = 'within',
): { readonly schedule: Schedule; readonly violation: string } | null {
  let found: { schedule: Schedule; violation: string } | null = null
  fc.check(
    fc.property(SCHEDULES[profile], (schedule) => {
      const { violation } = runSchedule(schedule)
      if (violation !== null) found = { schedule, violation }
      return violation === null
    }),
    { seed, numRuns: 1, interruptAfterTimeLimit: msMax },
  )
  return found
}

export function replayCommand(seed: number, profile: Profile = 'within'): string {
  return `npm run sim -- --seeds ${seed}..${seed}${profile === 'within' ? '' : ` --profile ${profile}`}`
}
