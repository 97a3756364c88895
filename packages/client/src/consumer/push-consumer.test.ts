/** Consumers that share queues, fall behind, fail, and outlive brokers. */
import { systemClock } from '@dledger-ts/base'
import { getEventListeners } from 'node:events'
import { deflateSync } from 'node:zlib'
import { decodeHeartbeat, RequestCode, ResponseCode } from '@dledger-ts/remoting'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ScriptedBroker, ScriptedCluster } from '../testing/scripted-cluster.ts'
import type { MessageListener } from './listener.ts'
import { PushConsumer, type PushConsumerOptions } from './push-consumer.ts'

let cluster: ScriptedCluster
let consumers: PushConsumer[]
beforeEach(async () => {
  cluster = new ScriptedCluster()
  consumers = []
  await cluster.start()
})
afterEach(async () => {
  await Promise.all(consumers.map((consumer) => consumer.close()))
  await cluster.close()
})

async function oneBroker(queues = 2): Promise<ScriptedBroker> {
  const broker = await cluster.addBroker('b')
  cluster.addTopic({ name: 'T', queues })
  cluster.addTopic({ name: '%RETRY%g', queues: 1 })
  cluster.setMembers('b', [broker])
  return broker
}

interface Consumed {
  readonly consumer: PushConsumer
  readonly texts: string[]
}

async function consume(options: Partial<PushConsumerOptions> = {}, expression = '*'): Promise<Consumed> {
  const texts: string[] = []
  const listener: MessageListener = (messages) => {
    for (const message of messages) texts.push(message.body.toString())
    cluster.look()
    return 'CONSUME_SUCCESS'
  }
  const from = { consumeFrom: { from: 'FIRST_OFFSET' } } as const
  const base = { group: 'g', namesrvAddress: cluster.namesrvAddress, listener, ...from }
  const consumer = new PushConsumer({ ...base, ...options })
  consumers.push(consumer)
  consumer.subscribe('T', expression)
  await consumer.start()
  return { consumer, texts }
}

const bodies = (count: number, name = 'm'): Buffer[] =>
  Array.from({ length: count }, (_, i) => Buffer.from(`${name}${i}`))

describe('a push consumer', () => {
  it('is handed what is there and what comes, in the order of each queue', async () => {
    const broker = await oneBroker(2)
    for (const [i, body] of bodies(100).entries()) broker.store({ topic: 'T', queueId: i % 2, body })
    const { texts } = await consume()
    await cluster.until(() => texts.length === 100)
    for (const body of bodies(10, 'later')) broker.store({ topic: 'T', body })
    await cluster.until(() => texts.length === 110)
    const numbers = texts.slice(0, 100).map((text) => Number(text.slice(1)))
    for (const rest of [0, 1]) {
      const ofQueue = numbers.filter((number) => number % 2 === rest)
      expect(ofQueue).toEqual([...ofQueue].sort((a, b) => a - b))
    }
    expect(texts.slice(100)).toEqual(bodies(10, 'later').map(String))
  })

  it('begins where its group stands, and stores where it stands when it closes', async () => {
    const broker = await oneBroker(1)
    for (const body of bodies(5)) broker.store({ topic: 'T', body })
    broker.offsets.set('g T 0', 3)
    const { consumer, texts } = await consume()
    await cluster.until(() => texts.length === 2)
    expect(texts).toEqual(['m3', 'm4'])
    await consumer.close()
    expect(broker.offsets.get('g T 0')).toBe(5)
    expect(broker.members.get('g')?.size).toBe(0)
  })

  it('does not count what the listener has not ended with', async () => {
    const broker = await oneBroker(1)
    for (const body of bodies(3)) broker.store({ topic: 'T', body })
    const begun: string[] = []
    let finish: () => void = () => {}
    const { consumer } = await consume({
      listener: ([message]) => {
        begun.push(String(message?.body))
        cluster.look()
        if (message?.body.toString() !== 'm1') return 'CONSUME_SUCCESS'
        return new Promise((resolve) => (finish = () => resolve('CONSUME_SUCCESS')))
      },
    })
    await cluster.until(() => begun.length === 3)
    expect(consumer.queues.find(({ topic }) => topic === 'T')).toMatchObject({ committableOffset: 1, nextOffset: 3 })
    const closed = consumer.close()
    finish()
    await closed
    expect(broker.offsets.get('g T 0')).toBe(3)
  })

  it('leaves its group though a call of its listener never ends, and stores what it consumed before', async () => {
    const broker = await oneBroker(1)
    for (const body of bodies(3)) broker.store({ topic: 'T', body })
    let begun = 0
    const { consumer } = await consume({
      closeWaitMs: 50,
      listener: ([message]) => {
        begun++
        cluster.look()
        return message?.body.toString() === 'm1' ? new Promise(() => {}) : 'CONSUME_SUCCESS'
      },
    })
    await cluster.until(() => begun === 3)
    await consumer.close()
    expect(broker.offsets.get('g T 0')).toBe(1)
    expect(broker.members.get('g')?.size).toBe(0)
  })

  it('stores offsets while it waits for its listener, and ends once for all who close it', async () => {
    const broker = await oneBroker(1)
    for (const body of bodies(3)) broker.store({ topic: 'T', body })
    const finish: (() => void)[] = []
    const { consumer } = await consume({
      // What is stored every 5 s is stored every 20 ms.
      clock: { ...systemClock, after: (ms, callback) => systemClock.after(ms === 5_000 ? 20 : ms, callback) },
      listener: () =>
        new Promise((resolve) => {
          finish.push(() => resolve('CONSUME_SUCCESS'))
          cluster.look()
        }),
    })
    await cluster.until(() => finish.length === 3)
    const ended: string[] = []
    const closing = [
      consumer.close().then(() => ended.push('first')),
      consumer.close().then(() => ended.push('second')),
    ]
    finish[0]?.()
    await cluster.until(() => broker.offsets.get('g T 0') === 1)
    expect(ended).toEqual([])
    for (const done of finish) done()
    await Promise.all(closing)
    expect(ended).toEqual(['first', 'second'])
    expect(broker.offsets.get('g T 0')).toBe(3)
  })

  it('waits for whatever its listener returns that can be waited for', async () => {
    const broker = await oneBroker(1)
    broker.store({ topic: 'T', body: Buffer.from('x') })
    let finish: (() => void) | null = null
    const { consumer } = await consume({
      listener: () => {
        const later = {
          // oxlint-disable-next-line unicorn/no-thenable -- as promises of libraries are, and those of other realms
          then: (done: (result: 'CONSUME_SUCCESS') => void) => {
            finish = () => done('CONSUME_SUCCESS')
            cluster.look()
          },
        }
        return later as unknown as Promise<'CONSUME_SUCCESS'>
      },
    })
    await cluster.until(() => finish !== null)
    const closed = consumer.close()
    finish!()
    await closed
    expect(broker.sentBack).toEqual([])
    expect(broker.offsets.get('g T 0')).toBe(1)
  })

  it('leaves nothing behind at the signal of its start', async () => {
    await oneBroker(1)
    const consumer = new PushConsumer({
      group: 'g',
      namesrvAddress: cluster.namesrvAddress,
      listener: () => 'CONSUME_SUCCESS',
    })
    consumers.push(consumer)
    consumer.subscribe('T')
    const { signal } = new AbortController()
    await consumer.start({ signal })
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('chooses by tag, again by the text where the broker has the hash only', async () => {
    const broker = await oneBroker(1)
    // Aa and BB have the same hash.
    for (const tag of ['Aa', 'BB', 'C', 'Aa'])
      broker.store({ topic: 'T', body: Buffer.from(tag), properties: `TAGS\x01${tag}\x02` })
    const { consumer, texts } = await consume({}, 'Aa || D')
    await cluster.until(() => texts.length === 2)
    expect(texts).toEqual(['Aa', 'Aa'])
    expect(consumer.queues.find(({ topic }) => topic === 'T')?.committableOffset).toBe(4)
  })

  it('shares the queues with others that come and go', async () => {
    const broker = await oneBroker(4)
    const first = await consume()
    expect(first.consumer.queues.filter(({ topic }) => topic === 'T')).toHaveLength(4)
    const second = await consume()
    const ofTopic = ({ consumer }: Consumed): number[] =>
      consumer.queues.flatMap(({ topic, queueId }) => (topic === 'T' ? [queueId] : []))
    await cluster.until(() => ofTopic(first).length === 2 && ofTopic(second).length === 2)
    expect([...ofTopic(first), ...ofTopic(second)].sort()).toEqual([0, 1, 2, 3])
    for (let queueId = 0; queueId < 4; queueId++)
      broker.store({ topic: 'T', queueId, body: Buffer.from(`q${queueId}`) })
    await cluster.until(() => first.texts.length + second.texts.length === 4)
    expect([...first.texts, ...second.texts].sort()).toEqual(['q0', 'q1', 'q2', 'q3'])
    await second.consumer.close()
    for (let queueId = 0; queueId < 4; queueId++)
      broker.store({ topic: 'T', queueId, body: Buffer.from(`r${queueId}`) })
    await cluster.until(() => first.texts.filter((text) => text.startsWith('r')).length === 4)
  })

  it.each([
    { name: 'says so', listener: (): never | 'RECONSUME_LATER' => 'RECONSUME_LATER' },
    {
      name: 'throws',
      listener: (): never => {
        throw new Error('no')
      },
    },
    { name: 'rejects', listener: () => Promise.reject(new Error('no')) },
  ])('sends a message back when its listener $name', async ({ listener }) => {
    const broker = await oneBroker(1)
    broker.store({ topic: 'T', body: Buffer.from('x'), properties: 'UNIQ_KEY\x01id1\x02' })
    const { consumer } = await consume({ listener, retryDelayLevel: 2, maxReconsumeTimes: 5 })
    await cluster.until(() => broker.sentBack.length === 1)
    expect(broker.sentBack).toEqual([
      {
        offset: 1_000,
        group: 'g',
        delayLevel: 2,
        originMsgId: 'id1',
        originTopic: 'T',
        unitMode: false,
        maxReconsumeTimes: 5,
        brokerName: 'b',
      },
    ])
    await consumer.close()
    expect(broker.offsets.get('g T 0')).toBe(1)
  })

  it('sends a message of the retry topic back to its broker, which need not have its first topic', async () => {
    const a = await cluster.addBroker('a')
    const b = await cluster.addBroker('b')
    cluster.setMembers('a', [a])
    cluster.setMembers('b', [b])
    cluster.addTopic({ name: 'T', queues: 1, brokers: ['a'] })
    cluster.addTopic({ name: '%RETRY%g', queues: 1 })
    b.store({ topic: '%RETRY%g', body: Buffer.from('x'), properties: 'RETRY_TOPIC\x01T\x02' })
    await consume({ listener: () => 'RECONSUME_LATER' })
    await cluster.until(() => b.sentBack.length === 1)
    expect(b.sentBack[0]).toMatchObject({ originTopic: 'T', brokerName: 'b' })
  })

  it('sends the message itself to the retry topic when the broker cannot find it any more', async () => {
    const broker = await oneBroker(1)
    broker.answerSendBack = () => ResponseCode.SYSTEM_ERROR
    broker.store({
      topic: 'T',
      body: Buffer.from('x'),
      properties: 'UNIQ_KEY\x01id1\x02TAGS\x01A\x02',
      reconsumeTimes: 2,
    })
    const texts: string[] = []
    await consume({
      listener: ([message]) => {
        texts.push(`${message?.topic} ${message?.msgId} ${message?.tags} ${message?.property('RETRY_TOPIC')}`)
        cluster.look()
        return texts.length === 1 ? 'RECONSUME_LATER' : 'CONSUME_SUCCESS'
      },
    })
    await cluster.until(() => texts.length === 2)
    expect(broker.sends[0]?.header).toMatchObject({ topic: '%RETRY%g', reconsumeTimes: 3, maxReconsumeTimes: 16 })
    expect(broker.sends[0]?.header.properties).toContain('DELAY\x015\x02')
    expect(texts).toEqual(['T id1 A undefined', 'T id1 A T'])
  })

  it.each([
    { how: 'zlib', sysFlag: 0x301, body: deflateSync(Buffer.alloc(20 * 1024 * 1024)) },
    { how: 'lz4, which is not read here', sysFlag: 0x101, body: Buffer.from('lz4') },
  ])('sends a message to the retry topic as it was compressed: $how', async ({ sysFlag, body }) => {
    const broker = await oneBroker(1)
    broker.answerSendBack = () => ResponseCode.SYSTEM_ERROR
    broker.store({ topic: 'T', body, sysFlag })
    let isFirst = true
    const { consumer } = await consume({
      listener: () => {
        const wasFirst = isFirst
        isFirst = false
        return wasFirst ? 'RECONSUME_LATER' : 'CONSUME_SUCCESS'
      },
    })
    await cluster.until(() => broker.sends.length === 1)
    expect(broker.sends[0]?.header).toMatchObject({ topic: '%RETRY%g', sysFlag })
    expect(broker.sends[0]?.body).toEqual(body)
    await consumer.close()
    expect(broker.offsets.get('g T 0')).toBe(1)
  })

  it('goes on with another leader when its own is gone, from where it stood', async () => {
    const old = await oneBroker(1)
    const { texts } = await consume()
    for (const body of bodies(3)) old.store({ topic: 'T', body })
    await cluster.until(() => texts.length === 3)
    const next = await cluster.addBroker('b')
    for (const body of bodies(5)) next.store({ topic: 'T', body })
    cluster.setMembers('b', [null, next])
    await old.kill()
    // A follower serves pulls while nobody leads.
    await cluster.until(() => texts.length === 5)
    cluster.setMembers('b', [next])
    next.store({ topic: 'T', body: Buffer.from('m5') })
    await cluster.until(() => texts.length === 6)
    expect(texts).toEqual(bodies(6).map(String))
    await cluster.until(() => next.members.get('g')?.size === 1)
  })

  it('stores where it stands by another member when it closes while nobody leads', async () => {
    const old = await oneBroker(1)
    const { consumer, texts } = await consume()
    for (const body of bodies(3)) old.store({ topic: 'T', body })
    await cluster.until(() => texts.length === 3)
    const next = await cluster.addBroker('b')
    cluster.setMembers('b', [null, next])
    await old.kill()
    await consumer.close()
    expect(next.offsets.get('g T 0')).toBe(3)
  })

  it('begins anew where the queue begins when its offset is gone', async () => {
    const broker = await oneBroker(1)
    for (const body of bodies(6)) broker.store({ topic: 'T', body })
    broker.trim('T', 0, 4)
    broker.offsets.set('g T 0', 1)
    const { consumer, texts } = await consume()
    await cluster.until(() => texts.length === 2)
    expect(texts).toEqual(['m4', 'm5'])
    await consumer.close()
    expect(broker.offsets.get('g T 0')).toBe(6)
  })

  it('pulls no more than it may keep, and goes on when there is room', async () => {
    const broker = await oneBroker(1)
    for (const body of bodies(50)) broker.store({ topic: 'T', body })
    let open: (() => void)[] = []
    let count = 0
    const { consumer } = await consume({
      cachedCountMax: 10,
      pullBatchMax: 5,
      concurrency: 100,
      listener: () =>
        new Promise((resolve) => {
          count++
          open.push(() => resolve('CONSUME_SUCCESS'))
          cluster.look()
        }),
    })
    await cluster.until(() => count === 10)
    expect(consumer.queues.find(({ topic }) => topic === 'T')?.nextOffset).toBe(10)
    while (count < 50) {
      const before = count
      for (const done of open.splice(0)) done()
      await cluster.until(() => count > before)
    }
    open.forEach((done) => done())
    open = []
  })

  it('gives its listener several messages of one queue at a time, and calls it no more often than it may', async () => {
    const broker = await oneBroker(1)
    for (const body of bodies(20)) broker.store({ topic: 'T', body })
    let running = 0
    let most = 0
    const sizes: number[] = []
    await consume({
      batchMax: 3,
      concurrency: 2,
      listener: async (messages) => {
        sizes.push(messages.length)
        most = Math.max(most, ++running)
        await Promise.resolve()
        running--
        cluster.look()
        return 'CONSUME_SUCCESS' as const
      },
    })
    await cluster.until(() => sizes.length === 7 && running === 0)
    expect([most, Math.max(...sizes), sizes.reduce((sum, size) => sum + size)]).toEqual([2, 3, 20])
  })

  it('reads bodies that a producer has compressed', async () => {
    const broker = await oneBroker(1)
    broker.store({ topic: 'T', body: deflateSync(Buffer.from('long text')), sysFlag: 0x301 })
    const { texts } = await consume()
    await cluster.until(() => texts.length === 1)
    expect(texts).toEqual(['long text'])
  })

  it('finds its queues when the topic comes to be later', async () => {
    const broker = await cluster.addBroker('b')
    cluster.setMembers('b', [broker])
    const { consumer, texts } = await consume()
    expect(consumer.queues).toEqual([])
    cluster.addTopic({ name: 'T', queues: 1 })
    broker.store({ topic: 'T', body: Buffer.from('x') })
    await cluster.until(() => texts.length === 1)
  })

  it('asks a broker that does not know it to know it once, not for each queue and refusal', async () => {
    const broker = await oneBroker(16)
    let pulls = 0
    broker.answerPull = () => {
      pulls++
      return ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
    }
    await consume()
    await cluster.until(() => pulls >= 80)
    expect(broker.heartbeats.length).toBeLessThanOrEqual(8)
  })

  it('says what it subscribes to soon after another heartbeat, too', async () => {
    const broker = await oneBroker(1)
    const { consumer } = await consume()
    const said = (): string[] => {
      const last = broker.requests.findLast(({ code }) => code === RequestCode.HEART_BEAT)
      const { consumerDataSet } = decodeHeartbeat(last?.bodyBytes ?? Buffer.alloc(0))
      return consumerDataSet.flatMap(({ subscriptionDataSet }) => subscriptionDataSet.map(({ subString }) => subString))
    }
    consumer.subscribe('T', 'red')
    await cluster.until(() => said().includes('red'))
    consumer.subscribe('T', 'green')
    await cluster.until(() => said().includes('green'))
  })

  it('does not rush a broker that refuses', async () => {
    const broker = await oneBroker(1)
    let pulls = 0
    broker.answerPull = () => {
      pulls++
      return pulls < 5 ? ResponseCode.NO_PERMISSION : ResponseCode.SUCCESS
    }
    broker.store({ topic: 'T', body: Buffer.from('x') })
    const begun = performance.now()
    const { texts } = await consume()
    await cluster.until(() => texts.length === 1)
    expect(performance.now() - begun).toBeGreaterThan(100)
  })
})
