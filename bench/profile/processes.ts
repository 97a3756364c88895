/**
 * What the kernel has counted for a process: CPU time by kind of thread, and calls that read or write.
 *
 * Node.js 20 on Linux starts its threads in one order: the event loop, one for delayed tasks, V8's four workers, one that waits for the
 * inspector's signal, and libuv's pool at its first use. They have no names of their own, so their kind is told by that order.
 */
import { readdirSync, readFileSync } from 'node:fs'

export const THREAD_KINDS = ['event loop', 'V8', 'libuv'] as const
export type ThreadKind = (typeof THREAD_KINDS)[number]

export interface ProcessCounts {
  /** Nanoseconds on a core. */
  readonly cpuNs: Readonly<Record<ThreadKind, number>>
  /** Times that a thread gave up its core by itself. */
  readonly sleeps: number
  /** Calls that the kernel counts as reads and writes of files and sockets; vectored ones count once. */
  readonly reads: number
  readonly writes: number
}

const V8_THREADS = 5

export function processCounts(pid: number): ProcessCounts {
  const cpuNs = { 'event loop': 0, V8: 0, libuv: 0 }
  let sleeps = 0
  const threads = readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .sort((a, b) => a - b)
  threads.forEach((thread, i) => {
    const [ns] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
    cpuNs[kindOf(i)] += Number(ns)
    sleeps += numberAfter('voluntary_ctxt_switches:', readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))
  })
  const io = readFileSync(`/proc/${pid}/io`, 'utf8')
  return { cpuNs, sleeps, reads: numberAfter('syscr:', io), writes: numberAfter('syscw:', io) }
}

function kindOf(position: number): ThreadKind {
  if (position === 0) return 'event loop'
  return position <= V8_THREADS ? 'V8' : 'libuv'
}

function numberAfter(name: string, text: string): number {
  const at = text.indexOf(`\n${name}`) + 1
  return text.startsWith(name, at) ? Number.parseInt(text.slice(at + name.length), 10) : 0
}
