/**
 * Where the CPU of a three-node group goes under a load: by process and kind of thread, calls to the kernel, garbage collection, and with
 * `--frames` the functions that take it.
 *
 *   npm run bench:profile -- --mode sync --concurrency 64 --flush ASYNC_FLUSH --frames 25
 *   npm run bench:profile -- --load 'load.sh --namesrv $NAMESRV --mode sync --threads 64 --warmup 5 --duration 60'
 *
 * The load runs until the window is over. Messages are counted by what the leader applied meanwhile, so any load will do.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { HeapProfiler, Profiler } from 'node:inspector'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Option } from 'commander'
import { LaptopGroup, type Ports } from '../group/laptop-group.ts'
import { flushOption, measurement, wholeNumber } from '../options.ts'
import type { Pauses } from './preload.ts'
import { type ProcessCounts, processCounts, THREAD_KINDS } from './processes.ts'
import { allocationsOf, type Frame, framesOf } from './summary.ts'

const PORTS: Ports = {
  namesrv: 18776,
  broker: [31711, 31721, 31731],
  raft: [28711, 28712, 28713],
  metrics: [15457, 15458, 15459],
}

/** A load of ours ends by itself after this, if nothing ends it before. */
const LOAD_SECONDS = 600

interface Options {
  readonly seconds: number
  readonly warmup: number
  readonly size: number
  readonly mode: string
  readonly concurrency: number
  readonly flush: string
  readonly load?: string
  readonly frames: number
  readonly allocations: number
}

const options = measurement('bench:profile', 'Where the CPU of a three-node group goes under a load.')
  .addOption(wholeNumber('--seconds <count>', 'how long it is watched', 6))
  .addOption(wholeNumber('--warmup <count>', 'messages before that: until then much is compiled', 100_000, 0))
  .addOption(wholeNumber('--size <bytes>', 'size of a body', 1024))
  .addOption(
    new Option('--mode <mode>', 'of our own load, as bench:group has it')
      .choices(['sync', 'async', 'batch'])
      .default('sync'),
  )
  .addOption(wholeNumber('--concurrency <count>', 'senders, or sends in flight', 64))
  .addOption(flushOption())
  .option('--load <command>', 'a load of another kind; $NAMESRV has the address')
  .addOption(
    wholeNumber('--frames <count>', 'functions told of leader and follower, by self time; costs some CPU', 0, 0),
  )
  .addOption(wholeNumber('--allocations <count>', 'functions told by what they allocate', 0, 0))
  .parse()
  .opts<Options>()

interface Look {
  readonly atMs: number
  readonly applied: number
  readonly counts: readonly ProcessCounts[]
}

const directory = mkdtempSync(join(tmpdir(), 'bench-profile-'))
const kinds = [options.frames > 0 ? 'cpu' : '', options.allocations > 0 ? 'heap' : ''].filter((kind) => kind !== '')
process.env['PROFILE_DIR'] = directory
process.env['PROFILE_KINDS'] = kinds.join(',')
const preload = new URL('./preload.js', import.meta.url).href
const given = process.env['NODE_OPTIONS'] ?? ''
const group = new LaptopGroup(join(directory, 'group'), PORTS, { NODE_OPTIONS: `${given} --import ${preload}`.trim() })

async function appliedBy(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/status`)
  return ((await answer.json()) as { appliedIndex: number }).appliedIndex
}

async function look(port: number, pids: readonly number[]): Promise<Look> {
  const applied = await appliedBy(port)
  return { atMs: performance.now(), applied, counts: pids.map(processCounts) }
}

function ownLoad(): string {
  const { mode, concurrency, size } = options
  const program = fileURLToPath(new URL('../group/main.js', import.meta.url))
  const how = `--mode ${mode} --concurrency ${concurrency} --size ${size}`
  return `exec ${process.execPath} ${program} --namesrv $NAMESRV ${how} --warmup 0 --seconds ${LOAD_SECONDS}`
}

async function watched(): Promise<void> {
  const { brokers, leader } = group.status()
  const port = PORTS.metrics[brokers.findIndex(({ id }) => id === leader)] as number
  const ordered = [...brokers.filter(({ id }) => id === leader), ...brokers.filter(({ id }) => id !== leader)]
  const pids = ordered.map(({ pid }) => pid as number)
  const begun = await appliedBy(port)
  while ((await appliedBy(port)) < begun + options.warmup) await pause(100)
  for (const pid of pids) process.kill(pid, 'SIGUSR2')
  await pause(500)
  const before = await look(port, pids)
  await pause(options.seconds * 1000)
  const after = await look(port, pids)
  for (const pid of pids) process.kill(pid, 'SIGUSR2')
  while (pids.some((pid) => !existsSync(join(directory, `${pid}.done`)))) await pause(50)
  tell(pids, before, after)
}

function tell(pids: readonly number[], before: Look, after: Look): void {
  const messages = after.applied - before.applied
  const seconds = (after.atMs - before.atMs) / 1000
  const rows = pids.map((pid, i) => {
    const was = before.counts[i] as ProcessCounts
    const is = after.counts[i] as ProcessCounts
    const cpuUs = THREAD_KINDS.map((kind) => (is.cpuNs[kind] - was.cpuNs[kind]) / 1000 / messages)
    const { minor, major, ms } = JSON.parse(readFileSync(join(directory, `${pid}.gc`), 'utf8')) as Pauses
    return {
      process: i === 0 ? 'leader' : 'follower',
      total: sum(cpuUs),
      ...Object.fromEntries(THREAD_KINDS.map((kind, k) => [kind, cpuUs[k] as number])),
      'gc ms': ms,
      minor,
      major,
      sleeps: (is.sleeps - was.sleeps) / messages,
      reads: (is.reads - was.reads) / messages,
      writes: (is.writes - was.writes) / messages,
    }
  })
  console.table(
    rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([k, v]) => [k, typeof v === 'number' ? rounded(v) : v])),
    ),
  )
  console.log(
    JSON.stringify({
      msgsPerSec: Math.round(messages / seconds),
      cpuUsPerMsg: rounded(sum(rows.map(({ total }) => total))),
      of: rows.map(({ total }) => rounded(total)),
    }),
  )
  for (const [i, pid] of pids.slice(0, 2).entries()) {
    const who = i === 0 ? 'leader' : 'follower'
    if (options.frames > 0) {
      const profile = JSON.parse(readFileSync(join(directory, `${pid}.cpuprofile`), 'utf8')) as Profiler.Profile
      tellFrames(`${who}: self time, µs for each message`, framesOf(profile), options.frames, messages)
    }
    if (options.allocations > 0) {
      const profile = JSON.parse(
        readFileSync(join(directory, `${pid}.heapprofile`), 'utf8'),
      ) as HeapProfiler.SamplingHeapProfile
      tellFrames(`${who}: bytes allocated for each message`, allocationsOf(profile), options.allocations, messages)
    }
  }
}

function tellFrames(title: string, frames: readonly Frame[], count: number, messages: number): void {
  console.log(`\n${title} (all: ${rounded(sum(frames.map(({ self }) => self)) / messages)})`)
  for (const { name, self } of frames.slice(0, count))
    console.log(`${(self / messages).toFixed(2).padStart(8)}  ${name}`)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function rounded(value: number): number {
  return Number(value.toFixed(2))
}

try {
  group.run('start', '--fresh', '--flush', options.flush)
  const load = spawn('sh', ['-c', options.load ?? ownLoad()], {
    env: { ...process.env, NAMESRV: group.namesrvAddress },
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true,
  })
  try {
    await watched()
  } finally {
    // The whole of it: a shell may have started others.
    if (load.pid !== undefined && load.exitCode === null) process.kill(-load.pid, 'SIGKILL')
  }
} finally {
  group.run('stop', '--clean')
  rmSync(directory, { recursive: true, force: true })
}
