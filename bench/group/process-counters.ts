/**
 * What Linux has counted for a process since it began: CPU by thread, calls that read and write, bytes, context switches.
 *
 * None of it depends on how long the process waited for a core, so differences of two readings can be compared between a quiet machine and
 * a busy one; only caches and how much came at once still differ.
 */
import { readdirSync, readFileSync } from 'node:fs'

export interface ProcessCounters {
  readonly mainCpuMicros: number
  /** The threads of the file system, of the garbage collector, of the compiler. */
  readonly otherCpuMicros: number
  /** Calls of read, write and their like, on files and sockets. Not in it: waiting for events, syncs, locks. */
  readonly ioCalls: number
  /** Bytes that go to the disk, as pages that were made dirty. */
  readonly diskBytesWritten: number
  /** Bytes given to write calls, sockets in it. */
  readonly bytesWritten: number
  readonly voluntarySwitches: number
}

const NONE: ProcessCounters = {
  mainCpuMicros: 0,
  otherCpuMicros: 0,
  ioCalls: 0,
  diskBytesWritten: 0,
  bytesWritten: 0,
  voluntarySwitches: 0,
}

/** @throws Error where the process is gone or the system has no such /proc. */
export function readCounters(pid: number): ProcessCounters {
  let [main, other, switches] = [0, 0, 0]
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    // Nanoseconds on a core, nanoseconds waiting for one, times it was given one.
    const micros = Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1_000
    if (Number(thread) === pid) main = micros
    else other += micros
    switches += field(`/proc/${pid}/task/${thread}/status`, 'voluntary_ctxt_switches')
  }
  const io = `/proc/${pid}/io`
  return {
    mainCpuMicros: main,
    otherCpuMicros: other,
    ioCalls: field(io, 'syscr') + field(io, 'syscw'),
    diskBytesWritten: field(io, 'write_bytes'),
    bytesWritten: field(io, 'wchar'),
    voluntarySwitches: switches,
  }
}

export function countedSince(before: ProcessCounters, after: ProcessCounters): ProcessCounters {
  const since: Record<string, number> = {}
  for (const name of Object.keys(NONE) as (keyof ProcessCounters)[]) since[name] = after[name] - before[name]
  return since as unknown as ProcessCounters
}

function field(file: string, name: string): number {
  for (const line of readFileSync(file, 'latin1').split('\n')) {
    if (line.startsWith(`${name}:`)) return Number(line.slice(name.length + 1))
  }
  throw new Error(`${file} has no ${name}`)
}
