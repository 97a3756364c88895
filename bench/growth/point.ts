/** One point of a curve: what a message costs a broker as it stands now. */
import type { Producer } from '@dledger-ts/client'
import { rssMiB } from '../group/laptop-group.ts'
import { countedSince, readCounters } from '../group/process-counters.ts'

export interface Point {
  /** How much there is of what grows. */
  readonly x: number
  /** The median of the rounds, all threads of the broker. */
  readonly cpuMicros: number
  /** The best round, which noise spared most. */
  readonly cpuMicrosBest: number
  readonly perSecond: number
  readonly rssMiB: number
}

export interface PointWish {
  readonly x: number
  readonly pid: number
  readonly producer: Producer
  /** In turn. */
  readonly topics: readonly string[]
  readonly messages: number
  readonly rounds: number
  readonly size: number
  /** Rounds before, which do not count: the first point's are many, for a process that has compiled nothing yet. */
  readonly warmups: number
  /** Between those and the ones that count. */
  readonly settleMs: number
}

const SENDERS = 64
const FAILED_SHARE_MAX = 0.01

/** @throws Error where many sends fail. */
export async function measurePoint(wish: PointWish): Promise<Point> {
  // Each topic at least once.
  const messages = Math.max(wish.messages, wish.topics.length)
  for (let i = 0; i < wish.warmups; i++) await send({ ...wish, messages })
  await new Promise((resolve) => setTimeout(resolve, wish.settleMs))
  const rounds = []
  for (let i = 0; i < wish.rounds; i++) rounds.push(await round(wish))
  const cpu = rounds.map(({ cpuMicros }) => cpuMicros)
  return {
    x: wish.x,
    cpuMicros: Number(median(cpu).toFixed(1)),
    cpuMicrosBest: Number(Math.min(...cpu).toFixed(1)),
    perSecond: Math.round(median(rounds.map(({ perSecond }) => perSecond))),
    rssMiB: rssMiB(wish.pid),
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number
}

async function round(wish: PointWish): Promise<{ readonly cpuMicros: number; readonly perSecond: number }> {
  const before = readCounters(wish.pid)
  const begun = performance.now()
  await send(wish)
  const seconds = (performance.now() - begun) / 1_000
  const used = countedSince(before, readCounters(wish.pid))
  return {
    cpuMicros: (used.mainCpuMicros + used.otherCpuMicros) / wish.messages,
    perSecond: wish.messages / seconds,
  }
}

/** So many senders, each waiting for its answer, take the topics in turn. */
async function send({ producer, topics, messages, size }: PointWish): Promise<void> {
  const body = Buffer.alloc(size, 'x')
  let [begun, failed] = [0, 0]
  let cause: unknown = null
  const sender = async (): Promise<void> => {
    while (begun < messages) {
      try {
        await producer.send({ topic: topics[begun++ % topics.length] as string, body })
      } catch (error) {
        if (failed++ === 0) cause = error
      }
    }
  }
  await Promise.all(Array.from({ length: SENDERS }, sender))
  if (failed > messages * FAILED_SHARE_MAX) throw new Error(`${failed} of ${messages} sends failed`, { cause })
}
