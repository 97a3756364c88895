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
}

const SENDERS = 64
const FAILED_SHARE_MAX = 0.01

/** After a round that does not count. @throws Error where many sends fail. */
export async function measurePoint(wish: PointWish): Promise<Point> {
  await round(wish)
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
function send({ producer, topics, messages, size }: PointWish): Promise<void> {
  const body = Buffer.alloc(size, 'x')
  return new Promise((resolve, reject) => {
    let [begun, underWay, failed] = [0, 0, 0]
    let cause: Error | null = null
    const next = (): void => {
      if (begun < messages) {
        underWay++
        producer.sendAsync({ topic: topics[begun++ % topics.length] as string, body }, (error) => {
          underWay--
          if (error !== null) {
            failed++
            cause ??= error
          }
          next()
        })
      } else if (underWay === 0) {
        if (failed <= messages * FAILED_SHARE_MAX) resolve()
        else reject(new Error(`${failed} of ${messages} sends failed`, { cause }))
      }
    }
    for (let i = 0; i < SENDERS; i++) next()
  })
}
