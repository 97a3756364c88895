/**
 * A load on a real three-node group, or on any RocketMQ-protocol namesrv.
 *
 *   npm run bench:group -- --seconds 10 --size 1024 --mode sync|async|batch --concurrency 64
 *                          [--namesrv ADDR [--pids PID,PID]] [--flush SYNC_FLUSH|ASYNC_FLUSH]
 *
 * sync: so many senders, each waiting for its answer. async: so many sends in flight. batch: so many senders of batches of 32.
 * Latencies are of one request. The last line is one JSON object.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHistogram } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { type Message, Producer } from '@dledger-ts/client'
import { cpuMicros, LaptopGroup, rssMiB } from './laptop-group.ts'

const BATCH_COUNT = 32
const MODES = ['sync', 'async', 'batch'] as const
type Mode = (typeof MODES)[number]

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '3' },
    size: { type: 'string', default: '1024' },
    mode: { type: 'string', default: 'sync' },
    concurrency: { type: 'string', default: '64' },
    namesrv: { type: 'string' },
    pids: { type: 'string' },
    flush: { type: 'string', default: 'SYNC_FLUSH' },
    topic: { type: 'string', default: 'BenchGroup' },
  },
})

function wholeNumber(name: 'seconds' | 'warmup' | 'size' | 'concurrency', min: number): number {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= min) return value
  console.error(`bench:group: --${name} ${values[name]}: allowed is a whole number from ${min}`)
  process.exit(1)
}

const seconds = wholeNumber('seconds', 1)
const warmup = wholeNumber('warmup', 0)
const size = wholeNumber('size', 1)
const concurrency = wholeNumber('concurrency', 1)
const mode = MODES.find((known) => known === values.mode)
if (mode === undefined) {
  console.error(`bench:group: --mode ${values.mode}: allowed are ${MODES.join(', ')}`)
  process.exit(1)
}

interface Counts {
  sent: number
  failed: number
}

/** Keeps `concurrency` requests under way until `isOver`; resolves when the last one has ended. */
function load(
  producer: Producer,
  how: Mode,
  message: Message,
  counts: Counts,
  record: (ms: number) => void,
  isOver: () => boolean,
): Promise<void> {
  const messages = Array.from({ length: BATCH_COUNT }, () => message)
  const perRequest = how === 'batch' ? BATCH_COUNT : 1
  return new Promise((resolve) => {
    let underWay = concurrency
    const next = (): void => {
      if (isOver()) {
        underWay--
        if (underWay === 0) resolve()
        return
      }
      const begun = performance.now()
      const ended = (error: Error | null): void => {
        record(performance.now() - begun)
        if (error === null) counts.sent += perRequest
        else counts.failed += perRequest
        next()
      }
      if (how === 'batch') producer.sendBatchAsync(messages, ended)
      else if (how === 'async') producer.sendAsync(message, ended)
      else
        producer.send(message).then(
          () => ended(null),
          (error: Error) => ended(error),
        )
    }
    for (let i = 0; i < concurrency; i++) next()
  })
}

const group =
  values.namesrv === undefined ? new LaptopGroup(join(mkdtempSync(join(tmpdir(), 'bench-group-')), 'group')) : null
const namesrvAddress = values.namesrv ?? group?.namesrvAddress ?? ''
try {
  group?.run('start', '--fresh', '--flush', values.flush)
  const pids = values.pids === undefined ? (group?.pids() ?? []) : values.pids.split(',').map(Number)
  const producer = new Producer({ group: 'bench', namesrvAddress })
  producer.start()
  const message = { topic: values.topic, body: Buffer.alloc(size, 'x') }
  const until = (endMs: number) => () => performance.now() >= endMs
  const counts = { sent: 0, failed: 0 }
  await load(producer, mode, message, counts, () => {}, until(performance.now() + warmup * 1000))

  const measured = { sent: 0, failed: 0 }
  // The histogram takes whole numbers: microseconds.
  const histogram = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 })
  const cpuBefore = pids.map(cpuMicros)
  const begun = performance.now()
  await load(
    producer,
    mode,
    message,
    measured,
    (ms) => histogram.record(Math.max(1, Math.round(ms * 1000))),
    until(begun + seconds * 1000),
  )
  const tookSeconds = (performance.now() - begun) / 1000
  const cpu = pids.map((pid, i) => cpuMicros(pid) - (cpuBefore[i] ?? 0)).reduce((sum, used) => sum + used, 0)
  const ms = (micros: number): number => Number((micros / 1000).toFixed(3))
  const result = {
    msgsPerSec: Math.round(measured.sent / tookSeconds),
    p50Ms: ms(histogram.percentile(50)),
    p99Ms: ms(histogram.percentile(99)),
    p999Ms: ms(histogram.percentile(99.9)),
    maxMs: ms(histogram.max),
    sent: measured.sent,
    failed: measured.failed,
    serverCpuUsPerMsg: pids.length === 0 ? null : Number((cpu / Math.max(1, measured.sent)).toFixed(1)),
    rssMiB: pids.map(rssMiB),
  }
  await producer.close()
  console.log(JSON.stringify(result))
} finally {
  group?.run('stop', '--clean')
}
