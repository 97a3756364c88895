/**
 * `npm run sim:mutants [-- NAME… --jobs N]`: plants each fault alone, or those named, and runs schedules until one shows it. What is
 * not found within `SCHEDULES_MAX` survives. The last line is `K of N planted faults found`; exit 1 when one survives.
 */
import { parseArgs } from 'node:util'
import type { Hunt, Hunted } from './mutant-worker.ts'
import { ALL_FAULTS, type FaultName } from './planted.ts'
import { onWorkers, parseJobs } from './pool.ts'

const SCHEDULES_MAX = 10_000
const FIRST_SEED = 1

const { positionals: wanted, values } = parseArgs({ allowPositionals: true, options: { jobs: { type: 'string' } } })
const jobs = parseJobs(values.jobs)
const unknown = wanted.filter((name) => !ALL_FAULTS.includes(name as FaultName))
if (unknown.length > 0) {
  console.error(`no such fault: ${unknown.join(', ')}; there are ${ALL_FAULTS.join(', ')}`)
  process.exit(1)
}
if (jobs === null) {
  console.error(`--jobs is ${values.jobs}; a number from 1 to 999 is wanted`)
  process.exit(1)
}
const faults = wanted.length === 0 ? ALL_FAULTS : ALL_FAULTS.filter((name) => wanted.includes(name))
let next = 0
let found = 0

await onWorkers(
  { url: new URL('./mutant-worker.js', import.meta.url), jobs },
  (): Hunt | null => {
    const fault = faults[next++]
    return fault === undefined ? null : { fault, from: FIRST_SEED, schedulesMax: SCHEDULES_MAX }
  },
  (answer) => report(answer as Hunted),
)
process.exitCode = found === faults.length ? 0 : 1
console.log(`${found} of ${faults.length} planted faults found`)

function report({ fault, schedules, failure }: Hunted): void {
  if (failure === null) {
    console.log(`${fault.padEnd(32)} SURVIVED ${schedules} schedules`)
    return
  }
  found++
  const [firstLine] = failure.violation.split('\n')
  console.log(`${fault.padEnd(32)} found after ${String(schedules).padStart(5)} schedules: ${firstLine}`)
}
