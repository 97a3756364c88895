/** Topics that a test has for itself, in a broker that several tests share. */
import type { TestClient } from './broker-fixture.ts'

export class OwnTopics {
  readonly #client: TestClient
  readonly #prefix: string
  #count = 0

  constructor(client: TestClient, prefix: string) {
    this.#client = client
    this.#prefix = prefix
  }

  /** A new topic with these messages in its queues in turn; each has tag TagA unless `tags` says otherwise. @returns its name. */
  async with(bodies: readonly string[], queues = 1, tags?: readonly string[]): Promise<string> {
    const topic = `${this.#prefix}${this.#count++}`
    const { code, remark } = await this.#client.createTopic(topic, { readQueueNums: queues, writeQueueNums: queues })
    if (code !== 0) throw new Error(`no topic: ${code} ${remark}`)
    for (const [i, body] of bodies.entries()) await this.send(topic, body, i % queues, tags?.[i])
    return topic
  }

  async send(topic: string, body: string, queueId = 0, tag = 'TagA'): Promise<void> {
    const fields = { b: topic, e: String(queueId), i: `TAGS\u0001${tag}\u0002` }
    const { code, remark } = await this.#client.send(body, fields)
    if (code !== 0) throw new Error(`not sent: ${code} ${remark}`)
  }
}
