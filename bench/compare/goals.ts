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

interface Wish {
  readonly title: string
  readonly metric: Metric
  readonly workload: string
  /** Ours is measured with each. */
  readonly clients: readonly (string | null)[]
  /** The client of the base, where it is another one. */
  readonly baseClient?: string | null
  /** What ASYNC_FLUSH and SYNC_FLUSH are compared with. */
  readonly bases: readonly [string, string]
  /** Their goals. */
  readonly goals: readonly [number, number]
}

const SENT = [
  { workload: 'sync64', title: '64 sync senders' },
  { workload: 'async256', title: '256 async in flight' },
]

const SYSTEMS = ['ours-async', 'ours-sync']

/** The same goals for each of these workloads. */
function each(workloads: typeof SENT, wish: Omit<Wish, 'workload'>): Wish[] {
  return workloads.map(({ workload, title }) => Object.assign({}, wish, { workload, title: `${wish.title}, ${title}` }))
}

const WISHES: readonly Wish[] = [
  ...each(SENT, {
    title: 'server CPU per message',
    metric: 'serverMicros',
    clients: ['java', 'ours'],
    bases: ['apache', 'apache'],
    goals: [1 / 15, 1 / 10],
  }),
  ...each(SENT, {
    title: "server CPU per message, Apache's batch push on",
    metric: 'serverMicros',
    clients: ['java', 'ours'],
    bases: ['apache-batch', 'apache-batch'],
    goals: [1 / 8, 1 / 6],
  }),
]

function row(wish: Wish, client: string | null, base: string): Row {
  const { title, metric, workload, baseClient, bases, goals } = wish
  const ours = SYSTEMS.flatMap((system, i) => {
    const goal = bases[i] === base ? goals[i] : undefined
    return goal === undefined ? [] : [{ key: { system, workload, client }, goal }]
  })
  return {
    title,
    metric,
    base: { system: base, workload, client: baseClient === undefined ? client : baseClient },
    ours,
  }
}

/** One row for each base and client. */
export const ROWS: readonly Row[] = WISHES.flatMap((wish) =>
  wish.clients.flatMap((client) => [...new Set(wish.bases)].map((base) => row(wish, client, base))),
)
