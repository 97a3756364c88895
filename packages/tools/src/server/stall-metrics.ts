/** The stalls of this process's event loop, for `/metrics`. Wakes an idle process twice a second. */
import { openSync, readSync } from 'node:fs'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { type LoopTimes, StallMeter } from './stall-meter.ts'

const SECOND_MS = 1_000
/** Seconds. */
const BUCKETS = [0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5]

export function collectStalls(registry: Registry): void {
  const starved = new StarvedTime()
  const times = (): LoopTimes => ({
    nowMs: performance.now(),
    activeMs: performance.eventLoopUtilization().active,
    starvedMs: starved.ms(),
  })
  const stalls = new Histogram({
    name: 'dledger_event_loop_stall_seconds',
    help: 'How late the event loop came to a timer, the time without a core not in it; looked at every 10 ms while it works.',
    buckets: BUCKETS,
    registers: [registry],
  })
  const meter = new StallMeter(times(), (ms) => stalls.observe(ms / SECOND_MS))
  const wait = (): void => {
    setTimeout(() => {
      meter.look(times())
      wait()
    }, meter.dueMs - performance.now()).unref()
  }
  wait()
  // The registry keeps both; they are collected when /metrics is asked.
  void new Gauge({
    name: 'dledger_event_loop_stall_longest_seconds',
    help: 'The longest such stall of the last minute.',
    registers: [registry],
    collect() {
      this.set(meter.longestMs(performance.now()) / SECOND_MS)
    },
  })
  void new Counter({
    name: 'dledger_event_loop_starved_seconds_total',
    help: 'For how long the event loop could have run and had no core (Linux; elsewhere 0).',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(starved.ms() / SECOND_MS)
    },
  })
}

/** For how long the main thread could have run and had no core; 0 where the system does not tell. */
class StarvedTime {
  readonly #target = Buffer.alloc(128)
  readonly #file: number

  constructor() {
    let file = -1
    try {
      file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
    } catch {
      // Not Linux, or a kernel without these counters.
    }
    this.#file = file
  }

  ms(): number {
    if (this.#file < 0) return 0
    const count = readSync(this.#file, this.#target, 0, this.#target.length, 0)
    // Nanoseconds on a core, nanoseconds waiting for one, times it was given one.
    return Number(this.#target.toString('latin1', 0, count).split(' ')[1]) / 1e6
  }
}
