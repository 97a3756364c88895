/**
 * `npm run sim -- --seeds FROM..TO [--minutes N] [--jobs N]`: runs the schedules of these seeds, in as many threads as there are
 * cores, or in N. Each seed's run is the same however many there are. `--help` has the rest.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { commandLine, jobs, minutes, wholeNumber } from '../command-line.ts'
import { scheduleOf } from './arbitraries.ts'
import { type Failure, noTotals, replayCommand, shrink, type Totals } from './explore.ts'
import { LongRun, type Ran } from './long-run.ts'
import { runSeeds } from './pool.ts'
import { runSchedule } from './run.ts'
import type { Profile, Schedule } from './schedule.ts'

const SHRINK_MS_MAX = 60_000
const SHRUNK_MAX = 3
const TRACE_LINES_MAX = 400
const SEED_MAX = 0x7fff_ffff

interface Seeds {
  readonly from: number
  readonly to: number
}

interface Options {
  readonly seeds: Seeds
  readonly minutes: number
  readonly atLeast: number
  readonly jobs: number
  readonly trace: boolean
  readonly schedule?: string
  readonly record?: string
  readonly profile: Profile
}

const options = commandLine('sim', 'Simulates groups of members under faults, one schedule from each seed.')
  .addOption(
    new Option('--seeds <from..to>', 'which schedules; a single one is replayed')
      .argParser(parseSeeds)
      .default({ from: 1, to: 1000 }, '1..1000'),
  )
  .addOption(minutes('ends after so long').default(Number.POSITIVE_INFINITY, 'no end'))
  .addOption(wholeNumber('--at-least <count>', 'so many schedules are run even if that takes longer', 0).default(0))
  .addOption(jobs())
  .option('--trace', 'prints what happened in a single one, also without a violation', false)
  .option('--schedule <file>', 'replays a schedule that was made small')
  .option('--record <file>', 'adds a line of JSON with the totals to this file, also of a run that is stopped')
  .addOption(
    new Option(
      '--profile <name>',
      'short: as within, in half the time; mixed: damage while members come, go and lose their disks; beyond: damage keeps to no budget, and only its detection is asked for',
    )
      .choices(['within', 'short', 'mixed', 'beyond'])
      .default('within'),
  )
  .addHelpText(
    'after',
    '\nEvery minute the totals so far go to stderr; SIGINT and SIGTERM end a run with those. The last line is\n`S schedules, E events, F faults, V violations`; exit status 1 on any violation.',
  )
  .parse()
  .opts<Options>()

if (options.schedule !== undefined) replay(readSchedule(options.schedule))
else if (options.seeds.from === options.seeds.to) replay(scheduleOf(options.seeds.from, options.profile))
else await explore(options)

function parseSeeds(text: string): Seeds {
  const match = /^(\d+)\.\.(\d+)$/.exec(text)
  const [from, to] = [Number(match?.[1]), Number(match?.[2])]
  if (match !== null && to >= from && to <= SEED_MAX) return { from, to }
  throw new InvalidArgumentError(`Allowed is FROM..TO, for example 1..20000, up to ${SEED_MAX}.`)
}

function readSchedule(path: string): Schedule {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Schedule
  } catch (error) {
    return refuse(`--schedule ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function refuse(why: string): never {
  console.error(why)
  process.exit(1)
}

function replay(schedule: Schedule): void {
  const result = runSchedule(schedule, { keepText: true })
  const lines = options.trace ? result.lines : result.lines.slice(-TRACE_LINES_MAX)
  if (options.trace || result.violation !== null) {
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

async function explore({
  seeds: { from, to },
  minutes: atMost,
  atLeast,
  jobs: threads,
  profile,
  record,
}: Options): Promise<void> {
  const failures: Failure[] = []
  const totals = noTotals()
  const ran = (): Ran => ({ from, to, profile, totals, violatingSeeds: failures.map(({ seed }) => seed) })
  const run = new LongRun(ran)
  const deadline = performance.now() + atMost * 60_000
  const workers = { url: new URL('./worker.js', import.meta.url), jobs: threads, signal: run.signal }
  await runSeeds({ from, to, deadline, atLeast, profile, workers, totals }, (failure) => {
    failures.push(failure)
    console.log(`seed ${failure.seed}: ${failure.violation}`)
    console.log(`  replay: ${replayCommand(failure.seed, profile)}`)
  })
  run.end(ran(), record)
  // What is made small is of the budget.
  if (profile !== 'beyond' && run.stoppedBy === null)
    for (const failure of failures.slice(0, SHRUNK_MAX)) makeSmall(failure, profile)
  console.log(`${totals.committed} entries committed, ${totals.acknowledged} proposals acknowledged`)
  finish(totals, failures.length)
  if (run.stoppedBy !== null) process.exitCode = run.stoppedBy
}

function makeSmall({ seed }: Failure, profile: Profile): void {
  const small = shrink(seed, SHRINK_MS_MAX, profile)
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
  console.log(
    `${totals.schedules} schedules, ${totals.events} events, ${totals.faults} faults, ${violations} violations`,
  )
}
