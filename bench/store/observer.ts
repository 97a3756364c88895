/** What this process holds: memory, files, and how long its event loop stood. */
import { readdirSync, readFileSync } from 'node:fs'
import { type Stalls, StallWatch } from './stalls.ts'

const MEBIBYTE = 1024 * 1024

export interface Observed extends Stalls {
  readonly rssMiB: number
  /** Pages that no other process has: what would be free without this one. */
  readonly privateMiB: number
  readonly heapMiB: number
  readonly buffersMiB: number
  readonly files: number
}

export class Observer {
  readonly #stalls = new StallWatch()

  /** Stalls are those since the observation before. */
  observe(): Observed {
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
    return {
      rssMiB: mebibytes(rss),
      privateMiB: privateMiB(),
      heapMiB: mebibytes(heapUsed),
      buffersMiB: mebibytes(arrayBuffers),
      files: filesOpen(),
      ...this.#stalls.take(),
    }
  }
}

function privateMiB(): number {
  if (process.platform !== 'linux') return -1
  let kibibytes = 0
  for (const line of readFileSync('/proc/self/smaps_rollup', 'utf8').split('\n')) {
    const found = /^Private_(?:Clean|Dirty):\s+(\d+) kB/.exec(line)
    if (found !== null) kibibytes += Number(found[1])
  }
  return Math.round(kibibytes / 1024)
}

function filesOpen(): number {
  return process.platform === 'linux' ? readdirSync('/proc/self/fd').length : -1
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / MEBIBYTE)
}
