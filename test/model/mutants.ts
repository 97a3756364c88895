/**
 * `node test/dist/model/main.js --planted [NAME…]` plants each fault alone, or those named, and runs lists of commands until one shows
 * it. What is not found survives.
 */
import { explore } from './property.ts'
import { PLANTED } from './planted.ts'

const RUNS_MAX = 600
const SEED = 1

/** @param names which; none: all. @returns how many survive. */
export async function hunt(names: readonly string[]): Promise<number> {
  const wanted = Object.entries(PLANTED).filter(([name]) => names.length === 0 || names.includes(name))
  let survivors = 0
  for (const [name, planted] of wanted) {
    const { failure, runs } = await explore({ seed: SEED, runs: RUNS_MAX, shrinkMs: 0, planted })
    if (failure === null) survivors++
    const [found = ''] = failure?.violation.split('\n') ?? []
    const what = failure === null ? `SURVIVED ${runs} runs` : `found after ${String(runs).padStart(3)} runs: ${found}`
    console.log(`${name.padEnd(46)} ${what}`)
  }
  console.log(`${wanted.length - survivors} of ${wanted.length} planted faults found`)
  return survivors
}
