/** A few messages through the group, in at a producer and out at a push consumer: what `start` ends with. */
import { ClientError, type ClientOptions, Producer, PushConsumer, type SendResult } from '@dledger-ts/client'

const TOPIC = 'FastTry'
const BACK_WITHIN_MS = 15_000
const ROUTE_WITHIN_MS = 15_000
const LOOK_AGAIN_MS = 200
/** A group that has just been founded answers within this. */
const SEND_WITHIN_MS = 10_000

export interface RoundTrip {
  readonly sent: number
  readonly received: number
  readonly lines: readonly string[]
}

/** @param access credentials and TLS, for a group that asks who sends, or that takes nothing else. */
export async function roundTrip(
  namesrvAddress: string,
  count: number,
  access: Pick<ClientOptions, 'credentials' | 'tls'>,
): Promise<RoundTrip> {
  // Told apart from what earlier runs left in the topic.
  const run = `${process.pid}-${Date.now()}`
  const wanted = new Map<string, (line: string) => void>()
  const lines: string[] = []
  const arrivals: Promise<void>[] = []
  for (let i = 0; i < count; i++) {
    arrivals.push(
      new Promise((resolve) => {
        wanted.set(`${run}-${i}`, (line) => {
          lines.push(line)
          resolve()
        })
      }),
    )
  }

  const common = { namesrvAddress, ...access }
  const producer = new Producer({ group: 'fast_try_producer', ...common })
  const consumer = new PushConsumer({
    group: 'fast_try_consumer',
    ...common,
    consumeFrom: { from: 'FIRST_OFFSET' },
    listener: (messages) => {
      for (const message of messages) {
        const text = message.body.toString()
        wanted.get(text)?.(`received  ${text}  queue ${message.queueId} offset ${message.queueOffset}`)
      }
      return 'CONSUME_SUCCESS'
    },
  })
  consumer.subscribe(TOPIC, '*')
  try {
    producer.start()
    for (const text of wanted.keys()) {
      const result = await sent(producer, text)
      lines.push(`sent      ${text}  queue ${result.queue.queueId} offset ${result.queueOffset}`)
    }
    await consumer.start()
    await Promise.race([Promise.all(arrivals), new Promise((resolve) => setTimeout(resolve, BACK_WITHIN_MS).unref())])
  } finally {
    await Promise.all([producer.close(), consumer.close()])
  }
  return { sent: count, received: lines.filter((line) => line.startsWith('received')).length, lines }
}

/** A leader serves before the name server has heard of it. */
async function sent(producer: Producer, text: string): Promise<SendResult> {
  const deadlineMs = performance.now() + ROUTE_WITHIN_MS
  for (;;) {
    try {
      return await producer.send({ topic: TOPIC, body: Buffer.from(text) }, { timeoutMs: SEND_WITHIN_MS })
    } catch (error) {
      const hasNoRoute = error instanceof ClientError && error.detail.code === 'NO_ROUTE'
      if (!hasNoRoute || performance.now() > deadlineMs) throw error
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
    }
  }
}
