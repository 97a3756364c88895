/** What grows, and by which steps. Each sweep has a broker of its own. */
import { Producer } from '@dledger-ts/client'
import { OneBroker } from './one-broker.ts'
import { measurePoint, type Point } from './point.ts'
import { Growing } from './requests.ts'

const MEBIBYTE = 2 ** 20
const GIBIBYTE = 2 ** 30
const PROFILE_SECONDS = 5
const FIRST_WARMUPS = 4
/** Checkpoints, 5 s apart, make the files of new queues, and the name server hears of new topics. */
const SETTLE_MS = 8_000

export interface SweepOptions {
  readonly messages: number
  readonly rounds: number
  readonly size: number
  readonly flush: string
  readonly logGigabytes: readonly number[]
  readonly ageMinutes: number
  /** Steps beyond are left out. */
  readonly max: number
  /** Where profiles of the first and the last point go. */
  readonly profile?: string
}

/** The name of each, with what its x counts. */
export const SWEEPS = {
  topics: 'topics, all of them sent to in turn',
  bystanders: 'topics, one of them sent to',
  queues: 'queues of 10 topics, all of them sent to in turn',
  groups: 'consumer groups with offsets in one topic',
  connections: 'idle connections',
  log: 'GiB in the log',
  age: 'minutes under full load',
} as const
export type Sweep = keyof typeof SWEEPS
export const SWEEP_NAMES = Object.keys(SWEEPS) as readonly Sweep[]

/** @param told is given each point as soon as it is there. */
export async function run(sweep: Sweep, options: SweepOptions, told: (point: Point) => void): Promise<Point[]> {
  // Old log files go, so that a long run fills no disk; the sweep of the log keeps all of it.
  const retention = sweep === 'log' ? {} : { mappedFileSizeCommitLog: 64 * MEBIBYTE, retentionBytes: GIBIBYTE }
  const broker = await OneBroker.start({ flushDiskType: options.flush, ...retention })
  const growing = new Growing(broker.address)
  const producer = new Producer({ group: 'bench-growth', namesrvAddress: broker.namesrvAddress })
  producer.start()
  const points: Point[] = []
  const measure = async (x: number, topics: readonly string[], isLast: boolean): Promise<void> => {
    // A broker that ages has no pause.
    const settleMs = sweep === 'age' ? 0 : SETTLE_MS
    const warmups = points.length === 0 ? FIRST_WARMUPS : 1
    const wish = { ...options, x, topics, pid: broker.pid, producer, warmups, settleMs }
    const point = await measurePoint(wish)
    points.push(point)
    told(point)
    if (options.profile !== undefined && (points.length === 1 || isLast)) {
      const profiled = broker.profile(PROFILE_SECONDS, `${options.profile}/${sweep}-${x}.cpuprofile`)
      await measurePoint({ ...wish, settleMs: 0 })
      await profiled
    }
  }
  try {
    await STEPS[sweep]({ options, growing, measure, producer })
  } finally {
    await producer.close()
    growing.close()
    await broker.stop()
  }
  return points
}

interface Bench {
  readonly options: SweepOptions
  readonly growing: Growing
  readonly producer: Producer
  readonly measure: (x: number, topics: readonly string[], isLast: boolean) => Promise<void>
}

const STEPS: Readonly<Record<Sweep, (bench: Bench) => Promise<void>>> = {
  topics: (bench) => growTopics(bench, (topics) => topics),
  bystanders: (bench) => growTopics(bench, (topics) => topics.slice(0, 1)),

  async queues({ options, growing, measure }) {
    for (const [x, isLast] of upTo(options, [10, 100, 1_000, 10_000])) {
      // A producer sees more queues of a topic only when it asks for the route again: new topics for each step.
      const topics = names(`Queues${x}-`, 0, 10)
      await growing.createTopics(topics, x / 10)
      await measure(x, topics, isLast)
    }
  },

  async groups({ options, growing, measure }) {
    const topics = ['Groups']
    await growing.createTopics(topics, 8)
    let before = 0
    for (const [x, isLast] of upTo(options, [10, 100, 1_000, 10_000])) {
      await growing.commitOffsets(names('group-', before, x), 'Groups', 8)
      before = x
      await measure(x, topics, isLast)
    }
  },

  async connections({ options, growing, measure }) {
    const topics = ['Connections']
    await growing.createTopics(topics, 8)
    for (const [x, isLast] of upTo(options, [10, 100, 1_000, 5_000])) {
      await growing.connect(x)
      await measure(x, topics, isLast)
    }
  },

  async log({ options, growing, measure, producer }) {
    const topics = ['Log']
    await growing.createTopics(topics, 8)
    let bytes = 0
    for (const [x, isLast] of upTo(options, options.logGigabytes)) {
      bytes += await fill(producer, x * GIBIBYTE - bytes, options.size)
      await measure(x, topics, isLast)
      bytes += (options.rounds + 1) * options.messages * options.size
    }
  },

  async age({ options, growing, measure }) {
    const topics = ['Age']
    await growing.createTopics(topics, 8)
    const begun = performance.now()
    const minutes = (): number => (performance.now() - begun) / 60_000
    // Each point takes its own time; the load never stops.
    for (let isLast = false; !isLast;) {
      isLast = minutes() >= options.ageMinutes
      await measure(Number(minutes().toFixed(1)), topics, isLast)
    }
  },
}

async function growTopics(bench: Bench, used: (topics: string[]) => string[]): Promise<void> {
  let topics: string[] = []
  for (const [x, isLast] of upTo(bench.options, [10, 100, 1_000, 10_000])) {
    const more = names('Topic', topics.length, x)
    await bench.growing.createTopics(more, 1)
    topics = [...topics, ...more]
    await bench.measure(x, used(topics), isLast)
  }
}

const FILL_BATCH = 32
const FILL_AT_ONCE = 8

/** @returns bytes of bodies that were sent. */
async function fill(producer: Producer, bytes: number, size: number): Promise<number> {
  const batch = Array.from({ length: FILL_BATCH }, () => ({ topic: 'Log', body: Buffer.alloc(size, 'x') }))
  const batches = Math.max(0, Math.ceil(bytes / (FILL_BATCH * size)))
  let left = batches
  const worker = async (): Promise<void> => {
    while (left-- > 0) await producer.sendBatch(batch)
  }
  await Promise.all(Array.from({ length: FILL_AT_ONCE }, worker))
  return batches * FILL_BATCH * size
}

/** Each step, and whether it is the last. */
function upTo({ max }: SweepOptions, steps: readonly number[]): [number, boolean][] {
  const kept = steps.filter((step) => step <= max)
  return kept.map((step, i) => [step, i === kept.length - 1])
}

function names(prefix: string, from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `${prefix}${from + i}`)
}
