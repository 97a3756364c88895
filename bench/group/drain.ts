/** One push consumer that reads a topic from its beginning. */
import { PushConsumer } from '@dledger-ts/client'

const DRAINED_WITHIN_MS = 120_000
let groups = 0

/** Resolves when `count` messages were consumed. @throws Error when that takes too long. */
export async function drain(namesrvAddress: string, topic: string, count: number): Promise<void> {
  let left = count
  let done = (): void => {}
  const all = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${left} of ${count} messages did not come`)), DRAINED_WITHIN_MS)
    done = () => {
      clearTimeout(timer)
      resolve()
    }
  })
  const consumer = new PushConsumer({
    group: `bench-drain-${process.pid}-${groups++}`,
    namesrvAddress,
    consumeFrom: { from: 'FIRST_OFFSET' },
    batchMax: 32,
    listener: (messages) => {
      left -= messages.length
      if (left <= 0) done()
      return 'CONSUME_SUCCESS'
    },
  })
  consumer.subscribe(topic)
  try {
    await consumer.start()
    await all
  } finally {
    await consumer.close()
  }
}
