/**
 * Many groups of three nodes in three processes: what they cost when idle, and what they do under load.
 *
 *   npm run bench:groups -- [--groups 1,100] [--seconds 10]                                  idle
 *   npm run bench:groups -- --in-flight 4 [--groups 1,8,64] [--syncs 16,1000] [--bytes 1024]    under load
 *
 * `--syncs` is how many may be under way at once; 1000 is any number. A list of them is run in that order.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '@dledger-ts/dledger/internals'
import { answer } from '../log/processes.ts'
import { measurement, wholeNumber, wholeNumbers } from '../options.ts'
import type { GroupsLoad, GroupsWish, Usage } from './node.ts'

const { groups, seconds, bytes, syncs, inFlight } = measurement('bench:groups', 'Many groups in three processes.')
  .addOption(wholeNumbers('--groups <counts>', 'how many groups; 1,100 when idle, 1,8,64 under load'))
  .addOption(wholeNumber('--seconds <count>', 'how long each is measured', 10))
  .addOption(wholeNumber('--bytes <count>', 'size of a body', 1024))
  .addOption(wholeNumbers('--syncs <counts>', 'syncs under way at once; 1000 is any number', [16]))
  .addOption(wholeNumber('--in-flight <count>', 'appends of each group under way; 0: idle', 0, 0))
  .parse()
  .opts<{ groups?: number[]; seconds: number; bytes: number; syncs: number[]; inFlight: number }>()
const SETTLED_WITHIN_MS = 120_000
const rows: Record<string, Record<string, number>> = {}

for (const count of groups ?? (inFlight === 0 ? [1, 100] : [1, 8, 64])) {
  for (const syncsAtOnce of syncs) {
    const nodes = await startNodes(count, syncsAtOnce)
    try {
      if (inFlight === 0) rows[`${count} groups`] = await idle(nodes)
      else {
        const at = syncsAtOnce >= 1_000 ? 'any number of' : syncsAtOnce
        rows[`${Object.keys(rows).length + 1}: ${count} groups, ${at} syncs at once`] = await load(nodes)
      }
    } finally {
      await nodes.stop()
    }
  }
}
console.table(rows)

interface Nodes {
  readonly processes: readonly ChildProcess[]
  usage(): Promise<Usage[]>
  stop(): Promise<void>
}

async function idle(nodes: Nodes): Promise<Record<string, number>> {
  const before = await nodes.usage()
  const begun = performance.now()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
  const after = await nodes.usage()
  const elapsed = (performance.now() - begun) / 1_000
  const grown = (field: keyof Usage): number[] =>
    after.map((usage, i) => (usage[field] - (before[i] as Usage)[field]) / elapsed)
  const sum = (all: number[]): number => all.reduce((total, one) => total + one, 0)
  return {
    // Each of the three pairs has frames both ways.
    'frames/s of a pair of nodes': round(sum(grown('framesSent')) / 3),
    'messages/s of a pair': round(sum(grown('messagesSent')) / 3),
    'CPU of a node, % of a core': round(sum(grown('cpuMicros')) / 3 / 1e4, 2),
    'largest CPU, %': round(Math.max(...grown('cpuMicros')) / 1e4, 2),
  }
}

async function load(nodes: Nodes): Promise<Record<string, number>> {
  const wish: GroupsWish = { ask: 'load', inFlight, bytes, seconds }
  const before = await nodes.usage()
  const results = await Promise.all(nodes.processes.map((one) => ask<GroupsLoad>(one, wish, 'result')))
  const after = await nodes.usage()
  const appends = results.reduce((sum, { appends: count }) => sum + count, 0)
  const cpu = after.reduce((sum, usage, i) => sum + usage.cpuMicros - (before[i] as Usage).cpuMicros, 0)
  const leaders = results.filter((result) => result.appends > 0)
  const largest = (field: 'p50' | 'p99' | 'readP50' | 'readP99', of = results): number =>
    round(Math.max(...of.map((result) => result[field])), 2)
  return {
    'appends/s': Math.round(results.reduce((sum, { appends: count, seconds: took }) => sum + count / took, 0)),
    'p50 ms': largest('p50', leaders),
    'p99 ms': largest('p99', leaders),
    'read p50 ms': largest('readP50'),
    'read p99 ms': largest('readP99'),
    'CPU µs/append': round(cpu / appends),
  }
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits))
}

async function startNodes(count: number, syncs: number): Promise<Nodes> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-groups-'))
  const ports = await freePorts(3)
  const script = fileURLToPath(new URL('./node.js', import.meta.url))
  const processes = ports.map((_, i) =>
    fork(script, [directory, `n${i}`, ports.join(','), String(count), String(syncs)]),
  )
  await Promise.all(processes.map((one) => answer(one, 'opened')))
  const usage = (): Promise<Usage[]> => Promise.all(processes.map((one) => ask<Usage>(one, { ask: 'usage' }, 'usage')))
  const until = performance.now() + SETTLED_WITHIN_MS
  for (;;) {
    const all = await usage()
    // Every group is led by the node that it prefers.
    if (all.every(({ ready }) => ready === count) && all.reduce((sum, { leads }) => sum + leads, 0) === count) break
    if (performance.now() > until) throw new Error(`the groups did not settle: ${JSON.stringify(all)}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  return {
    processes,
    usage,
    async stop() {
      await Promise.all(
        processes.map(async (one) => {
          const ended = new Promise((resolve) => one.once('exit', resolve))
          one.disconnect()
          await ended
        }),
      )
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function ask<Value>(process: ChildProcess, wish: GroupsWish, name: string): Promise<Value> {
  const answered = answer<Value>(process, name)
  process.send(wish)
  return answered
}
