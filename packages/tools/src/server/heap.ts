/**
 * How much garbage a server lets gather before the old generation is collected.
 *
 * A broker's messages pass through buffers outside of V8's heap, and V8 counts these against a limit that follows from the heap: with
 * 20 MiB of heap it is reached every 12 MiB of buffers, so at some thousand messages a second the whole heap is marked several times a
 * second. Twice the heap as room instead makes that a few times in ten seconds, for some 25 MiB that may lie uncollected.
 */
import { setFlagsFromString } from 'node:v8'

/**
 * What V8 reads before any code runs: the first line of the servers' files in `bin/` says the same, and who starts one by `node FILE` has
 * to. At its own 16 MiB the two halves for young objects take 32 MiB of each process, most of it garbage.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=8']

/** Of what was alive after the last collection. */
const GROWTH_PERCENT = 200

/** V8 reads this anew at the end of each collection of the old generation. Call it once, first. */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
}
