/** A broker's `/metrics`: sums, gauges, and histograms in the text format of Prometheus. */
import { get } from 'node:http'

/** Over a connection of its own: one that was kept might just be closed by the broker. */
export function statusPage(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ port, path, host: '127.0.0.1', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () => resolve(text))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

export class MetricsPage {
  readonly #values = new Map<string, number>()

  private constructor(text: string) {
    for (const line of text.split('\n')) {
      const row = /^(\w+(?:\{[^}]*\})?) (\S+)$/.exec(line)
      if (row?.[1] !== undefined) this.#values.set(row[1], Number(row[2]))
    }
  }

  static async read(port: number): Promise<MetricsPage> {
    return new MetricsPage(await statusPage(port, '/metrics'))
  }

  /** @throws Error where there is none of this name, with its labels as they are printed. */
  value(name: string): number {
    const value = this.#values.get(name)
    if (value === undefined) throw new Error(`/metrics has no ${name}`)
    return value
  }

  /** Of all labels. */
  sum(name: string): number {
    let sum = 0
    for (const [at, value] of this.#values) if (at === name || at.startsWith(`${name}{`)) sum += value
    return sum
  }

  /** The upper end of the bucket that so many of the observations since `before` do not pass. */
  quantileSince(before: MetricsPage, histogram: string, share: number): number {
    const total = this.value(`${histogram}_count`) - before.value(`${histogram}_count`)
    for (const [at, value] of this.#values) {
      const bucket = at.startsWith(`${histogram}_bucket{`) ? /le="([^"]+)"/.exec(at) : null
      // Buckets stand in the order of their ends.
      if (bucket !== null && value - before.value(at) >= total * share)
        return Number(bucket[1] === '+Inf' ? Infinity : bucket[1])
    }
    return 0
  }
}
