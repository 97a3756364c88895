/** What the brokers of a group tell of their event loops, by `/metrics`. */
import { MetricsPage } from '../group/metrics-page.ts'

const STALLS = 'dledger_event_loop_stall_seconds'
const LONGEST = 'dledger_event_loop_stall_longest_seconds'
const STARVED = 'dledger_event_loop_starved_seconds_total'
const COLLECTING = 'nodejs_gc_duration_seconds_sum'
const CPU = 'process_cpu_seconds_total'
/** A broker tells its longest stall of the last minute. */
export const LONGEST_OF_MS = 60_000

export interface LoopResult {
  readonly stallLongestMs: number
  /** The end of a bucket: no more than this. */
  readonly stallP999Ms: number
  readonly stallsOver50Ms: number
  readonly starvedPercent: number
  readonly collectingPercent: number
  readonly cpuPercent: number
}

/** One broker, looked at from time to time. */
export class BrokerLoop {
  readonly #port: number
  readonly #begunMs = performance.now()
  readonly #before: MetricsPage
  #now: MetricsPage
  #longest = 0

  private constructor(port: number, page: MetricsPage) {
    this.#port = port
    this.#before = page
    this.#now = page
  }

  static async watch(port: number): Promise<BrokerLoop> {
    return new BrokerLoop(port, await MetricsPage.read(port))
  }

  /** At least once in LONGEST_OF_MS, and not before so long has passed: what was before the watch would be in it. */
  async look(): Promise<void> {
    this.#now = await MetricsPage.read(this.#port)
    this.#longest = Math.max(this.#longest, this.#now.value(LONGEST))
  }

  result(): LoopResult {
    const seconds = (performance.now() - this.#begunMs) / 1_000
    const [before, now] = [this.#before, this.#now]
    const percent = (name: string): number => Number(((100 * (now.sum(name) - before.sum(name))) / seconds).toFixed(1))
    const within = `${STALLS}_bucket{le="0.05"}`
    const count = `${STALLS}_count`
    return {
      stallLongestMs: Math.round(this.#longest * 1_000),
      stallP999Ms: Math.round(now.quantileSince(before, STALLS, 0.999) * 1_000),
      stallsOver50Ms: now.value(count) - before.value(count) - (now.value(within) - before.value(within)),
      starvedPercent: percent(STARVED),
      collectingPercent: percent(COLLECTING),
      cpuPercent: percent(CPU),
    }
  }
}
