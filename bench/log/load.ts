/** Appends to an embedded log, so many in flight, for so long. */
import type { DLedger } from '@dledger-ts/dledger'
import { percentiles } from './percentiles.ts'

export interface LoadWish {
  readonly inFlight: number
  readonly bytes: number
  readonly seconds: number
}

export interface LoadResult {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** CPU of this process for each append. */
  readonly cpuMicros: number
}

/** One latency in so many is kept. */
const SAMPLES = 4

export async function load(log: DLedger, { inFlight, bytes, seconds }: LoadWish): Promise<LoadResult> {
  await run(log, { inFlight, bytes, seconds: Math.min(1, seconds) })
  const cpu = process.cpuUsage()
  const begun = performance.now()
  const { count, took } = await run(log, { inFlight, bytes, seconds })
  const elapsed = (performance.now() - begun) / 1_000
  const used = process.cpuUsage(cpu)
  const { p50, p99 } = percentiles(took)
  return {
    perSecond: Math.round(count / elapsed),
    p50,
    p99,
    cpuMicros: Number(((used.user + used.system) / count).toFixed(1)),
  }
}

function run(log: DLedger, { inFlight, bytes, seconds }: LoadWish): Promise<{ count: number; took: number[] }> {
  const body = Buffer.alloc(bytes, 7)
  const until = performance.now() + seconds * 1_000
  const took: number[] = []
  let count = 0
  let underWay = 0
  return new Promise((resolve, reject) => {
    const one = (): void => {
      underWay++
      const begun = performance.now()
      log.propose({
        bodyBytes: bytes,
        encodeBody: (target, at) => void body.copy(target, at),
        committed: () => {
          const nowMs = performance.now()
          if (count++ % SAMPLES === 0) took.push(nowMs - begun)
          underWay--
          if (nowMs < until) one()
          else if (underWay === 0) resolve({ count, took })
        },
        failed: reject,
      })
    }
    for (let i = 0; i < inFlight; i++) one()
  })
}
