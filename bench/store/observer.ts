/** What this process holds: memory, files, and how long its event loop stood. */
import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const MEBIBYTE = 1024 * 1024
const RESOLUTION_MS = 2

export interface Observed {
  readonly rssMiB: number
  /** Pages that no other process has: what would be free without this one. */
  readonly privateMiB: number
  readonly heapMiB: number
  readonly buffersMiB: number
  readonly files: number
  /** The longest wait of the event loop since the observation before. */
  readonly stallMs: number
}

export class Observer {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })

  constructor() {
    this.#delay.enable()
  }

  observe(): Observed {
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
    const stallMs = Math.max(0, Math.round(this.#delay.max / 1e6) - RESOLUTION_MS)
    this.#delay.reset()
    return {
      rssMiB: mebibytes(rss),
      privateMiB: privateMiB(),
      heapMiB: mebibytes(heapUsed),
      buffersMiB: mebibytes(arrayBuffers),
      files: filesOpen(),
      stallMs,
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
