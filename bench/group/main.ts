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
import { Producer } from '@dledger-ts/client'
import { Option } from 'commander'
import { flushOption, measurement, wholeNumber, wholeNumbers } from '../options.ts'
import { cpuMicros, LaptopGroup, rssMiB } from './laptop-group.ts'
import { load, type Mode, MODES } from './load.ts'

const { seconds, warmup, size, mode, concurrency, flush, topic, namesrv, pids } = measurement(
  'bench:group',
  'A load on a three-node group that is started for it, or on one that runs.',
)
  .addOption(wholeNumber('--seconds <count>', 'how long it is measured', 10))
  .addOption(wholeNumber('--warmup <count>', 'seconds before that', 3, 0))
  .addOption(wholeNumber('--size <bytes>', 'size of a body', 1024))
  .addOption(new Option('--mode <mode>', 'sync, async, or batches of 32').choices(MODES).default('sync'))
  .addOption(wholeNumber('--concurrency <count>', 'senders, or sends in flight', 64))
  .addOption(flushOption())
  .option('--topic <name>', 'where messages go', 'BenchGroup')
  .option('--namesrv <address>', 'of a group that runs; none is started then')
  .addOption(wholeNumbers('--pids <pids>', 'processes of that group whose CPU and memory are told'))
  .parse()
  .opts<{
    seconds: number
    warmup: number
    size: number
    mode: Mode
    concurrency: number
    flush: string
    topic: string
    namesrv?: string
    pids?: number[]
  }>()

const group = namesrv === undefined ? new LaptopGroup(join(mkdtempSync(join(tmpdir(), 'bench-group-')), 'group')) : null
const namesrvAddress = namesrv ?? group?.namesrvAddress ?? ''
try {
  group?.run('start', '--fresh', '--flush', flush)
  const watched = pids ?? group?.pids() ?? []
  const producer = new Producer({ group: 'bench', namesrvAddress })
  producer.start()
  const message = { topic: topic, body: Buffer.alloc(size, 'x') }
  const until = (endMs: number) => () => performance.now() >= endMs
  const counts = { sent: 0, failed: 0 }
  const wish = { producer, mode, message, concurrency }
  await load({ ...wish, counts, record: () => {}, isOver: until(performance.now() + warmup * 1000) })

  const measured = { sent: 0, failed: 0 }
  // The histogram takes whole numbers: microseconds.
  const histogram = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 })
  const cpuBefore = watched.map(cpuMicros)
  const begun = performance.now()
  await load({
    ...wish,
    counts: measured,
    record: (ms) => histogram.record(Math.max(1, Math.round(ms * 1000))),
    isOver: until(begun + seconds * 1000),
  })
  const tookSeconds = (performance.now() - begun) / 1000
  const cpu = watched.map((pid, i) => cpuMicros(pid) - (cpuBefore[i] ?? 0)).reduce((sum, used) => sum + used, 0)
  const ms = (micros: number): number => Number((micros / 1000).toFixed(3))
  const result = {
    msgsPerSec: Math.round(measured.sent / tookSeconds),
    p50Ms: ms(histogram.percentile(50)),
    p99Ms: ms(histogram.percentile(99)),
    p999Ms: ms(histogram.percentile(99.9)),
    maxMs: ms(histogram.max),
    sent: measured.sent,
    failed: measured.failed,
    serverCpuUsPerMsg: watched.length === 0 ? null : Number((cpu / Math.max(1, measured.sent)).toFixed(1)),
    rssMiB: watched.map(rssMiB),
  }
  await producer.close()
  console.log(JSON.stringify(result))
} finally {
  group?.run('stop', '--clean')
}
