/**
 * Everything at once on a group of three processes: `npm run bench:mixed`.
 *
 * A backlog is written; then senders at a steady rate, a consumer of what they send, and readers of the backlog at all three members, while old
 * log files go (`retentionBytes`) and closed ones are read for damage. Told: latencies of sends and of tail reads, the longest stall of each
 * broker's event loop (as the broker tells it, the time it waited for a core not in it) and its share of garbage collection.
 *
 *   npm run bench:mixed -- --seconds 180 [--profile DIRECTORY]
 *
 * The last line is one JSON object.
 */
import { fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Producer } from '@dledger-ts/client'
import { type GroupStatus, LaptopGroup, unusedPorts } from '../group/laptop-group.ts'
import { loadOf } from '../group/load.ts'
import { statusPage } from '../group/metrics-page.ts'
import { probeEnvironment, profileTo, stallsSince } from '../group/probe-client.ts'
import type { Stall } from '../group/stall-log.ts'
import { answer } from '../log/processes.ts'
import { flushOption, measurement, wholeNumber } from '../options.ts'
import { StallWatch } from '../store/stalls.ts'
import { BrokerLoop, LONGEST_OF_MS } from './brokers.ts'
import type { ColdRead, ColdWish } from './cold-reader.ts'
import { Tail } from './tail.ts'

const MEBIBYTE = 2 ** 20
const BACKLOG_TOPIC = 'MixedBacklog'
/** Of a topic that a producer made. */
const BACKLOG_QUEUES = 4
const BACKLOG_IN_FLIGHT = 256
const TAIL_TOPIC = 'MixedTail'
const LOOK_EVERY_MS = 15_000

const options = measurement(
  'bench:mixed',
  'Senders, tail readers, readers of a backlog, retention and scrubbing at once.',
)
  .addOption(
    wholeNumber('--seconds <count>', 'how long it is measured, after a minute of warm-up; at least 60', 120, 60),
  )
  .addOption(wholeNumber('--per-second <count>', 'sends a second', 2_000))
  .addOption(wholeNumber('--size <bytes>', 'size of a body', 1_024))
  .addOption(wholeNumber('--backlog <MiB>', 'what is written before', 384))
  .addOption(wholeNumber('--retain <MiB>', 'log files beyond this go', 320))
  .addOption(wholeNumber('--file <MiB>', 'size of a log file', 32))
  .addOption(wholeNumber('--scrub <MiB>', 'read a second for damage', 4, 0))
  .addOption(wholeNumber('--readers <count>', 'of the backlog', 3, 0))
  .addOption(flushOption())
  .option('--profile <directory>', 'CPU profiles of half a minute; that they begin is a long stall by itself')
  .parse()
  .opts<{
    seconds: number
    perSecond: number
    size: number
    backlog: number
    retain: number
    file: number
    scrub: number
    readers: number
    flush: string
    profile?: string
  }>()

const parent = mkdtempSync(join(tmpdir(), 'bench-mixed-'))
const probes = join(parent, 'p')
mkdirSync(probes)
const conf = join(parent, 'extra.conf')
writeFileSync(
  conf,
  `mappedFileSizeCommitLog=${options.file * MEBIBYTE}
retentionBytes=${options.retain * MEBIBYTE}
scrubBytesPerSecond=${options.scrub * MEBIBYTE}
`,
)
const ports = await unusedPorts()
const group = new LaptopGroup(join(parent, 'group'), ports, { ...probeEnvironment(probes), FAST_TRY_CONF: conf })
try {
  group.run('start', '--fresh', '--flush', options.flush)
  await writeBacklog()
  const firstIndexes = await firstIndexOfEach()
  const result = await measure(group.status().brokers)
  const deleted = (await firstIndexOfEach()).map((index, i) => index - (firstIndexes[i] ?? 0))
  console.table(result.brokers)
  console.log('the longest stalls, and what they went to, ms:')
  console.table(
    Object.entries(result.stalls).flatMap(([id, all]) => (all ?? []).slice(0, 4).map((one) => ({ id, ...one }))),
  )
  console.table({ 'send, ms': result.tail.send, 'tail read, ms': result.tail.read })
  console.log(
    `${result.tail.sent} sent, ${result.tail.failed} failed; of the backlog ${result.coldPerSecond} messages and ${result.coldMiBPerSecond} MiB a second; entries that retention removed: ${deleted.join(', ')}`,
  )
  console.log(
    `the load's own process: longest stall ${result.client.stallMs} ms, no core for ${result.client.starvedPercent} % of the time`,
  )
  console.log(JSON.stringify({ options, node: process.version, date: new Date().toISOString(), ...result, deleted }))
} finally {
  group.run('stop', '--clean')
  rmSync(parent, { recursive: true, force: true })
}

async function writeBacklog(): Promise<void> {
  const producer = new Producer({ group: 'bench-backlog', namesrvAddress: group.namesrvAddress })
  producer.start()
  const counts = { sent: 0, failed: 0 }
  const message = { topic: BACKLOG_TOPIC, body: Buffer.alloc(options.size, 'x') }
  const count = Math.ceil((options.backlog * MEBIBYTE) / options.size)
  await loadOf(count, { producer, mode: 'async', message, concurrency: BACKLOG_IN_FLIGHT, counts, record: () => {} })
  await producer.close()
  if (counts.failed > count / 100) throw new Error(`${counts.failed} of ${count} messages of the backlog failed`)
}

type Broker = GroupStatus['brokers'][number]

async function measure(brokers: readonly Broker[]) {
  const wish: ColdWish = {
    addresses: ports.broker.map((port) => `127.0.0.1:${port}`),
    readers: options.readers,
    topic: BACKLOG_TOPIC,
    queues: BACKLOG_QUEUES,
  }
  const cold = fork(fileURLToPath(new URL('./cold-reader.js', import.meta.url)), [JSON.stringify(wish)])
  cold.on('error', (error) => console.error(error))
  const coldRead = (): Promise<ColdRead> => {
    const asked = answer<ColdRead>(cold, 'read')
    cold.send('tell')
    return asked
  }
  const { namesrvAddress } = group
  const tail = new Tail({ namesrvAddress, topic: TAIL_TOPIC, perSecond: options.perSecond, size: options.size })
  const client = new StallWatch()
  await tail.start()
  await pause(LONGEST_OF_MS)

  const leader = await leaderNow()
  client.take()
  tail.take()
  await stallsOf(brokers)
  const coldBefore = await coldRead()
  const loops = await Promise.all(ports.metrics.map((port) => BrokerLoop.watch(port)))
  const begun = performance.now()
  const profiles = profileAll(
    brokers.map(({ id, pid }) => ({ name: `${id}-${id === leader ? 'leader' : 'follower'}`, pid })),
  )
  for (;;) {
    const leftMs = options.seconds * 1_000 - (performance.now() - begun)
    await pause(Math.min(LOOK_EVERY_MS, Math.max(0, leftMs)))
    const isLast = leftMs <= LOOK_EVERY_MS
    // What a broker tells before is of the warm-up, too.
    if (isLast || performance.now() - begun >= LONGEST_OF_MS) await Promise.all(loops.map((loop) => loop.look()))
    if (isLast) break
  }
  const took = (performance.now() - begun) / 1_000
  const [tailResult, clientResult, coldAfter] = [tail.take(), client.take(), await coldRead()]
  const stalls = await stallsOf(brokers)
  await profiles
  await tail.close()
  cold.disconnect()
  if ((await leaderNow()) !== leader) console.log('the leader changed meanwhile')
  return {
    brokers: Object.fromEntries(
      brokers.map(({ id }, i) => [`${id}, ${id === leader ? 'leader' : 'follower'}`, loops[i]?.result()]),
    ),
    stalls: Object.fromEntries(brokers.map(({ id }, i) => [id, stalls[i]])),
    tail: tailResult,
    client: clientResult,
    coldPerSecond: Math.round((coldAfter.messages - coldBefore.messages) / took),
    coldMiBPerSecond: Number(((coldAfter.bytes - coldBefore.bytes) / MEBIBYTE / took).toFixed(1)),
    coldRefused: coldAfter.refused - coldBefore.refused,
  }
}

function stallsOf(brokers: readonly Broker[]): Promise<Stall[][]> {
  return Promise.all(brokers.map(({ pid }) => stallsSince(probes, pid ?? 0)))
}

async function profileAll(brokers: readonly { readonly name: string; readonly pid: number | null }[]): Promise<void> {
  const { profile } = options
  if (profile === undefined) return
  mkdirSync(profile, { recursive: true })
  await Promise.all(
    brokers.map(({ name, pid }) => profileTo(probes, pid ?? 0, 30, join(profile, `${name}.cpuprofile`))),
  )
}

async function firstIndexOfEach(): Promise<number[]> {
  return (await statuses()).map(({ firstIndex }) => firstIndex)
}

/** Not by a command that this process would wait for: the sends would wait, too. */
async function leaderNow(): Promise<string | undefined> {
  return (await statuses()).find(({ role }) => role === 'LEADER')?.id
}

interface Status {
  readonly id: string
  readonly role: string | null
  readonly firstIndex: number
}

function statuses(): Promise<Status[]> {
  return Promise.all(ports.metrics.map(async (port) => JSON.parse(await statusPage(port, '/status')) as Status))
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
