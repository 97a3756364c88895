/** A producer against brokers that refuse, vanish and elect. */
import { getProperty, splitBatchBody } from '@dledger-ts/protocol'
import { isSignedWith, RequestCode, ResponseCode, signingKey } from '@dledger-ts/remoting'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ClientError } from '../errors.ts'
import { type ScriptedBroker, ScriptedCluster } from '../testing/scripted-cluster.ts'
import type { Message } from './message.ts'
import { Producer, type ProducerOptions } from './producer.ts'
import { selectByHash } from './queue-choice.ts'

let cluster: ScriptedCluster
let producers: Producer[]
beforeEach(async () => {
  cluster = new ScriptedCluster()
  producers = []
  await cluster.start()
})
afterEach(async () => {
  await Promise.all(producers.map((producer) => producer.close()))
  await cluster.close()
})

function startProducer(options: Partial<ProducerOptions> = {}): Producer {
  const producer = new Producer({ group: 'pg', namesrvAddress: cluster.namesrvAddress, ...options })
  producer.start()
  producers.push(producer)
  return producer
}

const message = (text: string, more: Partial<Message> = {}): Message => ({
  topic: 'T',
  body: Buffer.from(text),
  ...more,
})

async function oneGroup(queues = 4) {
  const a = await cluster.addBroker('b')
  const b = await cluster.addBroker('b')
  cluster.addTopic({ name: 'T', queues })
  cluster.setMembers('b', [a, b])
  return { a, b }
}

describe('a producer', () => {
  it('signs every request where it is given credentials', async () => {
    const { a } = await oneGroup(1)
    const credentials = { accessKey: 'shop', secretKey: 'the secret of shop' }
    const producer = startProducer({ credentials })
    await producer.send(message('hello'))
    producer.sendOneway(message('one-way'))
    await producer.send(message('after it'))
    await producer.close()
    const key = signingKey(credentials.secretKey)
    const codes = new Set(a.requests.map(({ code }) => code))
    expect(codes).toEqual(new Set([RequestCode.HEART_BEAT, RequestCode.SEND_MESSAGE_V2, RequestCode.UNREGISTER_CLIENT]))
    expect(a.sends).toHaveLength(3)
    expect(a.requests.filter((request) => !isSignedWith(request, key, []))).toEqual([])
    expect(a.requests.map(({ extFields }) => extFields?.['AccessKey'])).toEqual(a.requests.map(() => 'shop'))
  })

  it('is given a whole credential or none', () => {
    expect(() => startProducer({ credentials: { accessKey: 'shop', secretKey: '' } })).toThrow('secretKey')
  })

  it('sends what the Java client sends, letter for letter in the fixed fields', async () => {
    const { a } = await oneGroup(1)
    const producer = startProducer()
    const sent = message('hello', { tags: 'TagA', keys: 'k1', flag: 7, properties: { colour: 'red' } })
    const result = await producer.send(sent)
    const { header, code, body } = a.sends[0] as (typeof a.sends)[0]
    expect(code).toBe(RequestCode.SEND_MESSAGE_V2)
    expect(header).toEqual({
      producerGroup: 'pg',
      topic: 'T',
      defaultTopic: 'TBW102',
      defaultTopicQueueNums: 4,
      queueId: 0,
      sysFlag: 0,
      bornTimestamp: expect.any(Number) as number,
      flag: 7,
      properties: `UNIQ_KEY\x01${result.msgId}\x02WAIT\x01true\x02TAGS\x01TagA\x02KEYS\x01k1\x02colour\x01red\x02`,
      reconsumeTimes: 0,
      unitMode: false,
      maxReconsumeTimes: undefined,
      batch: false,
      brokerName: 'b',
    })
    expect(body.toString()).toBe('hello')
    expect(result).toEqual({
      status: 'SEND_OK',
      msgId: expect.stringMatching(/^[0-9A-F]{32}$/) as string,
      offsetMsgId: 'b-0-0',
      queue: { brokerName: 'b', queueId: 0, topic: 'T' },
      queueOffset: 0,
    })
  })

  it('takes the queues in turn', async () => {
    await oneGroup(4)
    const producer = startProducer()
    const queues: number[] = []
    for (let i = 0; i < 8; i++) queues.push((await producer.send(message(`${i}`))).queue.queueId)
    expect(queues.slice(0, 4).toSorted()).toEqual([0, 1, 2, 3])
    expect(queues.slice(4)).toEqual(queues.slice(0, 4))
  })

  it('keeps messages of one key in one queue', async () => {
    await oneGroup(4)
    const producer = startProducer()
    const queues = new Set<number>()
    for (let i = 0; i < 6; i++) {
      const result = await producer.send(message(`${i}`), { selector: selectByHash, key: 'order 17' })
      queues.add(result.queue.queueId)
    }
    expect(queues.size).toBe(1)
  })

  it('sends a batch as one request, each message with its own id', async () => {
    const { a } = await oneGroup(1)
    const producer = startProducer()
    const result = await producer.sendBatch([message('1', { tags: 'A' }), message('2')])
    const send = a.sends[0] as (typeof a.sends)[0]
    expect([send.code, send.header.batch]).toEqual([RequestCode.SEND_BATCH_MESSAGE, true])
    const inner = splitBatchBody(send.body)
    expect(inner.map(({ body }) => body.toString())).toEqual(['1', '2'])
    const ids = inner.map(({ properties }) => getProperty(properties, 'UNIQ_KEY'))
    expect(result.msgId).toBe(ids.join(','))
  })

  it('sends one-way, even when it has no route yet', async () => {
    const { a } = await oneGroup(1)
    const producer = startProducer()
    producer.sendOneway(message('1'))
    await cluster.until(() => a.sends.length === 1)
    producer.sendOneway(message('2'))
    await cluster.until(() => a.sends.length === 2)
  })

  it.each([1, 2, 14, 16, 17, 204, 205])(
    'tries another broker at once after code %d, with the same id',
    async (code) => {
      const a = await cluster.addBroker('a')
      const b = await cluster.addBroker('b')
      cluster.addTopic({ name: 'T', queues: 4 })
      cluster.setMembers('a', [a])
      cluster.setMembers('b', [b])
      let refusals = 0
      for (const broker of [a, b]) broker.answerSend = () => (refusals++ === 0 ? code : ResponseCode.SUCCESS)
      const producer = startProducer()
      await producer.send(message('x'))
      expect([a.sends.length, b.sends.length]).toEqual([1, 1])
      expect(a.sends[0]?.header.properties).toBe(b.sends[0]?.header.properties)
    },
  )

  it('sends again what a broker did not look at because it stops', async () => {
    const { a } = await oneGroup(1)
    a.answerSend = () => (a.sends.length <= 5 ? 1500 : ResponseCode.SUCCESS)
    await startProducer().send(message('x'))
    expect(a.sends).toHaveLength(6)
  })

  it.each([13, 29, 3, 26])('does not try again after code %d', async (code) => {
    const { a } = await oneGroup()
    a.answerSend = () => code
    const producer = startProducer()
    await expect(producer.send(message('x'))).rejects.toMatchObject({
      code: 'REFUSED',
      detail: { responseCode: code, remark: 'as the test wants it', address: a.address },
    })
    expect(a.sends).toHaveLength(1)
  })

  it('gives up after three attempts that count', async () => {
    const { a } = await oneGroup()
    a.answerSend = () => ResponseCode.SYSTEM_ERROR
    const producer = startProducer()
    await expect(producer.send(message('x'))).rejects.toMatchObject({ code: 'REFUSED' })
    expect(a.sends).toHaveLength(3)
  })

  it('goes on asking while nobody leads, until the time is over', async () => {
    const { a } = await oneGroup()
    a.answerSend = () => ResponseCode.SERVICE_NOT_AVAILABLE
    const producer = startProducer()
    await expect(producer.send(message('x'), { timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(a.sends.length).toBeGreaterThan(3)
    expect(a.sends.length).toBeLessThanOrEqual(21)
  })

  it('asks each of several brokers once for each route while none of them leads', async () => {
    const brokers = await Promise.all(['a', 'b', 'c'].map((name) => cluster.addBroker(name)))
    cluster.addTopic({ name: 'T', queues: 4 })
    for (const broker of brokers) {
      cluster.setMembers(broker.name, [broker])
      broker.answerSend = () => ResponseCode.SERVICE_NOT_AVAILABLE
    }
    const sent = startProducer().send(message('x'), { timeoutMs: 500 })
    await expect(sent).rejects.toMatchObject({ code: 'TIMEOUT' })
    const attempts = brokers.map(({ sends }) => sends.length)
    expect(Math.min(...attempts)).toBeGreaterThan(1)
    expect(Math.max(...attempts)).toBeLessThanOrEqual(11)
  })

  it('fails in time where no address of several brokers can be dialed', async () => {
    const addresses = ['a', 'b'].map((name) => ({ name, address: `${name}:0` }) as ScriptedBroker)
    cluster.addTopic({ name: 'T', queues: 1 })
    for (const broker of addresses) cluster.setMembers(broker.name, [broker])
    const producer = startProducer()
    await expect(producer.send(message('x'), { timeoutMs: 200 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(producer.pendingCount).toBe(0)
  })

  it('finds the new leader as soon as the namesrv knows it', async () => {
    const { a, b } = await oneGroup()
    const producer = startProducer()
    await producer.send(message('before'))
    cluster.setMembers('b', [null, b])
    const before = cluster.routeRequests
    await a.kill()
    const sends = Array.from({ length: 50 }, (_, i) => producer.send(message(`${i}`)))
    await cluster.until(() => cluster.routeRequests >= before + 3)
    expect(producer.pendingCount).toBe(50)
    cluster.setMembers('b', [b])
    const results = await Promise.all(sends)
    expect(results.every(({ status }) => status === 'SEND_OK')).toBe(true)
    expect(b.sends).toHaveLength(50)
    // All wait together: the namesrv is not asked once for each.
    expect(cluster.routeRequests - before).toBeLessThan(30)
  })

  it('asks for the route as soon as a connection ends, even when nothing is sent', async () => {
    const { a, b } = await oneGroup()
    const producer = startProducer()
    await producer.send(message('x'))
    await cluster.until(() => a.heartbeats.length > 0)
    const before = cluster.routeRequests
    cluster.setMembers('b', [b])
    await a.kill()
    await cluster.until(() => cluster.routeRequests > before && b.heartbeats.length > 0)
  })

  it('sends again what was under way when a connection was lost', async () => {
    const { a, b } = await oneGroup()
    const producer = startProducer()
    a.answerSend = () => {
      cluster.setMembers('b', [b])
      return null
    }
    const result = await producer.send(message('x'))
    expect(result.offsetMsgId.startsWith('b-')).toBe(true)
    expect([a.sends.length, b.sends.length]).toEqual([1, 1])
    expect(a.sends[0]?.header.properties).toBe(b.sends[0]?.header.properties)
  })

  it('lets a selector keep its queue through a failover', async () => {
    const { a, b } = await oneGroup(8)
    const c = await cluster.addBroker('c')
    cluster.setMembers('c', [c])
    const producer = startProducer()
    const target = { selector: selectByHash, key: 'k3' }
    const first = await producer.send(message('1'), target)
    const isOfB = first.queue.brokerName === 'b'
    const name = isOfB ? 'b' : 'c'
    cluster.setMembers(name, [])
    await (isOfB ? a : c).kill()
    const second = producer.send(message('2'), target)
    const before = cluster.routeRequests
    await cluster.until(() => cluster.routeRequests > before + 1)
    cluster.setMembers(name, [b])
    expect((await second).queue).toEqual(first.queue)
  })

  it('sends a message of an unknown topic where the default topic is', async () => {
    const a = await cluster.addBroker('a')
    cluster.addTopic({ name: 'TBW102', queues: 8, perm: 7 })
    cluster.setMembers('a', [a])
    const producer = startProducer()
    const queues = new Set<number>()
    for (let i = 0; i < 8; i++)
      queues.add((await producer.send({ topic: 'New', body: Buffer.from('x') })).queue.queueId)
    expect([...queues].sort()).toEqual([0, 1, 2, 3])
    expect(a.sends[0]?.header).toMatchObject({ topic: 'New', defaultTopic: 'TBW102', defaultTopicQueueNums: 4 })
  })

  it('fails at once for a topic that nobody knows or would make', async () => {
    await oneGroup()
    const producer = startProducer()
    const unknown = producer.send({ topic: 'Unknown', body: Buffer.from('x') })
    await expect(unknown).rejects.toMatchObject({ code: 'NO_ROUTE', detail: { topic: 'Unknown' } })
  })

  it('asks the next namesrv when one is gone', async () => {
    await oneGroup()
    const namesrvAddress = `127.0.0.1:1;${cluster.namesrvAddress};127.0.0.1:2`
    const producer = startProducer({ namesrvAddress, random: { below: () => 0 } })
    await producer.send(message('x'))
  })

  it('says that no namesrv answers, naming them', async () => {
    const producer = startProducer({ namesrvAddress: '127.0.0.1:1;127.0.0.1:2' })
    await expect(producer.send(message('x'))).rejects.toMatchObject({
      code: 'NAMESRV_UNREACHABLE',
      detail: { addresses: ['127.0.0.1:1', '127.0.0.1:2'] },
    })
  })

  it('greets its brokers with a heartbeat, and takes leave', async () => {
    const { a, b } = await oneGroup()
    const producer = startProducer()
    await producer.send(message('x'))
    await cluster.until(() => a.heartbeats.length > 0)
    expect(a.heartbeats).toEqual([producer.clientId])
    expect(b.heartbeats).toEqual([])
  })

  it('refuses more sends than may wait, and counts those that have ended', async () => {
    await oneGroup()
    const producer = startProducer({ pendingMax: 2 })
    const outcomes = await Promise.allSettled([1, 2, 3].map((i) => producer.send(message(`${i}`))))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(outcomes[2]).toMatchObject({ reason: { code: 'BUSY', detail: { pendingMax: 2 } } })
    expect(producer.pendingCount).toBe(0)
    await producer.send(message('4'))
  })

  it('refuses more bytes than may wait, and loses no connection by them', async () => {
    const { a } = await oneGroup()
    const producer = startProducer({ sendTimeoutMs: 60_000 })
    await producer.send(message('x'))
    const body = Buffer.alloc(4 * 1024 * 1024)
    const outcomes = await Promise.allSettled(Array.from({ length: 80 }, () => producer.send(message('', { body }))))
    const reasons = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as ClientError] : [],
    )
    expect(new Set(reasons.map(({ code }) => code))).toEqual(new Set(['BUSY']))
    expect([a.sends.length, reasons.length]).toEqual([1 + 25, 55])
    await producer.send(message('y'))
  })

  it('refuses one-way messages while so much waits for their broker, and loses no connection by them', async () => {
    const { a } = await oneGroup()
    const producer = startProducer({ sendTimeoutMs: 60_000, pendingBytesMax: 1_000_000 })
    await producer.send(message('x'))
    const body = Buffer.alloc(300_000)
    const sent = producer.send(message('y'))
    for (let i = 0; i < 4; i++) producer.sendOneway(message('', { body }))
    expect(() => producer.sendOneway(message('', { body }))).toThrow(expect.objectContaining({ code: 'BUSY' }) as Error)
    await sent
    await cluster.until(() => a.sends.length === 6)
  })

  it.each([
    { name: 'the connection is lost', namesrvAddress: () => cluster.namesrvAddress },
    { name: 'no namesrv answers', namesrvAddress: () => '127.0.0.1:1' },
  ])('tells everybody that $name when a callback throws, and can be closed', async ({ namesrvAddress }) => {
    const { a } = await oneGroup()
    a.answerSend = () => null
    const producer = startProducer({ attemptsMax: 1, namesrvAddress: namesrvAddress() })
    const errors = await Promise.all(
      Array.from({ length: 3 }, () => {
        return new Promise<string | undefined>((resolve) => {
          producer.sendAsync(message('x'), (error) => {
            resolve(error?.code)
            throw new TypeError('a callback that looks at no error')
          })
        })
      }),
    )
    expect(errors).not.toContain(undefined)
    await producer.close()
    expect(producer.pendingCount).toBe(0)
  })

  it.each([
    {
      name: 'throws',
      selector: (): never => {
        throw new RangeError('no such queue')
      },
    },
    { name: 'returns nothing', selector: () => undefined as never },
  ])('fails a send whose selector $name, and no other', async ({ selector }) => {
    await oneGroup()
    const producer = startProducer()
    const send = () => Promise.allSettled([producer.send(message('x'), { selector }), producer.send(message('y'))])
    // Once when the route has to be fetched, and once when it is there.
    for (const outcomes of [await send(), await send()]) {
      expect(outcomes).toMatchObject([{ reason: { code: 'INVALID' } }, { value: { status: 'SEND_OK' } }])
    }
    await producer.close()
    expect(producer.pendingCount).toBe(0)
  })

  it.each([Number.POSITIVE_INFINITY, Number.NaN, 2 ** 31])('refuses to wait for %d ms', async (timeoutMs) => {
    await oneGroup()
    const producer = startProducer()
    await expect(producer.send(message('x'), { timeoutMs })).rejects.toMatchObject({ code: 'INVALID' })
  })

  it.each([
    { name: 'an empty body', wrong: message('') },
    { name: 'a topic with a space', wrong: message('x', { topic: 'a b' }) },
    { name: 'a separator in a property', wrong: message('x', { properties: { a: 'b\x02c' } }) },
    { name: 'more properties than are stored', wrong: message('x', { properties: { a: '\u20ac'.repeat(11_000) } }) },
    { name: 'a body that is a text', wrong: message('x', { body: 'x' as never }) },
  ])('refuses $name without asking anybody', async ({ wrong }) => {
    const producer = startProducer()
    await expect(producer.send(wrong)).rejects.toMatchObject({ code: 'INVALID' })
    expect(() => producer.sendOneway(wrong)).toThrow(expect.objectContaining({ code: 'INVALID' }) as Error)
    expect(cluster.routeRequests).toBe(0)
  })

  it('stops waiting when its signal is aborted', async () => {
    await oneGroup()
    cluster.setMembers('b', [])
    const producer = startProducer()
    const controller = new AbortController()
    const sent = producer.send(message('x'), { signal: controller.signal })
    await cluster.until(() => cluster.routeRequests > 0)
    controller.abort(new Error('enough'))
    await expect(sent).rejects.toThrow('enough')
    expect(producer.pendingCount).toBe(0)
  })

  it('lets sends under way end before it is closed, and takes no others', async () => {
    await oneGroup()
    const producer = startProducer()
    const sent = producer.send(message('x'))
    await producer.close()
    expect((await sent).status).toBe('SEND_OK')
    await expect(producer.send(message('y'))).rejects.toMatchObject({ code: 'CLOSED' })
  })
})
