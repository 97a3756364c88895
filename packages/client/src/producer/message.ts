/** A message as its producer makes it, and the property block that goes with it on the wire. Pure. */
import { encodeProperties, PROPERTIES_BYTES_MAX, PropertyName, textBytes, topicNameError } from '@dledger-ts/protocol'
import { check } from '../errors.ts'

export interface Message {
  readonly topic: string
  /** Not changed until the send has ended. */
  readonly body: Buffer
  /** One tag, by which consumers choose. */
  readonly tags?: string
  /** Keys by which the message can be found, separated by spaces. */
  readonly keys?: string
  /** 1 to 18 of the broker's delay levels: `1s 5s 10s 30s 1m …`. */
  readonly delayLevel?: number
  /** A number of the user's own. */
  readonly flag?: number
  readonly properties?: Readonly<Record<string, string>>
}

/** The largest body that brokers take unless configured otherwise. */
export const BODY_BYTES_MAX = 4 * 1024 * 1024

/** @throws ClientError `INVALID`. */
export function checkMessage(message: Message): void {
  const error = topicNameError(message.topic)
  check(error === undefined, error ?? '')
  check(Buffer.isBuffer(message.body), 'a body is a Buffer')
  const { length } = message.body
  check(length > 0 && length <= BODY_BYTES_MAX, `a body has 1 to ${BODY_BYTES_MAX} bytes, not ${length}`)
}

/**
 * Hot.
 *
 * @throws ProtocolError `BAD_TEXT` when a name or a value holds a separator.
 * @throws ClientError `INVALID` when they are more than any broker stores.
 */
export function messageProperties(message: Message, uniqKey: string): string {
  const pairs: (readonly [string, string | undefined])[] = [
    [PropertyName.UNIQ_KEY, uniqKey],
    [PropertyName.WAIT, 'true'],
    [PropertyName.TAGS, message.tags],
    [PropertyName.KEYS, message.keys],
  ]
  if (message.delayLevel !== undefined) pairs.push([PropertyName.DELAY, String(message.delayLevel)])
  const { properties } = message
  for (const name in properties) pairs.push([name, properties[name]])
  const text = encodeProperties(pairs)
  // A character has three bytes at most.
  if (text.length * 3 > PROPERTIES_BYTES_MAX) {
    const bytes = textBytes(text)
    check(bytes <= PROPERTIES_BYTES_MAX, `properties have at most ${PROPERTIES_BYTES_MAX} bytes, not ${bytes}`)
  }
  return text
}
