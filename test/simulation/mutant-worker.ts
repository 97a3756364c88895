/** One core's share of `npm run sim:mutants`: looks for one planted fault at a time. */
import { parentPort } from 'node:worker_threads'
import { scheduleOf } from './arbitraries.ts'
import { type Failure, noTotals, trySchedule } from './explore.ts'
import { huntedIn } from './hunting.ts'
import { type FaultName, plant } from './planted.ts'

export interface Hunt {
  readonly fault: FaultName
  readonly from: number
  readonly schedulesMax: number
}
export interface Hunted {
  readonly fault: FaultName
  /** Schedules it took, the one that found it included. */
  readonly schedules: number
  readonly failure: Failure | null
}

// Refused requests are errors, thousands of them in a chunk, and nobody reads where they were made: a replay tells.
Error.stackTraceLimit = 0

parentPort?.on('message', ({ fault, from, schedulesMax }: Hunt) => {
  const planted = plant(fault)
  const totals = noTotals()
  let failure: Failure | null = null
  for (let seed = from; failure === null && totals.schedules < schedulesMax; seed++) {
    const schedule = huntedIn(fault, scheduleOf(seed), seed)
    failure = trySchedule(seed, schedule, totals, planted)
    // What is violated without the fault, too, does not show it.
    if (failure !== null && trySchedule(seed, schedule, noTotals()) !== null) failure = null
  }
  const hunted: Hunted = { fault, schedules: totals.schedules, failure }
  parentPort?.postMessage(hunted)
})
