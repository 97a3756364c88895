/**
 * `npm run sim:mutants`: plants each listed fault alone and runs schedules until one shows it. What is not found within
 * `SCHEDULES_MAX` survives. The last line is `K of N planted faults found`; exit 1 when one survives.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Hunt, Hunted } from './mutant-worker.ts'
import { ALL_FAULTS, type FaultName } from './planted.ts'

const SCHEDULES_MAX = 10_000
const FIRST_SEED = 1

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !ALL_FAULTS.includes(name as FaultName))
if (unknown.length > 0) {
  console.error(`no such fault: ${unknown.join(', ')}; there are ${ALL_FAULTS.join(', ')}`)
  process.exit(1)
}
const faults = wanted.length === 0 ? ALL_FAULTS : ALL_FAULTS.filter((name) => wanted.includes(name))
let next = 0
let found = 0

await Promise.all(Array.from({ length: Math.min(faults.length, availableParallelism()) }, () => hunt()))
process.exitCode = found === faults.length ? 0 : 1
console.log(`${found} of ${faults.length} planted faults found`)

function hunt(): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./mutant-worker.js', import.meta.url))
    const give = (): void => {
      const fault = faults[next++]
      if (fault === undefined) {
        void worker.terminate().then(() => resolve(), reject)
        return
      }
      const hunt: Hunt = { fault, from: FIRST_SEED, schedulesMax: SCHEDULES_MAX }
      worker.postMessage(hunt)
    }
    worker.on('message', (hunted: Hunted) => {
      report(hunted)
      give()
    })
    worker.on('error', reject)
    give()
  })
}

function report({ fault, schedules, failure }: Hunted): void {
  if (failure === null) {
    console.log(`${fault.padEnd(32)} SURVIVED ${schedules} schedules`)
    return
  }
  found++
  const [firstLine] = failure.violation.split('\n')
  console.log(`${fault.padEnd(32)} found after ${String(schedules).padStart(5)} schedules: ${firstLine}`)
}
