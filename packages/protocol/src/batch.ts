/**
 * The body of a batch send: messages one after another, each with only what is its own. Big-endian.
 *
 *   | totalSize: 4 | magic: 4 (0) | bodyCrc: 4 (0) | flag: 4 | bodyLength: 4 | body | propertiesLength: 2 | properties |
 *
 * Topic, queue, sysFlag and times come from the request's header. magic and bodyCrc arrive as 0 and are not looked at.
 *
 * Source: org.apache.rocketmq.common.message.MessageDecoder.encodeMessage.
 */
import { readInt16, readInt32, writeInt16, writeInt32 } from '@dledger-ts/base'
import { ProtocolError } from './errors.ts'
import { PROPERTIES_BYTES_MAX } from './properties.ts'
import { readText, textBytes, writeText } from './text.ts'

const FLAG_AT = 12
const BODY_LENGTH_AT = FLAG_AT + 4
const BODY_AT = BODY_LENGTH_AT + 4
const PROPERTIES_LENGTH_BYTES = 2
const MESSAGE_BYTES_MIN = BODY_AT + PROPERTIES_LENGTH_BYTES

export interface BatchMessage {
  flag: number
  /** From `splitBatchBody`: a slice of the batch. */
  body: Buffer
  properties: string
}

/** @throws ProtocolError `TRUNCATED` or `BAD_LENGTH` when the body is not a whole number of messages. */
export function splitBatchBody(bytes: Buffer): BatchMessage[] {
  const messages: BatchMessage[] = []
  for (let at = 0; at < bytes.length;) {
    const present = bytes.length - at
    if (present < MESSAGE_BYTES_MIN) throw truncated(MESSAGE_BYTES_MIN, present)
    const totalSize = readInt32(bytes, at)
    if (totalSize < MESSAGE_BYTES_MIN) throw badLength('totalSize', totalSize)
    if (totalSize > present) throw truncated(totalSize, present)
    const end = at + totalSize
    const bodyLength = readInt32(bytes, at + BODY_LENGTH_AT)
    const propertiesLengthAt = at + BODY_AT + bodyLength
    if (bodyLength < 0 || propertiesLengthAt + PROPERTIES_LENGTH_BYTES > end) throw badLength('bodyLength', bodyLength)
    const propertiesLength = readInt16(bytes, propertiesLengthAt)
    const propertiesAt = propertiesLengthAt + PROPERTIES_LENGTH_BYTES
    if (propertiesLength < 0 || propertiesAt + propertiesLength !== end)
      throw badLength('propertiesLength', propertiesLength)
    messages.push({
      flag: readInt32(bytes, at + FLAG_AT),
      body: bytes.subarray(at + BODY_AT, propertiesLengthAt),
      properties: readText(bytes, propertiesAt, end),
    })
    at = end
  }
  return messages
}

/** @throws ProtocolError `TOO_LARGE` for a property block over 32,767 bytes. */
export function encodeBatchBody(messages: readonly BatchMessage[]): Buffer {
  let size = 0
  for (const message of messages) size += MESSAGE_BYTES_MIN + message.body.length + textBytes(message.properties)
  const target = Buffer.alloc(size)
  let at = 0
  for (const message of messages) {
    const propertiesBytes = textBytes(message.properties)
    if (propertiesBytes > PROPERTIES_BYTES_MAX) {
      throw new ProtocolError(`properties: ${propertiesBytes} bytes, at most ${PROPERTIES_BYTES_MAX}`, {
        code: 'TOO_LARGE',
        what: 'properties',
        bytes: propertiesBytes,
        maxBytes: PROPERTIES_BYTES_MAX,
      })
    }
    writeInt32(target, MESSAGE_BYTES_MIN + message.body.length + propertiesBytes, at)
    writeInt32(target, message.flag, at + FLAG_AT)
    writeInt32(target, message.body.length, at + BODY_LENGTH_AT)
    message.body.copy(target, at + BODY_AT)
    writeInt16(target, propertiesBytes, at + BODY_AT + message.body.length)
    at += BODY_AT + message.body.length + PROPERTIES_LENGTH_BYTES
    writeText(target, message.properties, at, propertiesBytes)
    at += propertiesBytes
  }
  return target
}

function badLength(what: string, value: number): ProtocolError {
  return new ProtocolError(`${what} ${value} does not fit the batch`, { code: 'BAD_LENGTH', what, value })
}

function truncated(needed: number, present: number): ProtocolError {
  return new ProtocolError(`a message of the batch needs ${needed} bytes, there are ${present}`, {
    code: 'TRUNCATED',
    what: 'batch body',
    needed,
    present,
  })
}
