/**
 * `npm run bench:compare`: this project's broker group beside others, on this machine, one system at a time, in turns.
 * `--help` names the systems and the workloads. Progress goes to standard error, the tables to standard output.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { stripVTControlCharacters } from 'node:util'
import { InvalidArgumentError, Option } from 'commander'
import { measurement, wholeNumber } from '../options.ts'
import { missing, run } from './build.ts'
import { temporaryDirectory } from './children.ts'
import { embedded, type Floor, loneSender, threeCopies } from './floors.ts'
import { ETCD_CLIENT, JAVA_CLIENT, type LoadClient, NATS_CLIENT, OUR_CLIENT } from './loads/clients.ts'
import { machine } from './machine.ts'
import type { Measurement } from './measurements.ts'
import { failures, figuresTables, goalsTable } from './report.ts'
import { LoadPrograms, Session, type Told } from './session.ts'
import { ETCD } from './systems/etcd.ts'
import { NATS, NATS_SYNC } from './systems/nats.ts'
import { APACHE, APACHE_BATCH_PUSH, OURS_ASYNC, OURS_SYNC } from './systems/rocketmq.ts'
import type { System } from './systems/system.ts'
import { WORKLOADS } from './workloads.ts'

const SYSTEMS: readonly System[] = [APACHE, OURS_ASYNC, OURS_SYNC, NATS, NATS_SYNC, APACHE_BATCH_PUSH, ETCD]
/** Those that RocketMQ's systems share; the others have one each. */
const CLIENTS: readonly LoadClient[] = [JAVA_CLIENT, OUR_CLIENT]
const GO_CLIENTS: readonly LoadClient[] = [NATS_CLIENT, ETCD_CLIENT]
/** Before the systems of a round; each is asked for by its workload. */
const FLOORS: Readonly<Record<string, (seconds: number) => Promise<Floor[]>>> = {
  sync1: loneSender,
  large: threeCopies,
  embedded,
}
const WARMUP_SECONDS = 2

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Some of `all`, by their names, in the order of `all`. */
function some(flags: string, what: string, all: readonly { readonly name: string }[]): Option {
  const names = all.map(({ name }) => name).join(', ')
  return new Option(flags, `${what}: ${names}`).default(all, 'all').argParser((text) => {
    const wanted = text.split(',')
    const unknown = wanted.find((name) => !all.some((one) => one.name === name))
    if (unknown !== undefined) throw new InvalidArgumentError(`There is no ${unknown}; known are ${names}.`)
    return all.filter(({ name }) => wanted.includes(name))
  })
}

interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
  readonly systems: readonly System[]
  readonly clients: readonly LoadClient[]
  readonly only: typeof WORKLOADS
  readonly json?: string
  readonly tables?: readonly string[]
}

const { rounds, seconds, warmup, systems, clients, only, json, tables } = measurement(
  'bench:compare',
  'This broker group beside others: each system alone, in turns, medians of the rounds.',
)
  .addOption(wholeNumber('--rounds <count>', 'how often each system has its turn', 3))
  .addOption(wholeNumber('--seconds <count>', 'how long each load is measured', 5))
  .addOption(wholeNumber('--warmup <count>', 'the longest warm-up of a system, in seconds', 15))
  .addOption(some('--systems <names>', 'which systems', SYSTEMS))
  .addOption(some('--only <names>', 'which workloads', WORKLOADS))
  .addOption(some('--clients <names>', 'which clients make the loads', CLIENTS))
  .option('--json <file>', 'every figure, written as it comes')
  .option('--tables <files...>', 'the tables of such files together; nothing is measured')
  .parse()
  .opts<Options>()

const about = {
  date: new Date().toISOString(),
  machine: machine(),
  versions: systems.map(({ name, version }) => `${name}: ${version}`),
  rounds,
  seconds,
}
const measurements: Measurement[] = []
/** What commands of this machine say they are. */
const tools = new Set<string>()

function tell(round: number, system: string, workload: string, told: Omit<Told, 'workload'>): void {
  const { client, figures, failure } = told
  measurements.push({ round, system, workload, at: new Date().toISOString(), ...told })
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify({ ...about, tools: [...tools], measurements }, null, 1)}\n`)
  const short = Object.entries(figures).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
  const place = `round ${round} of ${rounds}, ${system}, ${workload}${client === null ? '' : `, ${client}`}`
  say(`${place}: ${[...short, ...(failure === undefined ? [] : [failure])].join(', ')}`)
}

function firstLine(text: string): string {
  // Without the colours that some print even to a pipe.
  return stripVTControlCharacters(text).trim().split('\n')[0] ?? ''
}

/** Builds each, and leaves out what cannot be built here. */
async function built<Part extends System | LoadClient>(parts: readonly Part[]): Promise<Part[]> {
  const usable: Part[] = []
  for (const part of parts) {
    const lacking = await missing(part.needs)
    if (lacking !== undefined) {
      say(`${part.name} is left out: ${lacking} is not installed`)
      continue
    }
    for (const { command, args } of part.needs) tools.add(`${command}: ${firstLine(await run({ command, args }))}`)
    try {
      await part.build()
      usable.push(part)
    } catch (failure) {
      say(`${part.name} is left out: ${(failure as Error).message}`)
    }
  }
  return usable
}

function printTables(): void {
  console.log(goalsTable(measurements))
  console.log(`\n${figuresTables(measurements)}`)
  const failed = failures(measurements)
  if (failed !== '') console.log(`\nFailures:\n\n${failed}`)
}

if (tables !== undefined) {
  for (const file of tables) {
    const { measurements: earlier } = JSON.parse(readFileSync(file, 'utf8')) as { measurements: Measurement[] }
    measurements.push(...earlier)
  }
  printTables()
  process.exit(0)
}

say(`systems: ${systems.map(({ name }) => name).join(', ')}; load of the machine ${loadavg()[0]?.toFixed(2)}`)
const wantedSystems = await built(systems)
const goClients = GO_CLIENTS.filter(({ protocol }) => wantedSystems.some((system) => system.protocol === protocol))
const wantedClients = await built([...clients, ...goClients])
const programs = new LoadPrograms(temporaryDirectory())
for (let round = 1; round <= rounds; round++) {
  for (const { name } of only) {
    for (const { system, workload, figures } of (await FLOORS[name]?.(seconds)) ?? []) {
      tell(round, system, workload, { client: null, figures })
    }
  }
  for (const system of wantedSystems) {
    const own = wantedClients.filter(({ protocol }) => protocol === system.protocol)
    const durations = { seconds, warmupSeconds: WARMUP_SECONDS, systemWarmupSeconds: warmup }
    const session = new Session(system, own, programs, durations, ({ workload, ...told }) =>
      tell(round, system.name, workload.name, told),
    )
    try {
      await session.run(only)
    } catch (failure) {
      tell(round, system.name, 'start', { client: null, figures: {}, failure: (failure as Error).message })
    }
  }
}

const { cores, cpu, memoryGiB, system } = about.machine
console.log(`${about.date}, ${cores} cores (${cpu}), ${memoryGiB} GiB, ${system}; medians of ${rounds} (least–most)`)
console.log(`${about.versions.join('; ')}; ${[...tools].join('; ')}\n`)
printTables()
// Load programs end with the process.
process.exit(0)
