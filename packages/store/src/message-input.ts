/** A message as a program writes it down, made into all the fields of a record. */
import { encodeProperties, type HostAddress, PropertyName } from '@dledger-ts/protocol'
import type { NewMessage } from './api.ts'
import { StoreError } from './errors.ts'

/** A message to store: topic and body, and what else is wanted. A whole `NewMessage` is one, too. */
export interface MessageInput extends Partial<Omit<NewMessage, 'topic' | 'body' | 'properties'>> {
  readonly topic: string
  /** Copied into the log before the put is answered; do not change it until then. */
  readonly body: Buffer
  /** Default 0. */
  readonly queueId?: number
  /** By name, or the property block of a record. */
  readonly properties?: Readonly<Record<string, string>> | string
  /** Property TAGS: by it readers choose. */
  readonly tag?: string
  /** Property KEYS: by each of them `query` finds the message. A key has no spaces. */
  readonly keys?: readonly string[]
  /** Property UNIQ_KEY: by it a repeated send is recognised, and `messageByUniqueId` finds the message. */
  readonly uniqueId?: string
  /** Property DELAY: waits in this delay level, from 1. */
  readonly delayLevel?: number
}

export interface MessageDefaults {
  readonly nowMs: number
  readonly host: HostAddress
}

const KEY_SEPARATOR = ' '

/** @throws ProtocolError BAD_TEXT for a property that holds a separator, StoreError INVALID for a key with a space. */
export function messageOf(input: MessageInput, { nowMs, host }: MessageDefaults): NewMessage {
  return {
    topic: input.topic,
    queueId: input.queueId ?? 0,
    flag: input.flag ?? 0,
    sysFlag: input.sysFlag ?? 0,
    bornTimestamp: input.bornTimestamp ?? nowMs,
    bornHost: input.bornHost ?? host,
    storeHost: input.storeHost ?? host,
    reconsumeTimes: input.reconsumeTimes ?? 0,
    preparedTransactionOffset: input.preparedTransactionOffset ?? 0,
    body: input.body,
    properties: propertiesOf(input),
  }
}

function propertiesOf({ properties, tag, keys, uniqueId, delayLevel }: MessageInput): string {
  const named = encodeProperties([
    [PropertyName.TAGS, tag],
    [PropertyName.KEYS, keys === undefined || keys.length === 0 ? undefined : keys.map(wholeKey).join(KEY_SEPARATOR)],
    [PropertyName.UNIQ_KEY, uniqueId],
    [PropertyName.DELAY, delayLevel === undefined ? undefined : String(delayLevel)],
  ])
  if (properties === undefined) return named
  // The last of equal names counts.
  return (typeof properties === 'string' ? closed(properties) : encodeProperties(Object.entries(properties))) + named
}

function closed(block: string): string {
  return block === '' || block.endsWith('\x02') ? block : `${block}\x02`
}

function wholeKey(key: string): string {
  if (key !== '' && !key.includes(KEY_SEPARATOR)) return key
  const what = `a key is a text without spaces, not ${JSON.stringify(key)}`
  throw new StoreError(what, { code: 'INVALID', what })
}
