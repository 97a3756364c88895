/**
 * What is recorded of each load, and how far each may go up before it counts as worse.
 *
 * A tolerance is what rounds of one build differ by on a machine that is busy with other work, and some more: CPU differs by what other programs do
 * to the caches and by how much comes at once; calls and switches by how much comes at once; allocations and bytes hardly at all.
 */
export interface CounterKind {
  readonly unit: string
  /** How much of it, beyond the last record, is still the same: 0.2 is a fifth. */
  readonly tolerance: number
  /** A difference below this says nothing, whatever share it is. */
  readonly least: number
  /** It says something only beside a record of the same machine and Node.js. */
  readonly ofMachine: boolean
}

export const COUNTERS = {
  mainCpu: { unit: 'µs', tolerance: 0.25, least: 0.5, ofMachine: true },
  otherCpu: { unit: 'µs', tolerance: 0.5, least: 1, ofMachine: true },
  heapBytes: { unit: 'B', tolerance: 0.05, least: 50, ofMachine: false },
  ioCalls: { unit: '', tolerance: 0.4, least: 0.02, ofMachine: false },
  diskBytesPerByte: { unit: '', tolerance: 0.3, least: 0.5, ofMachine: false },
  bytesWrittenPerByte: { unit: '', tolerance: 0.05, least: 0.05, ofMachine: false },
  switches: { unit: '', tolerance: 0.6, least: 0.05, ofMachine: false },
} as const satisfies Record<string, CounterKind>

export type Counter = keyof typeof COUNTERS
export const COUNTER_NAMES = Object.keys(COUNTERS) as readonly Counter[]

/** Of one message, or of one byte of payload, in one round. */
export type Counts = Readonly<Record<Counter, number>>

/** Over the rounds. */
export interface Recorded {
  readonly median: number
  readonly min: number
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
}

export interface RecordFile {
  readonly date: string
  readonly machine: Machine
  readonly node: string
  /** What `yardstick.ts` took, the median of all rounds: CPU of two records is compared in units of it. */
  readonly yardstickMicros: number
  readonly load: { readonly messages: number; readonly size: number; readonly rounds: number }
  /** By load, by role (`leader`, `follower`: the mean of both). */
  readonly loads: Readonly<Record<string, Readonly<Record<string, Readonly<Record<Counter, Recorded>>>>>>
}

/** @param rounds at least one. */
export function overRounds(rounds: readonly Counts[]): Record<Counter, Recorded> {
  const over = (counter: Counter): Recorded => {
    const sorted = rounds.map((counts) => counts[counter]).sort((a, b) => a - b)
    return { median: rounded(sorted[sorted.length >> 1] as number), min: rounded(sorted[0] as number) }
  }
  return Object.fromEntries(COUNTER_NAMES.map((counter) => [counter, over(counter)])) as Record<Counter, Recorded>
}

/** Three figures and a bit: more would be noise in every diff of the record. */
function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
