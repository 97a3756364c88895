/**
 * `duplicateSendWindowMs` on real processes: sends whose answers a proxy drops, repeated after the leader was killed and after all
 * members were, are answered with the places of the first ones, and nothing is stored twice.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { decodeRecords, encodeBatchBody, getProperty } from '@dledger-ts/protocol'
import { createRequest, type ExtFields, RemotingClient, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FastTry } from '../group/fast-try.ts'
import { pullFields } from '../group/pull-fields.ts'
import { until, untilTrue } from '../group/until.ts'

const TIMEOUT_MS = 180_000
const WAIT_MS = 60_000
const ANSWER_MS = 10_000
/** How long a client waits for an answer that does not come. */
const UNANSWERED_MS = 3_000
const COUNT = 20

let group: FastTry
let client: RemotingClient
const sockets = new Set<Socket>()
let proxy: Server

beforeAll(async () => {
  group = await FastTry.create({ conf: { duplicateSendWindowMs: '600000' } })
  client = new RemotingClient({ processors: new Map() })
  await group.start()
}, TIMEOUT_MS)

afterAll(async () => {
  client.close()
  for (const socket of sockets) socket.destroy()
  proxy.close()
  await group.close()
}, TIMEOUT_MS)

async function leaderAddress(not?: string): Promise<string> {
  await group.leader(not)
  return until('the leader says its address', WAIT_MS, async () => {
    const { brokers, leader } = await group.status()
    return brokers.find(({ id }) => id === leader)?.addr
  })
}

/** Passes on what goes to the broker, and nothing of what it answers. */
function answersDroppedBefore(address: string): Promise<string> {
  const [host = '', port = ''] = address.split(':')
  proxy = createServer((from) => {
    const to = connect({ host, port: Number(port) })
    for (const socket of [from, to]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
    }
    from.pipe(to)
    to.resume()
  })
  return new Promise((resolve) => {
    proxy.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${(proxy.address() as { port: number }).port}`))
  })
}

const fields = (topic: string, properties: string): ExtFields => ({
  a: 'pg',
  b: topic,
  c: 'TBW102',
  d: '1',
  e: '0',
  f: '0',
  g: '1700000000000',
  h: '0',
  i: properties,
  j: '0',
  k: 'false',
  m: 'false',
})

function sendOf(i: number): RemotingCommand {
  const request = fields('Once', `UNIQ_KEY\u0001id-${i}\u0002`)
  return createRequest(RequestCode.SEND_MESSAGE_V2, request, Buffer.from(`body ${i}`))
}

function batchOf(): RemotingCommand {
  const inner = [0, 1, 2].map((i) => ({
    flag: 0,
    body: Buffer.from('b'),
    properties: `UNIQ_KEY\u0001batch-${i}\u0002`,
  }))
  return createRequest(
    RequestCode.SEND_BATCH_MESSAGE,
    { ...fields('OnceBatch', ''), m: 'true' },
    encodeBatchBody(inner),
  )
}

async function maxOffset(address: string, topic: string): Promise<number> {
  const request = createRequest(RequestCode.GET_MAX_OFFSET, { topic, queueId: '0' })
  const answer = await client.invoke(address, request, ANSWER_MS)
  expect(answer.code).toBe(0)
  return Number(answer.extFields?.['offset'])
}

/** Every message is stored once, at the place that its repetition is told. */
async function expectAnsweredOnce(address: string): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: COUNT }, (_, i) => client.invoke(address, sendOf(i), ANSWER_MS)),
  )
  expect(answers.map(({ code, remark }) => [code, remark])).toEqual(answers.map(() => [0, undefined]))
  const pull = createRequest(RequestCode.PULL_MESSAGE, pullFields({ consumerGroup: 'g', topic: 'Once' }))
  const pulled = await client.invoke(address, pull, ANSWER_MS)
  const stored = decodeRecords(pulled.bodyBytes)
  expect(stored).toHaveLength(COUNT)
  answers.forEach(({ extFields }, i) => {
    const record = stored[Number(extFields?.['queueOffset'])]
    expect(getProperty(record?.properties ?? '', 'UNIQ_KEY')).toBe(`id-${i}`)
    expect(Number.parseInt(extFields?.['msgId']?.slice(16) ?? '', 16)).toBe(record?.physicalOffset)
  })
  const batch = await client.invoke(address, batchOf(), ANSWER_MS)
  expect(batch.code).toBe(0)
  expect(batch.extFields?.['queueOffset']).toBe('0')
  expect([await maxOffset(address, 'Once'), await maxOffset(address, 'OnceBatch')]).toEqual([COUNT, 3])
}

test(
  'sends whose answers were lost are recognised by the next leader, and after all members were killed',
  async () => {
    const first = await group.leader()
    const address = await leaderAddress()
    const deaf = await answersDroppedBefore(address)
    const sends = [...Array.from({ length: COUNT }, (_, i) => sendOf(i)), batchOf()]
    const unanswered = Promise.allSettled(sends.map((send) => client.invoke(deaf, send, UNANSWERED_MS)))
    await untilTrue('all are stored', WAIT_MS, async () => {
      return (await maxOffset(address, 'Once')) === COUNT && (await maxOffset(address, 'OnceBatch')) === 3
    })

    expect(await group.killLeader()).toBe(first)
    expect((await unanswered).map(({ status }) => status)).toEqual(sends.map(() => 'rejected'))
    const next = await leaderAddress(first)
    expect(next).not.toBe(address)
    await expectAnsweredOnce(next)

    // Nobody has it in memory any more: each member reads the end of its log.
    const { brokers } = await group.status()
    for (const { pid } of brokers) if (pid !== null) process.kill(pid, 'SIGKILL')
    await untilTrue('nobody runs', WAIT_MS, async () => (await group.status()).brokers.every(({ up }) => !up))
    await group.start()
    await expectAnsweredOnce(await leaderAddress())
  },
  TIMEOUT_MS,
)
