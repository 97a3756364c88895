/** What the kernel counts: CPU of processes and of the machine, private memory. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'
import { cpuMicros } from '../group/laptop-group.ts'

/** Ticks of /proc are 10 ms. */
const TICK_MICROS = 10_000

export interface Counters {
  readonly atMs: number
  readonly serverMicros: number
  readonly clientMicros: number
  readonly machineMicros: number
  readonly ownMicros: number
}

export interface Used {
  readonly seconds: number
  readonly serverMicros: number
  readonly clientMicros: number
  /** What everything else took meanwhile, the kernel's own threads in it, in cores. */
  readonly otherCores: number
}

export function read(servers: readonly number[], client: number | null): Counters {
  return {
    atMs: performance.now(),
    serverMicros: servers.reduce((sum, pid) => sum + cpuMicros(pid), 0),
    clientMicros: client === null ? 0 : cpuMicros(client),
    machineMicros: machineMicros(),
    ownMicros: cpuMicros(process.pid),
  }
}

export function between(before: Counters, after: Counters): Used {
  const seconds = (after.atMs - before.atMs) / 1_000
  const serverMicros = after.serverMicros - before.serverMicros
  const clientMicros = after.clientMicros - before.clientMicros
  const machine = after.machineMicros - before.machineMicros
  const other = machine - serverMicros - clientMicros - (after.ownMicros - before.ownMicros)
  return { seconds, serverMicros, clientMicros, otherCores: Math.max(0, other / 1e6 / seconds) }
}

/** CPU of all threads that live, to the nanosecond: for processes that hardly do anything, of which ticks tell little. */
export function fineMicros(pids: readonly number[]): number {
  let nanos = 0
  for (const pid of pids) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      try {
        nanos += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
      } catch {
        // A thread that ended since it was listed.
      }
    }
  }
  return nanos / 1_000
}

/** All that the cores did, without idling and waiting for disks. */
function machineMicros(): number {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n')
  const [, user, nice, system, , , irq, softirq, steal] = first.split(/\s+/).map(Number)
  return [user, nice, system, irq, softirq, steal].reduce<number>((sum, ticks) => sum + (ticks ?? 0), 0) * TICK_MICROS
}

/**
 * Memory that only this process has, in MiB: Private_Clean and Private_Dirty of all mappings but those that share a
 * file. A log that is mapped into memory is page cache, as one that is written is.
 */
export function privateMiB(pid: number): number {
  let kib = 0
  let shared = false
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ ...([ps]) /.exec(line)
    if (mapping !== null) shared = mapping[1] === 's'
    else if (!shared) kib += Number(/^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB/.exec(line)?.[1] ?? 0)
  }
  return kib / 1024
}
