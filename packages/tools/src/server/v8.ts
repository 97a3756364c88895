/**
 * What a server tells V8 that V8 would decide otherwise: how much garbage gathers before the old generation is collected, and how soon code
 * is compiled; and the C library, how it shares out memory.
 *
 * Garbage: a broker's messages pass through buffers outside of V8's heap, and V8 counts these against a limit that follows from the heap:
 * with 20 MiB of heap it is reached every 12 MiB of buffers, so at some thousand messages a second the whole heap is marked several times a
 * second. As much as the heap as room instead makes that at most once a second. (Twice as much would spare a percent of the CPU, and more
 * of a drain, for 20 MiB more.) Large messages get more: `GarbageRoom`.
 *
 * Code: what runs once for each batch, or for each message of a lone sender, gathers calls slowly. At V8's own budget a fifth to a third of
 * what a broker computes after ten seconds under load is code that is not optimized yet; a quarter of the budget makes messages cheaper
 * there, and an eighth hardly more so (figures in `bench/README.md`).
 */
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { GarbageRoom } from './garbage-room.ts'

/**
 * What V8 reads before any code runs: the first line of the servers' files in `bin/` says the same, and who starts one by `node FILE` has
 * to. At its own 16 MiB the two halves for young objects take 32 MiB of each process, most of it garbage.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=8']

/**
 * What the C library reads: one arena for the threads beside the main one, instead of one for each, with what each of them has freed; and
 * from which size on what is freed goes back to the system at once. By itself it raises that size to what has been freed, and large messages
 * would leave their buffers behind. Said where `NODE_FLAGS` are.
 */
export const SERVER_ENV: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '131072',
}

/** Bytes of bytecode that a function runs through before V8 looks whether to optimize it; 67,584 otherwise. */
const INTERRUPT_BUDGET = 16_896

/** Call it once, first. */
export function setUpV8(): void {
  setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`)
  const garbage = new GarbageRoom({
    // V8 reads this anew at the end of each collection of the old generation.
    setGrowthPercent: (percent) => setFlagsFromString(`--heap-growing-percent=${percent}`),
    heapBytes: () => getHeapStatistics().used_heap_size,
    collect: collector(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs).unref()
      return () => clearTimeout(timer)
    },
  })
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (isOfOldGeneration(entry)) garbage.collected(entry.startTime)
  })
  observer.observe({ entryTypes: ['gc'] })
}

/** What `node --expose-gc` has, for this module alone. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  return () => {
    if (typeof collect === 'function') collect()
  }
}

/** What else a collection tells is not among the types of Node.js. */
function isOfOldGeneration(entry: object): boolean {
  const detail: unknown = 'detail' in entry ? entry.detail : null
  return (
    typeof detail === 'object' &&
    detail !== null &&
    'kind' in detail &&
    detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR
  )
}
