/** A message as a listener gets it. What only few listeners ask for is made when it is asked for. */
import {
  decodeProperties,
  getProperty,
  isRetryTopic,
  type MessageRecord,
  MessageSysFlag,
  offsetMsgId,
  compressionBits,
  compressionOf,
  PropertyName,
} from '@dledger-ts/protocol'
import { inflateSync } from 'node:zlib'
import { ClientError } from '../errors.ts'

/** A body that grows beyond this is not decompressed. */
const INFLATED_BYTES_MAX = 64 * 1024 * 1024

export class ReceivedMessage {
  readonly brokerName: string
  readonly #record: MessageRecord
  #body: Buffer | null = null
  #properties: ReadonlyMap<string, string> | null = null

  constructor(brokerName: string, record: MessageRecord) {
    this.brokerName = brokerName
    this.#record = record
  }

  /** The topic it was sent to; for a message that was sent back, not the retry topic. */
  get topic(): string {
    const { topic } = this.#record
    return isRetryTopic(topic) ? (this.property(PropertyName.RETRY_TOPIC) ?? topic) : topic
  }

  get queueId(): number {
    return this.#record.queueId
  }

  get queueOffset(): number {
    return this.#record.queueOffset
  }

  get physicalOffset(): number {
    return this.#record.physicalOffset
  }

  /** The producer's id; the broker's where the producer gave none. */
  get msgId(): string {
    return this.property(PropertyName.UNIQ_KEY) ?? this.offsetMsgId
  }

  get offsetMsgId(): string {
    return offsetMsgId(this.#record.storeHost, this.#record.physicalOffset)
  }

  get tags(): string | undefined {
    return this.property(PropertyName.TAGS)
  }

  get keys(): string | undefined {
    return this.property(PropertyName.KEYS)
  }

  /** How often it was delivered to this group before. */
  get reconsumeTimes(): number {
    return this.#record.reconsumeTimes
  }

  get bornTimestamp(): number {
    return this.#record.bornTimestamp
  }

  get storeTimestamp(): number {
    return this.#record.storeTimestamp
  }

  get flag(): number {
    return this.#record.flag
  }

  property(name: string): string | undefined {
    return getProperty(this.#record.properties, name)
  }

  get properties(): ReadonlyMap<string, string> {
    return (this.#properties ??= decodeProperties(this.#record.properties))
  }

  /** Decompressed where the producer compressed it. @throws ClientError `INVALID` when it cannot be. */
  get body(): Buffer {
    return (this.#body ??= this.#readBody())
  }

  /** @internal As its producer sent it, with the bits of a sysFlag that say how it is compressed. */
  get sentBody(): { readonly body: Buffer; readonly sysFlag: number } {
    return { body: this.#record.body, sysFlag: compressionBits(this.#record.sysFlag) }
  }

  /** Bytes it holds in the consumer's cache. */
  get cachedBytes(): number {
    return this.#record.totalSize
  }

  #readBody(): Buffer {
    const { body, sysFlag } = this.#record
    if ((sysFlag & MessageSysFlag.COMPRESSED) === 0) return body
    const kind = compressionOf(sysFlag)
    try {
      if (kind === 'zlib') return inflateSync(body, { maxOutputLength: INFLATED_BYTES_MAX })
    } catch (error) {
      const what = `the body of ${this.offsetMsgId} is no ${kind} data of at most ${INFLATED_BYTES_MAX} bytes`
      throw new ClientError(what, { code: 'INVALID', what }, { cause: error })
    }
    const what = `the body of ${this.offsetMsgId} is compressed by ${kind}, which is not supported`
    throw new ClientError(what, { code: 'INVALID', what })
  }
}
