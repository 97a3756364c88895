/** What was measured, as it came: one object for each system, workload, client and round. Medians and spreads of them. */

/** CPU is in µs for each acknowledged message; a core is 100 %. */
export type Metric =
  | 'messagesPerSecond'
  | 'serverMicros'
  | 'clientMicros'
  | 'p50Ms'
  | 'p99Ms'
  | 'p999Ms'
  | 'failed'
  | 'otherCores'
  | 'firstAckMs'
  | 'idlePercent'
  | 'privateMiB'
  | 'gapMs'
  | 'megabytesPerSecond'

export type Figures = Partial<Record<Metric, number>>

export interface Measurement {
  readonly round: number
  readonly system: string
  readonly workload: string
  /** null where no client has to do with it. */
  readonly client: string | null
  readonly at: string
  readonly figures: Figures
  /** Why there are no figures, or why some sends failed. */
  readonly failure?: string
}

export interface Key {
  readonly system: string
  readonly workload: string
  readonly client: string | null
}

export interface Summary {
  readonly median: number
  readonly least: number
  readonly most: number
  readonly count: number
}

export function summary(all: readonly Measurement[], key: Key, metric: Metric): Summary | null {
  const values = all.flatMap((one) => {
    if (one.system !== key.system || one.workload !== key.workload || one.client !== key.client) return []
    const value = one.figures[metric]
    return value === undefined ? [] : [value]
  })
  if (values.length === 0) return null
  values.sort((a, b) => a - b)
  const middle = Math.floor(values.length / 2)
  const upper = values[middle] as number
  const median = values.length % 2 === 1 ? upper : (upper + (values[middle - 1] as number)) / 2
  return { median, least: values[0] as number, most: values.at(-1) as number, count: values.length }
}
