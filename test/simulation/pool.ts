/** Spreads work over worker threads: as many as there are cores unless told otherwise, one task at a time for each. */
import { Worker } from 'node:worker_threads'
import { type Failure, noTotals, type Totals } from './explore.ts'
import type { Chunk, ChunkDone } from './worker.ts'
import type { Profile } from './schedule.ts'

const CHUNK_SEEDS = 50
/** Most of what a schedule makes lives as long as the schedule: with so much room it dies before it is moved. */
const YOUNG_GENERATION_MB = 192

export interface Workers {
  /** The built file that they run. */
  readonly url: URL
  readonly jobs: number
  /** Ends them before their time. */
  readonly signal?: AbortSignal
}

/** Gives each worker `nextTask()` until that is null, or the signal is aborted: then at once. Rejects when a worker throws. */
export async function onWorkers(
  workers: Workers,
  nextTask: () => object | null,
  answered: (answer: unknown) => void,
): Promise<void> {
  await Promise.all(Array.from({ length: workers.jobs }, () => employ(workers, nextTask, answered)))
}

function employ(
  { url, signal }: Workers,
  nextTask: () => object | null,
  answered: (answer: unknown) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB } })
    const end = (): void => void worker.terminate().then(() => resolve(), reject)
    const give = (): void => {
      const task = nextTask()
      if (task === null) end()
      else worker.postMessage(task)
    }
    signal?.addEventListener('abort', end, { once: true })
    worker.on('message', (answer: unknown) => {
      if (signal?.aborted === true) return
      answered(answer)
      give()
    })
    worker.on('error', reject)
    give()
  })
}

export interface SeedRange {
  readonly from: number
  /** Included. */
  readonly to: number
  /** Of `performance.now()`: no further seeds are begun after it, once `atLeast` were. */
  readonly deadline: number
  /** Default 0. */
  readonly atLeast?: number
  readonly profile?: Profile
  /** They run the built `worker.js`. */
  readonly workers: Workers
  /** Counted up as they are done; new ones where they are missing. */
  readonly totals?: Totals
}

/** Runs the schedules of a range of seeds. */
export async function runSeeds(
  { from, to, deadline, atLeast = 0, profile = 'within', workers, totals = noTotals() }: SeedRange,
  failed: (failure: Failure) => void,
): Promise<Totals> {
  let next = from
  await onWorkers(
    workers,
    (): Chunk | null => {
      if (next > to || (performance.now() > deadline && next - from >= atLeast)) return null
      const chunk = { from: next, to: Math.min(to, next + CHUNK_SEEDS - 1), profile }
      next = chunk.to + 1
      return chunk
    },
    (answer) => {
      const done = answer as ChunkDone
      for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += done.totals[key]
      done.failures.forEach(failed)
    },
  )
  return totals
}
