/**
 * What a message costs a group of three processes, in counters that noise spares, beside the last record: `npm run bench:record`.
 *
 *   npm run bench:record               measures, compares with bench/record/record.json; exit status 1 where something is worse
 *   npm run bench:record -- --save     makes what was measured the new record
 *   npm run bench:record -- --strace   tells the system calls of each role by name, too (where strace is; not compared)
 *
 * The load is fixed: for each flush mode, rounds of 64 sync senders, 256 async sends in flight, and a consumer that drains both. Roles are read
 * from the group; the figures of the followers are the mean of the two. The last line is one JSON object.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Producer } from '@dledger-ts/client'
import { drain } from '../group/drain.ts'
import { LaptopGroup, unusedPorts } from '../group/laptop-group.ts'
import { loadOf, type Mode } from '../group/load.ts'
import { allocatedSince, probeEnvironment } from '../group/probe-client.ts'
import { countedSince, readCounters } from '../group/process-counters.ts'
import { SystemCalls } from '../group/system-calls.ts'
import { measurement, wholeNumber } from '../options.ts'
import { compare, isSameLoad, isSameMachine, isWorse, type Row, slownessSince } from './compare.ts'
import { yardstickMicros } from './yardstick.ts'
import { COUNTERS, COUNTER_NAMES, type Counts, overRounds, type RecordFile } from './counters.ts'

const RECORD = fileURLToPath(new URL('../../record/record.json', import.meta.url))
const FLUSHES = ['ASYNC_FLUSH', 'SYNC_FLUSH'] as const
const SENDS: readonly { readonly name: string; readonly mode: Mode; readonly concurrency: number }[] = [
  { name: '64 sync senders', mode: 'sync', concurrency: 64 },
  { name: '256 async in flight', mode: 'async', concurrency: 256 },
]
const DRAIN = 'a drain'
const ROLES = ['leader', 'follower'] as const
type Role = (typeof ROLES)[number]

const { messages, size, rounds, warmup, save, strace, file } = measurement(
  'bench:record',
  'What a message costs a group, in counters that noise spares, beside the last record.',
)
  .addOption(wholeNumber('--messages <count>', 'of each load in each round', 20_000))
  .addOption(wholeNumber('--size <bytes>', 'of a body', 1_024))
  .addOption(wholeNumber('--rounds <count>', 'the median counts, and the best', 3))
  .addOption(wholeNumber('--warmup <count>', 'messages before that', 40_000, 0))
  .option('--file <path>', 'the record', RECORD)
  .option('--save', 'what was measured is the new record')
  .option('--strace', 'system calls by name, in a round of their own')
  .parse()
  .opts<{
    messages: number
    size: number
    rounds: number
    warmup: number
    file: string
    save?: boolean
    strace?: boolean
  }>()

type Rounds = Record<Role, Counts[]>
const measured: Record<string, Rounds> = {}
const yardsticks: number[] = []
for (const flush of FLUSHES) await measureGroup(flush)

const record: RecordFile = {
  date: new Date().toISOString().slice(0, 10),
  machine: {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
  },
  node: process.version,
  yardstickMicros: yardsticks.sort((a, b) => a - b)[yardsticks.length >> 1] as number,
  load: { messages, size, rounds },
  loads: Object.fromEntries(
    Object.entries(measured).map(([load, roles]) => [
      load,
      { leader: overRounds(roles.leader), follower: overRounds(roles.follower) },
    ]),
  ),
}
const last = lastRecord()
if (save === true) writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`)
report(last)

async function measureGroup(flush: string): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), 'bench-record-'))
  const probes = join(parent, 'p')
  mkdirSync(probes)
  const group = new LaptopGroup(join(parent, 'group'), await unusedPorts(), probeEnvironment(probes))
  try {
    group.run('start', '--fresh', '--flush', flush)
    const producer = new Producer({ group: 'bench', namesrvAddress: group.namesrvAddress })
    producer.start()
    const send = async (topic: string, how: (typeof SENDS)[number], count: number): Promise<void> => {
      const counts = { sent: 0, failed: 0 }
      const message = { topic, body: Buffer.alloc(size, 'x') }
      await loadOf(count, { ...how, producer, message, counts, record: () => {} })
      if (counts.failed > 0) throw new Error(`${counts.failed} sends failed: the figures would mean nothing`)
    }
    for (const how of SENDS) await send('RecordWarm', how, Math.ceil(warmup / SENDS.length))
    if (warmup > 0) await drain(group.namesrvAddress, 'RecordWarm', Math.ceil(warmup / SENDS.length) * SENDS.length)
    for (let round = 1; round <= rounds; round++) {
      const topic = `Record${round}`
      for (const how of SENDS) {
        await counted(group, probes, `${flush}, ${how.name}`, messages, () => send(topic, how, messages))
      }
      const all = messages * SENDS.length
      await counted(group, probes, `${flush}, ${DRAIN}`, all, () => drain(group.namesrvAddress, topic, all))
    }
    if (strace === true) {
      for (const how of SENDS)
        await systemCalls(group, `${flush}, ${how.name}`, () => send('RecordTraced', how, messages))
    }
    await producer.close()
  } finally {
    group.run('stop', '--clean')
    rmSync(parent, { recursive: true, force: true })
  }
}

interface Member {
  readonly pid: number
  readonly role: Role
}

function membersOf(group: LaptopGroup): Member[] {
  const { leader, brokers } = group.status()
  return brokers.map(({ id, pid }) => {
    if (pid === null) throw new Error(`${id} does not run`)
    return { pid, role: id === leader ? 'leader' : 'follower' }
  })
}

async function counted(
  group: LaptopGroup,
  probes: string,
  load: string,
  count: number,
  work: () => Promise<void>,
): Promise<void> {
  const members = membersOf(group)
  const yardstickBefore = yardstickMicros()
  await Promise.all(members.map(({ pid }) => allocatedSince(probes, pid)))
  const before = members.map(({ pid }) => readCounters(pid))
  const begun = performance.now()
  await work()
  const perSecond = Math.round((count / (performance.now() - begun)) * 1_000)
  const after = members.map(({ pid }) => readCounters(pid))
  yardsticks.push((yardstickBefore + yardstickMicros()) / 2)
  const allocated = await Promise.all(members.map(({ pid }) => allocatedSince(probes, pid)))
  if (membersOf(group).some(({ role }, i) => role !== members[i]?.role)) {
    throw new Error('the leader changed during a round: the figures would mean nothing')
  }
  const ofMembers = members.map(({ role }, i) => {
    const used = countedSince(before[i] as (typeof before)[number], after[i] as (typeof after)[number])
    const counts: Counts = {
      mainCpu: used.mainCpuMicros / count,
      otherCpu: used.otherCpuMicros / count,
      heapBytes: (allocated[i]?.heapBytes ?? 0) / count,
      ioCalls: used.ioCalls / count,
      diskBytesPerByte: used.diskBytesWritten / (count * size),
      bytesWrittenPerByte: used.bytesWritten / (count * size),
      switches: used.voluntarySwitches / count,
    }
    return { role, counts }
  })
  const into = (measured[load] ??= { leader: [], follower: [] })
  for (const role of ROLES) {
    into[role].push(mean(ofMembers.filter((member) => member.role === role).map(({ counts }) => counts)))
  }
  const cpu = ofMembers.reduce((sum, { counts }) => sum + counts.mainCpu + counts.otherCpu, 0)
  console.log(`${load}: ${perSecond} messages a second, ${cpu.toFixed(1)} µs of CPU each, of all three`)
}

function mean(of: readonly Counts[]): Counts {
  return Object.fromEntries(
    COUNTER_NAMES.map((counter) => [counter, of.reduce((sum, counts) => sum + counts[counter], 0) / of.length]),
  ) as Counts
}

async function systemCalls(group: LaptopGroup, load: string, work: () => Promise<void>): Promise<void> {
  const members = membersOf(group)
  const calls = await Promise.all(members.map(({ pid }) => SystemCalls.start(pid)))
  await work()
  for (const [i, { role }] of members.entries()) {
    const found = await calls[i]?.stop()
    const told = found?.slice(0, 8).map(({ name, count }) => `${name} ${(count / messages).toFixed(2)}`)
    console.log(`${load}, ${role}, calls for each message: ${told?.join(', ') ?? 'strace is not there'}`)
  }
}

function lastRecord(): RecordFile | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as RecordFile
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function report(before: RecordFile | null): void {
  const rows = compare(before ?? record, record)
  console.log(
    before === null
      ? 'of each message, the median (the best round):'
      : 'of each message, the last → now (the best round):',
  )
  console.table(tableOf(rows, before !== null))
  if (before === null) {
    console.log(save === true ? `the first record: ${file}` : 'there is no record yet: --save makes one')
  } else {
    if (!isSameLoad(before, record)) console.log('the last record is of another load: nothing is compared')
    else if (!isSameMachine(before, record))
      console.log('the last record is of another machine or Node.js: CPU is not compared')
    else
      console.log(
        `the yardstick took ${slownessSince(before, record).toFixed(2)} times as long: so is the CPU of the last record shown`,
      )
    const worse = rows.filter(({ verdict }) => verdict === 'worse' || verdict === 'gone')
    console.log(worse.length === 0 ? `nothing is worse than on ${before.date}` : `worse than on ${before.date}:`)
    if (worse.length > 0) console.table(worse)
  }
  console.log(JSON.stringify(record))
  if (before !== null && save !== true && isWorse(rows)) process.exitCode = 1
}

function tableOf(rows: readonly Row[], hasLast: boolean): Record<string, Record<string, string>> {
  const table: Record<string, Record<string, string>> = {}
  for (const { load, role, counter, unit, last, now, best, verdict } of rows) {
    const tolerance = COUNTERS[counter].tolerance * 100
    const row = (table[`${load}: ${counter}${unit === '' ? '' : `, ${unit}`}`] ??= hasLast
      ? { tolerance: `${tolerance} %` }
      : {})
    const figures = `${now} (${best})`
    row[role] = hasLast ? `${last?.toPrecision(4)} → ${figures} ${verdict === 'same' ? '' : verdict}`.trim() : figures
  }
  return table
}
