/**
 * `npm run sim -- --seeds FROM..TO [--minutes N] [--jobs N]`: runs the schedules of these seeds, in as many threads as there are
 * cores, or in N. Each seed's run is the same however many there are.
 *
 * `--at-least S`: so many are run even if that takes longer. One seed alone is replayed with its trace: `--trace` prints it even
 * without a violation. `--schedule FILE` replays a schedule that was made small. `--profile beyond`: damage keeps to no budget, and
 * only its detection is asked for. The last line is `S schedules, E events, F faults, V violations`; exit 1 on any violation.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { scheduleOf } from './arbitraries.ts'
import { type Failure, noTotals, replayCommand, shrink, type Totals } from './explore.ts'
import { parseJobs, runSeeds } from './pool.ts'
import { runSchedule } from './run.ts'
import type { Profile, Schedule } from './schedule.ts'

const SHRINK_MS_MAX = 60_000
const SHRUNK_MAX = 3
const TRACE_LINES_MAX = 400

interface Wish {
  readonly from: number
  readonly to: number
  readonly minutes: number
  readonly atLeast: number
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1..1000' },
    minutes: { type: 'string' },
    'at-least': { type: 'string', default: '0' },
    jobs: { type: 'string' },
    trace: { type: 'boolean', default: false },
    schedule: { type: 'string' },
    profile: { type: 'string', default: 'within' },
  },
})

const jobs = parseJobs(values.jobs) ?? refuse(`--jobs is ${values.jobs}; a number from 1 to 999 is wanted`)
const profile: Profile = values.profile === 'beyond' ? 'beyond' : 'within'
if (values.profile !== profile) refuse(`--profile is ${values.profile}; within or beyond is wanted`)

if (values.schedule !== undefined) {
  replay(JSON.parse(readFileSync(values.schedule, 'utf8')) as Schedule)
} else {
  const wish = parseWish(values.seeds, values.minutes, values['at-least'])
  if (wish.from === wish.to) replay(scheduleOf(wish.from, profile))
  else await explore(wish)
}

function parseWish(seeds: string, minutes: string | undefined, least: string): Wish {
  const match = /^(\d+)\.\.(\d+)$/.exec(seeds)
  const [from, to] = [Number(match?.[1]), Number(match?.[2])]
  const limit = minutes === undefined ? Number.POSITIVE_INFINITY : Number(minutes)
  if (match === null || !(to >= from) || to > 0x7fff_ffff)
    refuse(`--seeds is ${seeds}; FROM..TO is wanted, for example 1..20000`)
  if (!(limit > 0)) refuse(`--minutes is ${minutes}; a number above 0 is wanted`)
  const atLeast = Number(least)
  if (!Number.isSafeInteger(atLeast) || atLeast < 0) refuse(`--at-least is ${least}; a whole number is wanted`)
  return { from, to, minutes: limit, atLeast }
}

function refuse(why: string): never {
  console.error(why)
  process.exit(1)
}

function replay(schedule: Schedule): void {
  const result = runSchedule(schedule, { keepText: true })
  const lines = values.trace ? result.lines : result.lines.slice(-TRACE_LINES_MAX)
  if (values.trace || result.violation !== null) {
    console.log(JSON.stringify(schedule, null, 1))
    if (lines.length < result.lines.length)
      console.log(`… ${result.lines.length - lines.length} lines before; --trace prints all`)
    console.log(lines.join('\n'))
  }
  console.log(
    `${result.committed} entries committed, ${result.acknowledged} proposals acknowledged, trace ${result.traceHash}`,
  )
  if (result.violation !== null) console.log(`violated: ${result.violation}`)
  finish({ ...noTotals(), ...result, schedules: 1 }, result.violation === null ? 0 : 1)
}

async function explore({ from, to, minutes, atLeast }: Wish): Promise<void> {
  const failures: Failure[] = []
  const deadline = performance.now() + minutes * 60_000
  const workers = { url: new URL('./worker.js', import.meta.url), jobs }
  const totals = await runSeeds({ from, to, deadline, atLeast, profile, workers }, (failure) => {
    failures.push(failure)
    console.log(`seed ${failure.seed}: ${failure.violation}`)
    console.log(`  replay: ${replayCommand(failure.seed)}`)
  })
  // What is made small is of the budget.
  if (profile === 'within') for (const failure of failures.slice(0, SHRUNK_MAX)) makeSmall(failure)
  console.log(`${totals.committed} entries committed, ${totals.acknowledged} proposals acknowledged`)
  finish(totals, failures.length)
}

function makeSmall({ seed }: Failure): void {
  const small = shrink(seed, SHRINK_MS_MAX)
  if (small === null) return
  const path = join(tmpdir(), `simulation-${seed}.json`)
  writeFileSync(path, `${JSON.stringify(small.schedule, null, 1)}\n`)
  console.log(
    `seed ${seed} made small: ${small.schedule.faults.length} faults, ${small.schedule.requests.length} requests`,
  )
  console.log(`  violated: ${small.violation}`)
  console.log(`  replay: npm run sim -- --schedule ${path}`)
}

function finish(totals: Totals, violations: number): void {
  process.exitCode = violations === 0 ? 0 : 1
  if (totals.small > 0) console.log(`${totals.small} schedules had fewer than 2,000 events`)
  console.log(
    `${totals.schedules} schedules, ${totals.events} events, ${totals.faults} faults, ${violations} violations`,
  )
}
