/**
 * How long something takes, of one in SAMPLED_ONE_IN: the longest since the start, and how the last minute or two were.
 *
 * Keeps: what is not sampled costs a count; memory is of one size.
 */
import type { Clock } from '@dledger-ts/base'

const SAMPLED_ONE_IN = 16
/** Bucket i ends at `(1 + GROWTH)^i - 1` tenths of a millisecond. */
const GROWTH = 0.1
const BUCKETS = 160
const TENTHS = 10

/** Source: StoreStatsService.PUT_MESSAGE_ENTIRE_TIME_MAX_DESC. */
const RANGES: readonly (readonly [name: string, belowMs: number])[] = [
  ['[<=0ms]', 1],
  ['[0~10ms]', 10],
  ['[10~50ms]', 50],
  ['[50~100ms]', 100],
  ['[100~200ms]', 200],
  ['[200~500ms]', 500],
  ['[500ms~1s]', 1_000],
  ['[1~2s]', 2_000],
  ['[2~3s]', 3_000],
  ['[3~4s]', 4_000],
  ['[4~5s]', 5_000],
  ['[5~10s]', 10_000],
  ['[10s~]', Infinity],
]

class Sample {
  readonly buckets = new Uint32Array(BUCKETS)
  readonly ranges = new Uint32Array(RANGES.length)
}

export class SampledTimes {
  readonly #clock: Clock
  #begun = 0
  #maxMs = 0
  #present = new Sample()
  #former = new Sample()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @returns what `end` must be given. Hot. */
  begin(): number {
    return this.#begun++ % SAMPLED_ONE_IN === 0 ? this.#clock.monotonicMs() : -1
  }

  // Hot.
  end(begunMs: number): void {
    if (begunMs < 0) return
    const tookMs = Math.max(0, this.#clock.monotonicMs() - begunMs)
    if (tookMs > this.#maxMs) this.#maxMs = tookMs
    const bucket = Math.min(BUCKETS - 1, Math.ceil(Math.log1p(tookMs * TENTHS) / Math.log1p(GROWTH)))
    this.#present.buckets[bucket] = (this.#present.buckets[bucket] as number) + 1
    const range = RANGES.findIndex(([, belowMs]) => tookMs < belowMs)
    this.#present.ranges[range] = (this.#present.ranges[range] as number) + 1
  }

  /** A minute is over. */
  turn(): void {
    this.#former = this.#present
    this.#present = new Sample()
  }

  get maxMs(): number {
    return this.#maxMs
  }

  /** @returns a time that the given part of the samples did not exceed, to a tenth of it; 0 where there are none. */
  percentileMs(part: number): number {
    const counts = this.#present.buckets.map((count, i) => count + (this.#former.buckets[i] as number))
    const wanted = counts.reduce((sum, count) => sum + count, 0) * part
    let seen = 0
    for (const [i, count] of counts.entries()) {
      seen += count
      if (seen >= wanted && seen > 0) return Math.expm1(i * Math.log1p(GROWTH)) / TENTHS
    }
    return 0
  }

  /** As Apache's brokers print it. */
  distribution(): string {
    const count = (i: number): number => (this.#present.ranges[i] as number) + (this.#former.ranges[i] as number)
    return RANGES.map(([name], i) => `${name}:${count(i)}`).join(' ')
  }
}
