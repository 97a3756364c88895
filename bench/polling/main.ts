/**
 * Long polling at scale: pulls that wait, what they cost while nothing comes, and how soon they are answered when something does.
 *
 *   npm run bench:polling -- --pulls 10000 --queues 10000 --connections 50 --seconds 8 --sends 500 --shared 1000
 *                            [--flush SYNC_FLUSH|ASYNC_FLUSH]
 *
 * A group of three brokers, without a name server. Figures are the leader's. The last line is one JSON object.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  CreateTopicRequest,
  createRequest,
  RemotingClient,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { percentiles } from '../log/percentiles.ts'
import { flushOption, measurement, wholeNumber } from '../options.ts'
import type { BrokerUsage } from './broker-process.ts'
import { MeasuredGroup } from './measured-group.ts'
import { type Queue, WaitingPulls } from './waiting-pulls.ts'

const QUEUES_PER_TOPIC = 1_000
const CALL_TIMEOUT_MS = 10_000
const SETTLE_MS = 2_000
const READ_AND_WRITE = 6

const options = measurement('bench:polling', 'Pulls that wait: what they cost, and how soon they are answered.')
  .addOption(wholeNumber('--pulls <count>', 'that wait', 10_000))
  .addOption(wholeNumber('--queues <count>', 'that they wait for', 10_000))
  .addOption(wholeNumber('--connections <count>', 'over which they come', 50))
  .addOption(wholeNumber('--seconds <count>', 'how long they are watched while nothing comes', 8))
  .addOption(wholeNumber('--sends <count>', 'one after the other, each answers a pull', 500))
  .addOption(wholeNumber('--shared <count>', 'pulls that wait for one queue', 1_000))
  .addOption(flushOption())
  .parse()
  .opts<{
    pulls: number
    queues: number
    connections: number
    seconds: number
    sends: number
    shared: number
    flush: string
  }>()

const group = await MeasuredGroup.start(options.flush)
try {
  const address = await group.leader()
  const admin = new RemotingClient()
  const topicCount = Math.ceil(options.queues / QUEUES_PER_TOPIC)
  for (let i = 0; i < topicCount; i++) await createTopic(admin, address, `Polling${i}`, QUEUES_PER_TOPIC)
  await createTopic(admin, address, 'Shared', 1)
  const pulls = new WaitingPulls(address, options.connections)
  /** Something of each connection, so that none is new when the measuring begins. */
  for (let i = 0; i < options.connections; i++) pulls.pull({ topic: 'Shared', queueId: 0 }, 0, () => {})
  await send(admin, address, { topic: 'Shared', queueId: 0 })
  await sleep(SETTLE_MS)

  const none = await watched()
  const before = await group.usage()
  const found = new Map<number, (atMs: number) => void>()
  const next: number[] = []
  const hold = (i: number): void => {
    pulls.pull(queueOf(i), next[i] ?? 0, (atMs, nextOffset) => {
      next[i] = nextOffset
      found.get(i)?.(atMs)
    })
  }
  for (let i = 0; i < options.pulls; i++) hold(i)
  await sleep(SETTLE_MS)
  const held = await group.usage()
  const waiting = await watched()

  const afterAckMs: number[] = []
  const afterSendMs: number[] = []
  const sendsBefore = await group.usage()
  for (let i = 0; i < options.sends; i++) {
    const which = (i * 7_919) % options.pulls
    const begunMs = performance.now()
    const answered = new Promise<number>((resolve) => found.set(which, resolve))
    await send(admin, address, queueOf(which))
    const ackMs = performance.now()
    const answeredMs = await answered
    afterAckMs.push(Math.max(0, answeredMs - ackMs))
    afterSendMs.push(answeredMs - begunMs)
    found.delete(which)
    hold(which)
  }
  const sendsAfter = await group.usage()
  if (pulls.empty > 0) console.error(`${pulls.empty} pulls came to their deadlines: fewer waited than were asked for`)

  const spreadMs: number[] = []
  const firstMs: number[] = []
  let offset = 1
  for (let round = 0; round < 10; round++) {
    const atMs: number[] = []
    const all = new Promise<void>((resolve) => {
      for (let i = 0; i < options.shared; i++) {
        pulls.pull({ topic: 'Shared', queueId: 0 }, offset, (ms) => {
          if (atMs.push(ms) === options.shared) resolve()
        })
      }
    })
    await sleep(500)
    await send(admin, address, { topic: 'Shared', queueId: 0 })
    const ackMs = performance.now()
    await all
    offset++
    firstMs.push(Math.max(0, (atMs[0] as number) - ackMs))
    spreadMs.push(Math.max(0, (atMs.at(-1) as number) - ackMs))
  }
  const shared = await group.usage()
  pulls.close()
  admin.close()
  console.log(
    JSON.stringify({
      idleCpuPercent: none,
      waitingCpuPercent: waiting,
      bytesPerPull: Math.round((held.liveBytes - before.liveBytes) / options.pulls),
      rssMiB: [before, held, shared].map(({ rssBytes }) => Math.round(rssBytes / 1024 / 1024)),
      answerAfterAckMs: withoutRate(afterAckMs),
      answerAfterSendMs: withoutRate(afterSendMs),
      cpuMicrosPerSend: Math.round((sendsAfter.cpuMicros - sendsBefore.cpuMicros) / options.sends),
      sharedFirstAfterAckMs: withoutRate(firstMs),
      sharedLastAfterAckMs: withoutRate(spreadMs),
      sharedStallMs: Math.round(shared.stallMs),
    }),
  )
} finally {
  await group.close()
}

function queueOf(i: number): Queue {
  const queue = i % options.queues
  return { topic: `Polling${Math.floor(queue / QUEUES_PER_TOPIC)}`, queueId: queue % QUEUES_PER_TOPIC }
}

/** @returns how much of a core the leader took while nothing came. */
async function watched(): Promise<number> {
  await group.usage()
  const from: BrokerUsage = await group.usage()
  const begunMs = performance.now()
  await sleep(options.seconds * 1_000)
  const to = await group.usage()
  return Number(((to.cpuMicros - from.cpuMicros) / (performance.now() - begunMs) / 10).toFixed(2))
}

function withoutRate(tookMs: number[]): { p50: number; p99: number } {
  const { p50, p99 } = percentiles(tookMs)
  return { p50, p99 }
}

async function createTopic(client: RemotingClient, address: string, topic: string, queues: number): Promise<void> {
  const request = CreateTopicRequest.request({
    topic,
    defaultTopic: 'TBW102',
    readQueueNums: queues,
    writeQueueNums: queues,
    perm: READ_AND_WRITE,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false,
    force: false,
  })
  await call(client, address, request)
}

async function send(client: RemotingClient, address: string, { topic, queueId }: Queue): Promise<void> {
  const fields = { a: 'bench', b: topic, c: 'TBW102', d: '4', e: String(queueId), f: '0', g: String(Date.now()) }
  const more = { h: '0', i: 'TAGS\u0001TagA\u0002', j: '0', k: 'false', m: 'false' }
  await call(
    client,
    address,
    createRequest(RequestCode.SEND_MESSAGE_V2, { ...fields, ...more }, Buffer.alloc(100, 'x')),
  )
}

async function call(client: RemotingClient, address: string, request: RemotingCommand): Promise<void> {
  const { code, remark } = await client.invoke(address, request, CALL_TIMEOUT_MS)
  if (code !== ResponseCode.SUCCESS) throw new Error(`${request.code} is answered ${code}: ${remark ?? ''}`)
}
