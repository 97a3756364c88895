/**
 * `npm run sim:mutants [-- NAME… --jobs N]`: plants each fault alone, or those named, and runs schedules until one shows it. What is
 * not found within `SCHEDULES_MAX` survives. The last line is `K of N planted faults found`; exit 1 when one survives.
 */
import { Argument } from 'commander'
import { commandLine, jobs } from '../command-line.ts'
import type { Hunt, Hunted } from './mutant-worker.ts'
import { ALL_FAULTS } from './planted.ts'
import { onWorkers } from './pool.ts'

const SCHEDULES_MAX = 10_000
const FIRST_SEED = 1

const command = commandLine('sim:mutants', 'Plants each known fault alone and counts the schedules until one shows it.')
  .addArgument(new Argument('[fault...]', 'those alone').choices(ALL_FAULTS))
  .addOption(jobs())
  .addHelpText('after', '\nThe last line is `K of N planted faults found`; exit status 1 when one survives.')
  .parse()
const wanted = command.args
const { jobs: threads } = command.opts<{ readonly jobs: number }>()
const faults = wanted.length === 0 ? ALL_FAULTS : ALL_FAULTS.filter((name) => wanted.includes(name))
let next = 0
let found = 0

await onWorkers(
  { url: new URL('./mutant-worker.js', import.meta.url), jobs: threads },
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
