/**
 * The longest stalls of this process's event loop, and what the time went to: the main thread's CPU, the garbage collector, or neither: then
 * it slept in a call, or waited for a thread that had no core. The time in which it waited for a core itself is taken off.
 */
import { openSync, readSync } from 'node:fs'
import { PerformanceObserver } from 'node:perf_hooks'

const TICK_MS = 5
/** Shorter ones are not kept. */
const STALL_MS = 20
const KEPT_MAX = 10

export interface Stall {
  readonly ms: number
  readonly cpuMs: number
  /** Of the collector, whatever thread worked; part of it is in `cpuMs`. */
  readonly collectingMs: number
  /** Neither on a core nor waiting for one. */
  readonly sleepingMs: number
}

interface Pause {
  readonly fromMs: number
  readonly toMs: number
}

export class StallLog {
  readonly #target = Buffer.alloc(128)
  readonly #file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
  #stalls: { readonly fromMs: number; readonly toMs: number; readonly ms: number; readonly cpuMs: number }[] = []
  #pauses: Pause[] = []
  #last = this.#times()

  constructor() {
    new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) {
        if (duration >= 1) this.#pauses.push({ fromMs: startTime, toMs: startTime + duration })
      }
    }).observe({ entryTypes: ['gc'] })
    setInterval(() => this.#tick(), TICK_MS).unref()
  }

  /** The longest since the call before, the longest first. */
  take(): Stall[] {
    const found = this.#stalls.map(({ fromMs, toMs, ms, cpuMs }) => {
      const within = this.#pauses.map((pause) => Math.min(toMs, pause.toMs) - Math.max(fromMs, pause.fromMs))
      const collectingMs = within.reduce((sum, one) => sum + Math.max(0, one), 0)
      return {
        ms: Math.round(ms),
        cpuMs: Math.round(cpuMs),
        collectingMs: Math.round(collectingMs),
        sleepingMs: Math.round(Math.max(0, ms - cpuMs)),
      }
    })
    this.#stalls = []
    this.#pauses = []
    return found
  }

  #tick(): void {
    const [last, now] = [this.#last, this.#times()]
    this.#last = now
    const ms = now.wallMs - last.wallMs - TICK_MS - (now.starvedMs - last.starvedMs)
    if (ms < STALL_MS) return
    this.#stalls.push({ fromMs: last.wallMs, toMs: now.wallMs, ms, cpuMs: now.cpuMs - last.cpuMs })
    this.#stalls.sort((a, b) => b.ms - a.ms)
    if (this.#stalls.length > KEPT_MAX) this.#stalls.pop()
  }

  #times(): { readonly wallMs: number; readonly cpuMs: number; readonly starvedMs: number } {
    const count = readSync(this.#file, this.#target, 0, this.#target.length, 0)
    // Nanoseconds on a core, nanoseconds waiting for one, times it was given one.
    const [cpu, starved] = this.#target.toString('latin1', 0, count).split(' ')
    return { wallMs: performance.now(), cpuMs: Number(cpu) / 1e6, starvedMs: Number(starved) / 1e6 }
  }
}
