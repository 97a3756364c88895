/**
 * What a server tells V8 that V8 would decide otherwise: how much garbage gathers before the old generation is collected, and how soon code
 * is compiled; and the C library, how it shares out memory.
 *
 * Garbage: a broker's messages pass through buffers outside of V8's heap, and V8 counts these against a limit that follows from the heap:
 * with 20 MiB of heap it is reached every 12 MiB of buffers, so at some thousand messages a second the whole heap is marked several times a
 * second. As much as the heap as room instead makes that at most once a second. (Twice as much would spare a percent of the CPU, and more
 * of a drain, for 20 MiB more.)
 *
 * Code: what runs once for each batch, or for each message of a lone sender, gathers calls slowly. At V8's own budget a fifth to a third of
 * what a broker computes after ten seconds under load is code that is not optimized yet; a quarter of the budget makes messages cheaper
 * there, and an eighth hardly more so (figures in `bench/README.md`).
 */
import { setFlagsFromString } from 'node:v8'

/**
 * What V8 reads before any code runs: the first line of the servers' files in `bin/` says the same, and who starts one by `node FILE` has
 * to. At its own 16 MiB the two halves for young objects take 32 MiB of each process, most of it garbage.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=8']

/**
 * What the C library reads: one arena for the threads beside the main one, instead of one for each, with what each of them has freed.
 * Said where `NODE_FLAGS` are.
 */
export const SERVER_ENV: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '2' }

/** Of what was alive after the last collection. V8 reads this anew at the end of each collection of the old generation. */
const HEAP_GROWTH_PERCENT = 100

/** Bytes of bytecode that a function runs through before V8 looks whether to optimize it; 67,584 otherwise. */
const INTERRUPT_BUDGET = 16_896

/** Call it once, first. */
export function setUpV8(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`)
  setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`)
}
