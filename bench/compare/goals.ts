/** The goals, as ratios to what another system does in the same run. */
import type { Key, Metric } from './measurements.ts'

export interface Row {
  readonly title: string
  readonly metric: Metric
  readonly base: Key
  /** What each of ours may cost at most, or must reach at least, of the base. */
  readonly ours: readonly { readonly key: Key; readonly goal: number }[]
}

/** More is better; of all others less is. */
const RATES: ReadonlySet<Metric> = new Set<Metric>(['messagesPerSecond', 'megabytesPerSecond'])

export function isRate(metric: Metric): boolean {
  return RATES.has(metric)
}

export function isMet(row: Row, ratio: number, goal: number): boolean {
  return isRate(row.metric) ? ratio >= goal : ratio <= goal
}

const OURS = ['ours-async', 'ours-sync']

interface Against {
  /** What ASYNC_FLUSH and SYNC_FLUSH are compared with: the same promise where there is one. */
  readonly bases: readonly [string, string]
  /** The client of the base, where it is not the one that ours is measured with. */
  readonly client?: string | null
}

const APACHE: Against = { bases: ['apache', 'apache'] }
const BATCH_PUSH: Against = { bases: ['apache-batch', 'apache-batch'] }
const NATS: Against = { bases: ['nats', 'nats-sync'], client: 'go' }
const FLOOR: Against = { bases: ['floor-async', 'floor-sync'], client: null }

/** One row for each base and each client. */
function rows(
  title: string,
  metric: Metric,
  workload: string,
  against: Against,
  goals: readonly [number, number],
  clients: readonly (string | null)[],
): Row[] {
  const made: Row[] = []
  for (const client of clients) {
    for (const system of new Set(against.bases)) {
      const ours = OURS.flatMap((name, i) => {
        const goal = against.bases[i] === system ? goals[i] : undefined
        return goal === undefined ? [] : [{ key: { system: name, workload, client }, goal }]
      })
      const base = { system, workload, client: against.client === undefined ? client : against.client }
      made.push({ title, metric, base, ours })
    }
  }
  return made
}

const BOTH = ['java', 'ours']
const JAVA = ['java']
const NONE = [null]
const CPU = 'server CPU per message'

export const ROWS: readonly Row[] = [
  ...rows(`${CPU}, 64 sync senders`, 'serverMicros', 'sync64', APACHE, [1 / 15, 1 / 10], BOTH),
  ...rows(`${CPU}, 256 async in flight`, 'serverMicros', 'async256', APACHE, [1 / 15, 1 / 10], BOTH),
  ...rows(`${CPU}, 64 sync senders`, 'serverMicros', 'sync64', BATCH_PUSH, [1 / 8, 1 / 6], BOTH),
  ...rows(`${CPU}, 256 async in flight`, 'serverMicros', 'async256', BATCH_PUSH, [1 / 8, 1 / 6], BOTH),
  ...rows(`${CPU}, 64 sync senders`, 'serverMicros', 'sync64', NATS, [1 / 2, 1 / 2], BOTH),
  ...rows(`${CPU}, 256 async in flight`, 'serverMicros', 'async256', NATS, [2 / 3, 2 / 3], BOTH),
  ...rows('throughput, 256 async in flight', 'messagesPerSecond', 'async256', APACHE, [8, 6], BOTH),
  ...rows('throughput, 256 async in flight, 100 B', 'messagesPerSecond', 'async256-100b', APACHE, [8, 6], BOTH),
  ...rows('throughput, batches of 32', 'messagesPerSecond', 'batch32', APACHE, [8, 6], BOTH),
  ...rows('p50 of a lone sync sender', 'p50Ms', 'sync1', APACHE, [1 / 6, 1 / 3], BOTH),
  ...rows('p99 of a lone sync sender', 'p99Ms', 'sync1', APACHE, [1 / 6, 1 / 3], BOTH),
  ...rows('p50 end to end at 500 a second', 'p50Ms', 'e2e', APACHE, [1 / 6, 1 / 3], JAVA),
  ...rows('p99 end to end at 500 a second', 'p99Ms', 'e2e', APACHE, [1 / 6, 1 / 3], JAVA),
  ...rows(`${CPU}, draining 200,000`, 'serverMicros', 'drain', APACHE, [1 / 2, 1 / 2], JAVA),
  ...rows('idle CPU', 'idlePercent', 'idle', APACHE, [1 / 20, 1 / 20], NONE),
  ...rows('private memory of a broker', 'privateMiB', 'memory', APACHE, [1 / 8, 1 / 8], NONE),
  ...rows("senders' gap after kill -9", 'gapMs', 'failover', { ...APACHE, client: 'java' }, [1 / 20, 1 / 20], BOTH),
  ...rows('cold start to the first acknowledgement', 'firstAckMs', 'coldstart', APACHE, [1 / 5, 1 / 5], NONE),
  ...rows('p50 of a lone sync sender', 'p50Ms', 'sync1', FLOOR, [2, 2], BOTH),
  ...rows('large messages', 'megabytesPerSecond', 'large', FLOOR, [1 / 2, 1 / 2], BOTH),
  ...rows('embedded appends of 1 KiB', 'megabytesPerSecond', 'embedded', FLOOR, [0.7, 0.7], NONE),
]
