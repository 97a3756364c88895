/** Milliseconds, and how many in a second one after the other. */
export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
}

export function percentiles(tookMs: number[]): Percentiles {
  let sum = 0
  for (const ms of tookMs) sum += ms
  tookMs.sort((a, b) => a - b)
  const at = (share: number): number => Number((tookMs[Math.floor(tookMs.length * share)] as number).toFixed(3))
  return { p50: at(0.5), p99: at(0.99), perSecond: Math.round((tookMs.length / sum) * 1_000) }
}
