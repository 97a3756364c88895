/** One core's share of `npm run sim`: takes ranges of seeds, answers with what it found. */
import { parentPort } from 'node:worker_threads'
import { type Failure, noTotals, type Totals, tryFromSeed } from './explore.ts'
import type { Profile } from './schedule.ts'

export interface Chunk {
  readonly from: number
  readonly to: number
  readonly profile?: Profile
}
export interface ChunkDone {
  readonly totals: Totals
  readonly failures: readonly Failure[]
}

// Refused requests are errors, thousands of them in a chunk, and nobody reads where they were made: a replay tells.
Error.stackTraceLimit = 0

parentPort?.on('message', ({ from, to, profile }: Chunk) => {
  const totals = noTotals()
  const failures: Failure[] = []
  for (let seed = from; seed <= to; seed++) {
    const failure = tryFromSeed(seed, totals, undefined, profile)
    if (failure !== null) failures.push(failure)
  }
  const done: ChunkDone = { totals, failures }
  parentPort?.postMessage(done)
})
