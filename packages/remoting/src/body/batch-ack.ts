/** Acknowledgements of many popped messages in one request. Source: BatchAckMessageRequestBody, BatchAck. */
import { RemotingError } from '../errors.ts'
import type { DialectObject, DialectValue } from './dialect.ts'
import { asArray, asObject, asText, numberOr, parseObject } from './reader.ts'

/** Messages of one request at most: bits that are set, and bits that are looked at. */
const MESSAGES_MAX = 4_096
const ENTRIES_MAX = 4_096

/** Messages of one queue that came with one pop. */
export interface BatchAck {
  readonly consumerGroup: string
  readonly topic: string
  /** 0: they came from the topic; 1, 2: from the group's retry topic of that version. */
  readonly retry: string
  readonly queueId: number
  readonly reviveQueueId: number
  readonly popTime: number
  readonly invisibleTime: number
  /** Ascending. */
  readonly queueOffsets: readonly number[]
}

/** The body of BATCH_ACK_MESSAGE. */
export interface BatchAckRequest {
  readonly brokerName: string
  readonly acks: readonly BatchAck[]
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeBatchAck(body: Buffer): BatchAckRequest {
  const object = parseObject(body, 'a batch of acknowledgements')
  const brokerName = object['brokerName']
  const acks = asArray(object['acks'], 'acks')
  if (acks.length > ENTRIES_MAX) throw tooMany()
  let left = MESSAGES_MAX
  return {
    brokerName: typeof brokerName === 'string' ? brokerName : '',
    acks: acks.map((value) => {
      const ack = readAck(asObject(value, 'an acknowledgement'), left)
      left -= ack.queueOffsets.length
      return ack
    }),
  }
}

function readAck(ack: DialectObject, messagesMax: number): BatchAck {
  const field = (short: string, long: string): DialectValue | undefined => ack[short] ?? ack[long]
  const startOffset = numberOr(field('so', 'startOffset'), 0, 'startOffset')
  return {
    consumerGroup: asText(field('c', 'consumerGroup'), 'consumerGroup'),
    topic: asText(field('t', 'topic'), 'topic'),
    retry: asText(field('r', 'retry') ?? '0', 'retry'),
    queueId: numberOr(field('q', 'queueId'), 0, 'queueId'),
    reviveQueueId: numberOr(field('rq', 'reviveQueueId'), 0, 'reviveQueueId'),
    popTime: numberOr(field('pt', 'popTime'), 0, 'popTime'),
    invisibleTime: numberOr(field('it', 'invisibleTime'), 0, 'invisibleTime'),
    queueOffsets: bitsOf(asText(field('b', 'bitSet') ?? '', 'bitSet'), messagesMax).map((bit) => startOffset + bit),
  }
}

/** The bits that are set: base64 of a java.util.BitSet's bytes, lowest bit first. */
function bitsOf(text: string, bitsMax: number): number[] {
  const bytes = Buffer.from(text, 'base64')
  const bits: number[] = []
  for (let i = 0; i < bytes.length; i++) {
    for (let byte = bytes[i] as number, bit = 0; byte !== 0; byte >>= 1, bit++) {
      if ((byte & 1) === 0) continue
      if (bits.length >= bitsMax) throw tooMany()
      bits.push(i * 8 + bit)
    }
  }
  return bits
}

function tooMany(): RemotingError {
  const what = `a batch acknowledges at most ${MESSAGES_MAX} messages`
  return new RemotingError(`bad body: ${what}`, { code: 'BAD_BODY', what })
}
