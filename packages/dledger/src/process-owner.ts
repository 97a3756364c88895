/** Identifies this process and this boot of the machine, for the directory lock and for recovery. Linux; elsewhere by pid alone. */
import { readFileSync } from 'node:fs'
import type { DirectoryOwner } from './driver/node-options.ts'
import { UNKNOWN_BOOT } from './driver/open-member.ts'

const UNKNOWN = UNKNOWN_BOOT

export function processOwner(): DirectoryOwner {
  return { pid: process.pid, processStart: startOf(process.pid), bootId: bootId(), isAlive }
}

function isAlive(pid: number, processStart: string, boot: string): boolean {
  if (boot !== bootId()) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  const fields = statOf(pid)
  // A zombie has ended; only its parent has not asked how. Its files are closed.
  return startIn(fields) === processStart && fields[0] !== 'Z' && fields[0] !== 'X'
}

function startOf(pid: number): string {
  return startIn(statOf(pid))
}

/** Start time in clock ticks since boot (field 22 of /proc/PID/stat), which tells a process from a later one of the same id. */
function startIn(fields: readonly string[]): string {
  return fields[19] ?? UNKNOWN
}

/** The fields of /proc/PID/stat from the third, the state, on. */
function statOf(pid: number): string[] {
  const stat = readText(`/proc/${pid}/stat`)
  // The command name, in parentheses, may hold spaces; the fields that follow it do not.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/**
 * This boot of the machine: what was written under another one, and not synced, may be gone. Empty when it is not known (elsewhere
 * than on Linux).
 */
export function bootIdentity(): string {
  return readText('/proc/sys/kernel/random/boot_id').trim()
}

function bootId(): string {
  return bootIdentity() || UNKNOWN
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Not Linux, or the process is gone: the caller treats the empty text as unknown.
    return ''
  }
}
