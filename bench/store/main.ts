/**
 * An embedded store at scale: `npm run bench:store -- --messages 20000000 --queues 10000 --size 200`.
 *
 * The store is in a process of its own, which is killed and started again between the measurements:
 *
 *   put       puts the messages: rate, memory, files and stalls in each tenth; is killed while it goes on putting
 *   restart   behind a checkpoint, until a message is read and one is put
 *   cold      reads from disk: one queue, all queues
 *   hot       reads the newest messages
 *   query     by key
 *   mixed     puts and tail reads, without and with readers of the backlog
 *   rebuild   the derived files are deleted first
 *
 * The last line is one JSON object with everything.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Option } from 'commander'
import { answer } from '../log/processes.ts'
import { flushOption, measurement, wholeNumber } from '../options.ts'
import type { Look, MixedResult, Opened, OpenWish, PutResult, QueryResult, ReadResult, Wish } from './wishes.ts'

const PARTS = ['put', 'restart', 'cold', 'hot', 'query', 'mixed', 'rebuild'] as const
type Part = (typeof PARTS)[number]
/** What is derived from the log, below the store's directory. */
const DERIVED = ['consumequeue', 'index', 'metadata', 'checkpoint']
/** The writer goes on after the last counted put until so many more checkpoints have ended, or so long, and is killed then. */
const CHECKPOINTS_BEFORE_KILL = 1
const KILLED_AFTER_MS_MAX = 60_000
const LOOKS_EVERY_MS = 500
const QUERIES = 1_000

interface Options {
  messages: number
  queues: number
  size: number
  dir?: string
  only?: readonly Part[]
  mixed?: boolean
  seconds: number
  inFlight: number
  perSecond: number
  flush: OpenWish['flush']
  dropCaches?: boolean
  window: number
}

const options = measurement('bench:store', 'An embedded message store at scale: puts, restart, rebuild, reads.')
  .addOption(wholeNumber('--messages <count>', 'how many are put', 200_000))
  .addOption(wholeNumber('--queues <count>', 'over how many queues', 100))
  .addOption(wholeNumber('--size <bytes>', 'of a body', 200))
  .option('--dir <path>', 'keeps the store there, and goes on with the one that is there')
  .addOption(new Option('--only <parts...>', 'only these').choices(PARTS))
  .option('--mixed', 'the same as --only put mixed')
  .addOption(wholeNumber('--seconds <count>', 'how long each read runs at most', 10))
  .addOption(wholeNumber('--in-flight <count>', 'puts under way at once', 1024))
  .addOption(wholeNumber('--per-second <count>', 'puts a second of the mixed load', 2000))
  .addOption(flushOption())
  .addOption(wholeNumber('--window <seconds>', 'recognises repeated sends within so long; 0 for not at all', 0, 0))
  .option('--drop-caches', "drops the system's page cache before reads from disk (root, Linux)")
  .parse()
  .opts<Options>()

const wanted = new Set<Part>(options.only ?? (options.mixed === true ? ['put', 'mixed'] : PARTS))
const directory = options.dir ?? mkdtempSync(join(tmpdir(), 'bench-store-'))
const results: Record<string, unknown> = { options: { ...options, dir: directory }, node: process.version }
let running: ChildProcess | null = null

try {
  if (wanted.has('put')) results['put'] = await measurePuts()
  if (wanted.has('restart')) results['restart'] = await measureRestart()
  if (wanted.has('cold')) results['cold'] = await measureCold()
  if (wanted.has('hot')) results['hot'] = await measureHot()
  if (wanted.has('query')) results['query'] = await measureQuery()
  if (wanted.has('mixed')) results['mixed'] = await measureMixed()
  if (wanted.has('rebuild')) results['rebuild'] = await measureRebuild()
} finally {
  if (running !== null) await kill(running)
  if (options.dir === undefined) rmSync(directory, { recursive: true, force: true })
}
console.log(JSON.stringify(results))

async function measurePuts(): Promise<unknown> {
  const { member } = await start()
  const result = await ask<PutResult>(member, { wish: 'put' })
  console.log('puts:')
  console.table(result.parts.map(({ observed, ...part }) => ({ ...part, ...observed })))
  const first = (result.parts[0]?.perSecond ?? 0) || 1
  const lastOfFirst = Number(((result.parts.at(-1)?.perSecond ?? 0) / first).toFixed(2))
  const stall = Math.max(...result.parts.map(({ observed }) => observed.stallMs))
  console.log(
    `${result.perSecond} a second, ${result.cpuMicros} µs of CPU each; the last tenth : the first ${lastOfFirst}; longest stall ${stall} ms`,
  )
  member.send({ wish: 'putForEver' } satisfies Wish)
  const end = await lookPastCheckpoint(member, result.disk.checkpoints)
  await kill(member)
  console.log('until it was killed, still putting:')
  console.table([{ ...end.disk, ...end.observed }])
  return { ...result, lastOfFirst, end }
}

async function lookPastCheckpoint(member: ChildProcess, checkpoints: number): Promise<Look> {
  const until = performance.now() + KILLED_AFTER_MS_MAX
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOKS_EVERY_MS))
    const look = await ask<Look>(member, { wish: 'look' })
    if (look.disk.checkpoints >= checkpoints + CHECKPOINTS_BEFORE_KILL || performance.now() > until) return look
  }
}

async function measureRestart(): Promise<unknown> {
  const begun = performance.now()
  const { member, opened } = await start()
  const servesMs = await ask<number>(member, { wish: 'serve' })
  const processMs = Math.round(performance.now() - begun)
  await kill(member)
  const { openMs, sendsRead, sendsReadPerSecond } = opened
  const row = {
    openMs,
    'open, read and put ms': servesMs,
    'with the process ms': processMs,
    sendsRead,
    sendsReadPerSecond,
  }
  console.log('restart after a kill, behind a checkpoint:')
  console.table([{ ...row, ...opened.observed }])
  return { openMs, servesMs, processMs, sendsRead, sendsReadPerSecond, observed: opened.observed }
}

async function measureCold(): Promise<unknown> {
  const { seconds } = options
  const rows: Record<string, ReadResult> = {}
  for (const how of ['oneQueue', 'allQueues'] as const) {
    const dropped = dropCaches()
    // A store that was just started has nothing in memory.
    const { member } = await start()
    rows[`${how}, page cache ${dropped ? 'dropped' : 'as it was'}`] = await ask(member, { wish: 'read', how, seconds })
    await stop(member)
  }
  console.log('reads from files, pulls of 32:')
  console.table(Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, flat(row)])))
  return rows
}

async function measureHot(): Promise<ReadResult> {
  const { member } = await start()
  const { queues, size } = options
  // What is in memory is what this process put.
  const count = Math.min(options.messages, 32 * queues)
  const other = await stop(member).then(() => start({ messages: count, queues, size }))
  await ask(other.member, { wish: 'put' })
  const result = await ask<ReadResult>(other.member, { wish: 'read', how: 'newest', seconds: options.seconds })
  await stop(other.member)
  console.log('reads of the newest 32 of each queue:')
  console.table([flat(result)])
  return result
}

function flat({ observed, ...row }: ReadResult): Record<string, number> {
  return { ...row, rssMiB: observed.rssMiB, stallMs: observed.stallMs, stallP999Ms: observed.stallP999Ms }
}

async function measureQuery(): Promise<QueryResult> {
  const { member } = await start()
  const result = await ask<QueryResult>(member, { wish: 'query', count: QUERIES })
  await stop(member)
  console.log('queries by unique id, one after the other; ms:')
  const { observed, ...row } = result
  console.table([{ ...row, stallMs: observed.stallMs, stallP999Ms: observed.stallP999Ms }])
  return result
}

async function measureMixed(): Promise<unknown> {
  const { seconds, perSecond } = options
  const rows: Record<string, MixedResult> = {}
  for (const readers of [0, 4]) {
    dropCaches()
    const { member } = await start()
    rows[`${readers} readers of the backlog`] = await ask(member, { wish: 'mixed', readers, seconds, perSecond })
    await stop(member)
  }
  console.log(`${perSecond} puts a second, each read at once by a reader that it wakes; ms:`)
  console.table(
    Object.fromEntries(
      Object.entries(rows).map(([name, { put, tail, observed, ...rest }]) => [
        name,
        {
          'put p50': put.p50,
          'put p99': put.p99,
          'put max': put.max,
          'tail p50': tail.p50,
          'tail p99': tail.p99,
          'tail max': tail.max,
          stallMs: observed.stallMs,
          stallP999Ms: observed.stallP999Ms,
          rssMiB: observed.rssMiB,
          ...rest,
        },
      ]),
    ),
  )
  return rows
}

async function measureRebuild(): Promise<unknown> {
  for (const name of DERIVED) rmSync(join(directory, name), { recursive: true, force: true })
  const { member, opened } = await start()
  const servesMs = await ask<number>(member, { wish: 'serve' })
  await kill(member)
  const perSecond = Math.round(options.messages / (servesMs / 1_000))
  console.log('the derived files deleted: until a message is read and one is put')
  console.table([{ openMs: opened.openMs, servesMs, 'messages a second': perSecond, ...opened.observed }])
  return { openMs: opened.openMs, servesMs, perSecond, observed: opened.observed }
}

// ------------------------------------------------------------------------------------------------ processes

async function start(shape = options as Pick<Options, 'messages' | 'queues' | 'size'>): Promise<{
  readonly member: ChildProcess
  readonly opened: Opened
}> {
  const { messages, queues, size } = shape
  const { flush, inFlight, window } = options
  const wish: OpenWish = { messages, queues, size, directory, flush, inFlight, windowMs: window * 1_000 }
  const script = fileURLToPath(new URL('./store-process.js', import.meta.url))
  const member = fork(script, [JSON.stringify(wish)])
  running = member
  const opened = await answer<Opened>(member, 'opened')
  return { member, opened }
}

function ask<Value>(member: ChildProcess, wish: Wish): Promise<Value> {
  const asked = answer<Value>(member, wish.wish)
  member.send(wish)
  return asked
}

async function stop(member: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => member.once('exit', resolve))
  member.send({ wish: 'close' } satisfies Wish)
  await ended
  running = null
}

async function kill(member: ChildProcess): Promise<void> {
  running = null
  if (member.exitCode !== null || member.signalCode !== null) return
  const ended = new Promise((resolve) => member.once('exit', resolve))
  member.kill('SIGKILL')
  await ended
}

/** @returns whether it was done. */
function dropCaches(): boolean {
  if (options.dropCaches !== true) return false
  // What is dirty cannot be dropped; the store was stopped and has synced what it wrote.
  writeFileSync('/proc/sys/vm/drop_caches', '3')
  return true
}
